"""Looks at test parts: each score that was made on one, and each time scores of it were shown, for good.

A test says how a model does on data that had no part in its making. Every choice made after a look at the
score gives the data a part. So looks are counted in ``test-looks.jsonl`` in the folder of all runs, one JSON
object a line, added under a lock and never changed; removing a run removes no look.

=========== ==========================================================================================
``scored``  a run was scored on a test part
``shown``   scores were shown, by a command or a page
``asked``   a guarded answer was given: see :mod:`thalweg.evaluation.extrapolation.holdout`
=========== ==========================================================================================
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from thalweg.storage import run_sharing
from thalweg.storage.run import Run
from thalweg.storage.run_folder import now

FILE = "test-looks.jsonl"


@dataclass(frozen=True)
class Looks:
    """How often some test parts were looked at.

    Attributes
    ----------
    models : configurations of models that were scored, whatever their seeds; floors are none.
    runs, experiments : that were scored, floors included.
    shown : times that scores were shown.
    asked : guarded answers given.
    damaged : lines that cannot be read, of whatever test part.
    """

    models: int = 0
    runs: int = 0
    experiments: int = 0
    shown: int = 0
    asked: int = 0
    damaged: int = 0

    def __str__(self) -> str:
        """Say it in words."""
        if not self.runs:
            return "not counted: its runs are from before looks were"
        text = (
            f"{_plural(self.models, 'model')} in {_plural(self.runs, 'run')} of "
            f"{_plural(self.experiments, 'experiment')} scored on it, shown {_plural(self.shown, 'time')}"
        )
        text += f", {_plural(self.asked, 'guarded answer')}" if self.asked else ""
        return text + (f"; {_plural(self.damaged, 'line')} of {FILE} unreadable" if self.damaged else "")


def scored(root: Path, test: str, run: str, configuration: str, *, floor: bool) -> None:
    """Count a score, before it is made.

    Parameters
    ----------
    root : folder of all runs.
    test : name of the part, from :meth:`thalweg.storage.parts.Part.digest`.
    run : the run's id, ``<experiment>/<run>``.
    configuration : what tells this model from others, whatever its seed and fold.
    """
    with _locked(root) as stream:
        _add(stream, "scored", [test], {"run": run, "configuration": configuration, "floor": floor})


def shown(root: Path, runs: Iterable[Run], by: str) -> bool:
    """Count that scores of runs are shown; False where that cannot be written, as in a read-only folder."""
    tests = tests_of(runs)
    if not tests:
        return True
    try:
        with _locked(root) as stream:
            _add(stream, "shown", tests, {"by": by})
    except OSError:
        return False
    return True


def tests_of(runs: Iterable[Run]) -> list[str]:
    """Give the names of the test parts that runs with a score were scored on."""
    found = set()
    for run in runs:
        test = run.manifest.get("test")
        if run.state == "done" and isinstance(test, dict) and test.get("id"):
            found.add(str(test["id"]))
    return sorted(found)


def count(root: Path, tests: Iterable[str]) -> Looks:
    """Count the looks at any of some test parts."""
    wanted = set(tests)
    entries, damaged = read(root)
    own = [entry for entry in entries if wanted & set(entry["tests"])]
    made = [entry for entry in own if entry["event"] == "scored"]
    return Looks(
        models=len({entry.get("configuration") for entry in made if not entry.get("floor")}),
        runs=len({entry.get("run") for entry in made}),
        experiments=len({str(entry.get("run")).partition("/")[0] for entry in made}),
        shown=sum(entry["event"] == "shown" for entry in own),
        asked=sum(entry["event"] == "asked" for entry in own),
        damaged=damaged,
    )


def read(root: Path) -> tuple[list[dict[str, Any]], int]:
    """Give all looks, the oldest first, and how many lines cannot be read."""
    try:
        lines = (Path(root) / FILE).read_bytes().splitlines()
    except OSError:
        return [], 0
    return _parse(lines)


@contextmanager
def asking(root: Path) -> Iterator[tuple[list[dict[str, Any]], Any]]:
    """Give all looks and what adds a guarded answer to them, while nobody else can add any."""
    with _locked(root) as stream:
        stream.seek(0)
        entries, _ = _parse(stream.read().splitlines())
        yield entries, lambda tests, content: _add(stream, "asked", tests, content)


def _parse(lines: Iterable[bytes]) -> tuple[list[dict[str, Any]], int]:
    entries, damaged = [], 0
    for line in lines:
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            assert isinstance(entry["event"], str)
            assert isinstance(entry["tests"], list)
        except (ValueError, KeyError, TypeError, AssertionError):
            damaged += 1  # a writer was killed, or somebody was at it
        else:
            entries.append(entry)
    return entries, damaged


@contextmanager
def _locked(root: Path) -> Iterator[BinaryIO]:
    """Open the file of looks for one writer; the system lets go of it when a process dies."""
    Path(root).mkdir(parents=True, exist_ok=True)
    with (Path(root) / FILE).open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with run_sharing.lines_shared(Path(root) / FILE, stream):
            yield stream


def _add(stream: BinaryIO, event: str, tests: Iterable[str], content: Mapping[str, Any]) -> None:
    line = json.dumps({"time": now(), "event": event, "tests": list(tests), **content}).encode() + b"\n"
    if stream.seek(0, os.SEEK_END):
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) != b"\n":  # a writer was killed in the middle of its line
            line = b"\n" + line
    stream.write(line)
    stream.flush()
    os.fsync(stream.fileno())


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")
