"""Telling, wherever scores of tests are shown, how often those tests were looked at."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thalweg.flows.console import console
from thalweg.storage import looks
from thalweg.storage.results import Run

MANY = 10  # models scored on one part, from which on the best of them flatters itself
ADVICE = (
    "the best of so many scores is partly luck: choose by validation, or ask with "
    "`thalweg compare EXPERIMENT --guarded`"
)


def look(root: Path, runs: Iterable[Run], by: str) -> list[dict[str, Any]]:
    """Count that scores of runs are shown, and give how often their test parts were looked at, by split.

    Returns
    -------
    list of mappings with ``experiment``, ``split``, the counts of :class:`thalweg.storage.looks.Looks`, and
    ``text``, the same in words.
    """
    runs = list(runs)
    if not looks.shown(root, runs, by):
        print(f"{root}: cannot be written to: this look at the tests is not counted", file=sys.stderr)
    rows = []
    for experiment, split in dict.fromkeys((run.experiment, run.split) for run in runs):
        own = [run for run in runs if (run.experiment, run.split) == (experiment, split)]
        tests = looks.tests_of(own)
        if tests:
            found = looks.count(root, tests)
            rows.append({"experiment": experiment, "split": split, **vars(found), "text": str(found)})
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print it, splits with the same counts on one line."""
    out = console()
    for text in dict.fromkeys(row["text"] for row in rows):
        splits = ", ".join(dict.fromkeys(row["split"] for row in rows if row["text"] == text))
        out.print(f"test of {splits}: {text}", style="dim", markup=False)
    if any(row["models"] >= MANY for row in rows):
        out.print(ADVICE, style="yellow", markup=False)
