"""Every block in the README and in `docs/` can be given: commands are parsed, specs checked, code run.

Whole pages are run in their order by `test_docs_run.py`.
"""

import inspect
import re
from pathlib import Path

import pytest
import yaml
from doc_blocks import ALL, OUTPUT, PAGES, ROOT, SHELL, blocks_of, named, words_of
from doc_givens import NEEDS_RUNS, givens

from thalweg.flows import cli
from thalweg.flows.experiment import Experiment
from thalweg.flows.ingestion import options_of, read_spec
from thalweg.flows.nightly_spec import Chain

# what is on these pages is run by tests of their own
ELSEWHERE = {
    "sources.md": "tests/storage/test_sources_docs.py",
    "splits.md": "tests/flows/test_splits_docs.py",
}
VARIABLES = re.compile(r"(AWS|RAY|PREFECT|THALWEG|COMPOSE)_[A-Z0-9_]+")
BASE = {
    "name": "page",
    "data": {"store": "data/page.zarr"},
    "splits": [
        {"kind": "temporal", "train": ["2000-01-01", "2001-12-31"], "test": ["2002-01-01", "2003-12-31"]}
    ],
    "models": {
        "lstm": {"kind": "lstm"},
        "hybrid": {"kind": "hybrid", "process": "hbv", "network": {"kind": "mlp", "hidden": [8]}},
    },
}


def of(kind, without=()):
    """Give each block of a kind to a test, but those of some pages."""
    found = [block for block in ALL if block.kind == kind and block.page not in without]
    return pytest.mark.parametrize("block", found, ids=map(named, found))


COMMANDS = [
    pytest.param(block, command, id=f"{named(block)}-{command[:50]}")
    for block in ALL
    if block.kind == "commands"
    for command in block.commands
]


def test_there_are_blocks_of_every_kind():
    kinds = [block.kind for block in ALL]
    assert min(kinds.count(kind) for kind in ("python", "yaml", "commands", "output")) > 3
    assert len(PAGES) >= 16


@pytest.mark.parametrize("text", ["```pyton\nx\n```\n", "```shell-session\nx\n```\n"])
def test_a_language_that_nobody_looks_at_is_refused(text, tmp_path):
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(ValueError, match="name one of"):
        blocks_of(tmp_path / "page.md")
    assert "sh" in SHELL
    assert "text" in OUTPUT


@pytest.mark.parametrize(("block", "command"), COMMANDS)
def test_commands_exist(block, command):
    given, words = words_of(command)
    assert all(VARIABLES.fullmatch(name) for name in given), given
    if not words:
        return
    if words[0] == "thalweg" and words[1:] != ["--version"]:
        cli.parser().parse_args([word for word in words[1:] if word != "..."])
    if words[0] == "make":
        targets = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
        assert set(words[1:]) <= set(targets)
    for word in words:
        path = word.partition("=")[2] if word.startswith("--") else word
        if path.startswith(("deploy/", "examples/", "benchmarks/", "docs/")) and path != "deploy/.env":
            assert (ROOT / path).exists(), path


@of("yaml", without=ELSEWHERE)
def test_specs_are_what_thalweg_takes(block, tmp_path, monkeypatch):
    content = yaml.safe_load(block.text)
    if "store" in content:
        monkeypatch.chdir(tmp_path)
        Path("spec.yaml").write_text(block.text)
        options_of(read_spec(Path("spec.yaml")))
    elif set(content) == {"nightly"}:
        Chain.model_validate(content["nightly"])
    else:
        for other in ALL:  # what the page has written by then
            if other.page == block.page and other.kind == "python" and other.file:
                (tmp_path / other.file).write_text(other.text)
        monkeypatch.syspath_prepend(str(tmp_path))
        Experiment.model_validate({**BASE, **content})


@of("python", without=(*NEEDS_RUNS, "cluster.md", *ELSEWHERE))
def test_code_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, named(block), "exec"), givens(block.page, block.text))


def test_the_code_that_submits_gives_what_submit_takes(monkeypatch):
    """A cluster stands behind it elsewhere (`tests/flows/test_jobs.py`)."""
    import thalweg.flows

    (block,) = [each for each in ALL if each.page == "cluster.md" and each.kind == "python"]
    real = thalweg.flows.submit
    calls = []

    def stand_in(*arguments, **named):
        calls.append(inspect.signature(real).bind(*arguments, **named))
        return Done()

    class Done:
        def wait(self):
            return self

    monkeypatch.setattr(thalweg.flows, "submit", stand_in)
    exec(compile(block.text, named(block), "exec"), {})
    assert calls[0].arguments["changes"] == {"training.epochs": 50}


@pytest.mark.parametrize("page", ELSEWHERE)
def test_pages_with_tests_of_their_own_have_them(page):
    assert page in (ROOT / ELSEWHERE[page]).read_text()


def test_links_lead_to_files_that_are_there():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
