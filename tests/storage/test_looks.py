"""Looks at tests: counted for good, by many writers at once, and whatever became of the file."""

import json
import os
import subprocess
import sys

import pytest

from thalweg.storage import looks
from thalweg.storage.results import Run, find_runs, write_manifest, write_status

TEST, OTHER = "a" * 16, "b" * 16


def score(root, run="e/lstm--t--0--s1", configuration="lstm", test=TEST, *, floor=False):
    looks.scored(root, test, run, configuration, floor=floor)


def test_models_count_once_whatever_their_seeds_and_floors_do_not(tmp_path):
    score(tmp_path)
    score(tmp_path, "e/lstm--t--0--s2")
    score(tmp_path, "e/lstm--t--0--s2")  # trained again
    score(tmp_path, "f/hybrid--t--0--s1", "hybrid")
    score(tmp_path, "f/climatology--t--0--s0", "climatology", floor=True)
    score(tmp_path, "f/hybrid--u--0--s1", "hybrid", OTHER)
    found = looks.count(tmp_path, [TEST])
    assert (found.models, found.runs, found.experiments, found.shown) == (2, 4, 2, 0)
    assert str(found) == "2 models in 4 runs of 2 experiments scored on it, shown 0 times"
    assert looks.count(tmp_path, [TEST, OTHER]).runs == 5
    assert looks.count(tmp_path, ["c"]) == looks.Looks()
    assert str(looks.Looks()) == "not counted: its runs are from before looks were"


def run_folder(root, name, test, state="done"):
    folder = root / "e" / name
    folder.mkdir(parents=True)
    manifest = {"experiment": "e", "model": "lstm", "kind": "lstm", "split": "t", "fold": "0", "seed": 1}
    write_manifest(folder, {**manifest, "test": {"sites": 3, **({"id": test} if test else {})}})
    write_status(folder, {"state": state})
    return Run(folder)


def test_showing_counts_for_the_tests_of_runs_that_have_a_score(tmp_path):
    runs = [
        run_folder(tmp_path, "lstm--t--0--s1", TEST),
        run_folder(tmp_path, "lstm--t--1--s1", OTHER),
        run_folder(tmp_path, "lstm--t--2--s1", "c" * 16, state="failed"),
        run_folder(tmp_path, "lstm--t--3--s1", None),  # made before looks were counted
    ]
    assert looks.tests_of(runs) == [TEST, OTHER]
    assert looks.shown(tmp_path, runs, "compare")
    assert looks.shown(tmp_path, runs[:1], "dashboard")
    assert looks.shown(tmp_path, runs[2:], "show")  # nothing was shown
    assert [looks.count(tmp_path, [each]).shown for each in (TEST, OTHER, "c" * 16)] == [2, 1, 0]
    entries, _ = looks.read(tmp_path)
    assert [entry["by"] for entry in entries] == ["compare", "dashboard"]
    assert find_runs(tmp_path)[0].id == "e/lstm--t--0--s1"  # the file is no run


def test_removing_runs_removes_no_look(tmp_path):
    run = run_folder(tmp_path, "lstm--t--0--s1", TEST)
    score(tmp_path)
    for file in run.path.iterdir():
        file.unlink()
    run.path.rmdir()
    assert looks.count(tmp_path, [TEST]).runs == 1


WRITER = """
import sys
from pathlib import Path
from thalweg.storage import looks

root, test, writer = sys.argv[1:]
for number in range(25):
    looks.scored(Path(root), test, f"e/{writer}-{number}", f"{writer}-{number}", floor=False)
"""


def test_no_look_is_lost_when_many_write_at_once(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path), TEST]
    writers = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0, 0]
    assert looks.count(tmp_path, [TEST]).runs == 100


def test_a_line_cut_short_costs_that_line_alone(tmp_path):
    score(tmp_path)
    file = tmp_path / looks.FILE
    whole = file.read_bytes()
    with file.open("ab") as stream:  # a writer killed in the middle
        stream.write(whole[: len(whole) // 2])
    score(tmp_path, "e/other", "other")
    for text in (b"[]\n", b'{"event": 3, "tests": []}\n', b'{"event": "scored"}\n', b"\xff\xfe\n", b"\n"):
        with file.open("ab") as stream:
            stream.write(text)
    found = looks.count(tmp_path, [TEST])
    assert (found.runs, found.damaged) == (2, 5)
    assert str(found).endswith("shown 0 times; 5 lines of test-looks.jsonl unreadable")


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    run = run_folder(tmp_path, "lstm--t--0--s1", TEST)
    (tmp_path / looks.FILE).mkdir()  # also for a superuser
    assert not looks.shown(tmp_path, [run], "show")
    with pytest.raises(OSError, match="Is a directory"):
        score(tmp_path)  # no score without its count
    assert looks.count(tmp_path, [TEST]) == looks.Looks()


def test_asking_reads_and_adds_under_one_lock(tmp_path):
    score(tmp_path)
    with looks.asking(tmp_path) as (entries, add):
        assert [entry["event"] for entry in entries] == ["scored"]
        add([TEST], {"hold_out": "h", "value": 0.5})
    with looks.asking(tmp_path) as (entries, _):
        assert entries[-1]["value"] == 0.5
    assert looks.count(tmp_path, [TEST]).asked == 1
    lines = (tmp_path / looks.FILE).read_text().splitlines()
    assert all(json.loads(line)["time"].endswith("+00:00") for line in lines)
    assert os.stat(tmp_path / looks.FILE).st_size < 1000
