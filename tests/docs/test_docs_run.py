"""Pages are run in their order: what they write, what they command, and the code between.

A page has a folder with what it speaks of; its placeholders are replaced by names that are there, and numbers
that cost much by small ones. What needs a cluster, or never ends, is parsed by `test_docs_blocks.py` alone.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from doc_blocks import PAGES, ROOT, blocks_of, named, words_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

NOT_RUN = {
    ("thalweg", "submit"): "a cluster",
    ("thalweg", "jobs"): "a cluster",
    ("thalweg", "logs"): "a cluster",
    ("thalweg", "cancel"): "a cluster",
    ("thalweg", "schedule"): "never ends",
    ("thalweg", "dashboard"): "never ends",
    ("sbatch",): "a Slurm cluster; `tests/deploy/test_deploy_slurm.py`",
    ("make",): "it installs",
}
EXPERIMENT = {
    "name": "sample",
    "data": {
        "store": "data/sample.zarr",
        "source": {"kind": "caravan", "path": "examples/caravan_sample"},
    },
    "splits": [
        {
            "kind": "temporal",
            "train": ["1989-10-01", "1994-09-30"],
            "test": ["1999-10-01", "2004-09-30"],
            "validate": ["1995-10-01", "1998-09-30"],
        }
    ],
    "models": {
        "lstm": {"kind": "lstm", "hidden": 4, "conformal": {"level": 0.9}},
        "hybrid": {"kind": "hybrid", "process": "hbv", "components": 2, "training": {"seeds": [1, 2]}},
    },
    "training": {"epochs": 1, "steps_per_epoch": 2, "window": 365, "warmup": 365, "batch_sites": 20},
    "search": {
        "algorithm": "random",
        "model": "lstm",
        "trials": 2,
        "space": {"training.learning_rate": {"log_uniform": [1e-3, 1e-2]}},
    },
}


def thalweg(command, folder):
    """Run a command as a person would, and give what it said."""
    given, words = words_of(command)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, **given, "PATH": path, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def perform(page, folder, monkeypatch, replaced=None, given=None, skipped=()):
    """Do what a page says, block by block, in a folder.

    Parameters
    ----------
    replaced : what stands for what in its blocks.
    given : names that its code takes for granted.
    skipped : beginnings of commands that are parsed alone.
    """
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = dict(given or {})
    done = []
    for block in blocks_of(next(each for each in PAGES if each.name == page)):
        text = block.text
        for old, new in (replaced or {}).items():
            text = text.replace(old, new)
        if block.file:
            Path(block.file).write_text(text)
        elif block.kind == "python":
            exec(compile(text, named(block), "exec"), names)
        elif block.kind == "commands":
            for command in type(block)(block.page, block.line, block.kind, text).commands:
                words = words_of(command)[1]
                aside = any(tuple(words[: len(each)]) == each for each in NOT_RUN)
                if words and not aside and not command.startswith(tuple(skipped)):
                    done.append((command, thalweg(command, folder)))
    return done


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with runs of a small experiment, `sample`, that are evaluated."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    thalweg("thalweg run experiment.yaml", folder)
    return folder


def test_the_guide(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = perform("guide.md", tmp_path, monkeypatch)
    said = dict(done)
    assert len(done) >= 14
    assert "hybrid" in said["thalweg compare first"]
    assert (tmp_path / "runs/first/report.html").exists()
    # the mistake that it shows
    (tmp_path / "first.yaml").write_text((tmp_path / "first.yaml").read_text().replace("epochs", "epoch"))
    program = Path(sys.executable).with_name("thalweg")
    wrong = subprocess.run([program, "check", "first.yaml"], capture_output=True, text=True, check=False)
    (shown,) = [block.text for block in blocks_of(ROOT / "docs/guide.md") if block.kind == "output"]
    assert wrong.stderr.strip() == shown.strip()
    assert wrong.returncode == 2


@pytest.mark.parametrize("page", ["evaluation.md", "extrapolation.md", "report.md"])
def test_pages_on_results(page, lab, monkeypatch):
    names = {"EXPERIMENT/RUN": "sample/lstm", "EXPERIMENT": "sample", "NAME": "sample"}
    assert perform(page, lab, monkeypatch, {**names, "my-experiment": "sample"})


def test_interpretation(lab, monkeypatch):
    import pandas as pd

    from thalweg.evaluation.interpretation.identifiability import identifiability
    from thalweg.storage.evaluations import read_table
    from thalweg.storage.results import find_runs

    runs = [
        run
        for run in find_runs(lab / "runs", "sample")
        if run.path.name in ("hybrid--temporal--0--s1", "hybrid--temporal--0--s2")
    ]
    given = {"pd": pd, "identifiability": identifiability, "read_table": read_table, "runs": runs}
    assert perform("interpretation.md", lab, monkeypatch, {"RUN...": "sample"}, given)


def test_search(lab, monkeypatch):
    perform("search.md", lab, monkeypatch, {'"search.trials": 60': '"search.trials": 2'})
    assert any((lab / "runs").rglob("trials*"))


def test_the_readme_s_results(lab, monkeypatch):
    monkeypatch.chdir(lab)
    (block,) = [
        each for each in blocks_of(ROOT / "README.md") if each.kind == "python" and "runs/" in each.text
    ]
    exec(compile(block.text, named(block), "exec"), {})


def test_storage(tmp_path, monkeypatch):
    import numpy as np
    import pandas as pd

    (tmp_path / "stations").mkdir()
    days = pd.date_range("2000-01-01", "2002-12-31")
    generator = np.random.default_rng(1)
    for name in ("a", "b"):
        rain = generator.gamma(0.5, 6, len(days))
        warmth = 8 + generator.normal(0, 3, len(days))
        table = {"date": days, "rain": rain, "temp": warmth, "q": 900 + 500 * rain}
        pd.DataFrame(table).to_csv(tmp_path / "stations" / f"{name}.csv", index=False)
    stations = "site,latitude,longitude,area\na,46.5,8.5,120\nb,46.9,8.1,90\n"
    (tmp_path / "stations.csv").write_text(stations)
    (spec,) = [each for each in blocks_of(ROOT / "docs/storage.md") if each.kind == "yaml"]
    (tmp_path / "rivers.yaml").write_text(spec.text)
    skipped = ("thalweg reproduce", "thalweg data log s3://", "export")
    assert len(perform("storage.md", tmp_path, monkeypatch, skipped=skipped)) >= 8
    assert "paper" in thalweg("thalweg data log rivers.yaml", tmp_path)
