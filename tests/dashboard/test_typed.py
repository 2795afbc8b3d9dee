"""What is typed into the page: refused before anything is opened, or checked as `thalweg check` does."""

import sys
import time
from pathlib import Path

import pytest
import streamlit as st
from small_experiment import RIVERS

from thalweg.dashboard.starting import typed, typed_paths

GOOD = RIVERS.replace("warmup: 60", "warmup: 60, seeds: [1, 2]")
LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def place(rivers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a store, and something beside it that is nobody's business."""
    st.cache_data.clear()
    inner = tmp_path / "workspace"
    (inner / "examples").mkdir(parents=True)
    (inner / "data").mkdir()
    (inner / "data" / "rivers.zarr").symlink_to(rivers / "rivers.zarr")
    monkeypatch.setenv(typed_paths.FOLDERS, str(rivers))
    monkeypatch.chdir(inner)
    (tmp_path / "secret.yaml").write_text("name: secret\n")
    return inner


def found(text: str) -> str:
    return "; ".join(f"{line}: {what}" for line, what in typed.check_typed(text).problems)


def test_a_good_one_is_told_what_it_would_run(place: Path) -> None:
    result = typed.check_typed(GOOD)
    assert result.problems == []
    assert result.name == "rivers"
    assert result.plan["cells"] == 3
    assert result.epochs["lstm"] == 2
    assert result.kinds == {"lstm": "lstm", "climatology": "climatology"}


def test_mistakes_are_those_of_check_with_their_line(place: Path) -> None:
    text = GOOD.replace("hidden: 4", "hiden: 4").replace("temporal,", "temporl,")
    assert typed.check_typed(text).problems == [
        (4, "splits.0.kind: 'temporl' is unknown; did you mean 'temporal'?"),
        (6, "models.lstm.hiden: unknown key; did you mean 'hidden'?"),
    ]
    assert found("name: [").startswith("1: is no valid YAML")
    assert found("  ").startswith("0: is empty")


@pytest.mark.parametrize(
    "value",
    [
        "/etc/passwd",
        "../secret.yaml",
        "~/x.zarr",
        "~root/x.zarr",
        "data/../../secret.yaml",
        "data/*/../../../secret.yaml",
        "link/secret.yaml",
        "link/*.yaml",
        ".git/config",
        "data/.hidden/x",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "https://example.org/x.zarr",
    ],
)
def test_paths_that_leave_the_workspace_are_refused(value: str, place: Path) -> None:
    (place / "link").symlink_to(place.parent)
    for text in (
        GOOD.replace("data/rivers.zarr", f'"{value}"'),
        GOOD.replace("zarr}", f'zarr, source: {{kind: csv, path: "{value}"}}}}'),
        GOOD + f'anything: [{{deep: ["{value}"]}}]\n',
        GOOD + f'"{value}": 1\n',
    ):
        problems = typed.refusals(text)
        assert len(problems) == 1, text
        assert repr(value) in problems[0][1]
        assert problems[0][0] in (2, 9)


def test_paths_within_it_and_object_stores_are_taken(place: Path) -> None:
    for value in (
        "data/other.zarr",
        "./data/new.zarr",
        "s3://bucket/rivers",
        "mm/day",
        "%H:%M",
        "data/{site}.csv",
    ):
        assert typed.refusals(GOOD + f'anything: "{value}"\n') == [], value


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("kind: lstm, hidden: 4", 'kind: calibrated, process: "os:system"'),
        GOOD.replace("zarr}", 'zarr, source: {kind: "subprocess:run", args: "touch planted"}}'),
        GOOD.replace("zarr}", 'zarr, source: {kind: "planted:go"}}'),
        GOOD.replace("zarr}", 'zarr, source: {kind: "a-b :go"}}'),
        GOOD + 'search: {model: lstm, space: {models.lstm.process: {choice: ["planted:go"]}}}\n',
    ],
)
def test_code_is_not_imported_for_a_typed_name(text: str, place: Path) -> None:
    (place / "planted.py").write_text("import pathlib; pathlib.Path('planted').touch()\ngo = 1\n")
    assert "code of your own must be named by an experiment file" in found(text)
    assert "planted" not in sys.modules
    assert not (place / "planted").exists()


def test_code_that_an_experiment_of_the_workspace_names_is_taken(place: Path) -> None:
    own = GOOD.replace("kind: lstm, hidden: 4", 'kind: calibrated, process: "my_snow:Snow"')
    (place / "examples" / "own.yaml").write_text(own)
    assert typed.known_code() == {"my_snow:Snow"}
    assert "cannot be imported" in found(own)  # it was tried


def test_yaml_makes_no_objects_and_does_not_swell(place: Path) -> None:
    assert "could not determine a constructor" in found("a: !!python/object/apply:os.system [touch planted]")
    assert not (place / "planted").exists()
    began = time.monotonic()
    assert found(LAUGHS) == "0: has more than 20,000 keys and values"
    assert "0: " in found("a: &a [*a]")
    assert "nested too deeply" in found("[" * 50_000)
    assert time.monotonic() - began < 10.0
    assert "is too large: 293 kB, and 256 kB are taken" in found("#" * 300_000)


def test_only_experiments_of_the_workspace_are_offered(place: Path) -> None:
    (place / "examples" / "good.yaml").write_text(GOOD)
    (place / "examples" / "other.yaml").write_text("a: 1\n")
    (place / "examples" / "linked.yaml").symlink_to(place.parent / "secret.yaml")
    assert typed.files() == [place / "examples" / "good.yaml"]
