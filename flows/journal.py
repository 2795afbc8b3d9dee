"""What a search has done so far, on disk: a line when a leg begins and one when it has ended.

A driver that is killed loses nothing of it: at most the last line is cut off, and is then as if not written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thalweg.flows.trials import Leg, Outcome, Trial, Trials
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError

FORMAT = 1
NAME = "journal.jsonl"


class Journal:
    """The journal of one search.

    Parameters
    ----------
    folder : of the search.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def header(self) -> dict[str, Any] | None:
        """Give what the search was begun with; None where none was begun.

        Raises
        ------
        InputError
            When a newer version wrote it.
        """
        first = next(self._lines(), None)
        if first is not None and first.get("format") != FORMAT:
            raise InputError(
                f"{self.path}: format {first.get('format')!r} is unknown here (known: {FORMAT}): "
                "use the version that wrote it, or --force to replace the search"
            )
        return first

    def begin(self, header: Mapping[str, Any]) -> None:
        """Begin a search."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._append({"format": FORMAT, **header})

    def begun(self, leg: Leg, *, repeat: bool = False) -> None:
        """Tell that a leg begins."""
        kept = {
            "trial": leg.trial,
            "seed": leg.seed,
            "drawn": leg.drawn,
            "start": leg.start,
            "parent": leg.parent,
        }
        self._append({"begun": kept, "repeat": repeat})

    def ended(self, leg: Leg, outcome: Outcome, *, repeat: bool = False) -> None:
        """Tell what came of a leg; it is on the disk when this returns."""
        key = {"trial": leg.trial, "seed": leg.seed}
        self._append({"ended": {**key, **asdict(outcome)}, "repeat": repeat}, sure=True)

    def read(self, trials: Trials) -> None:
        """Add all trials that were begun; those that had not ended are paused."""
        lines = self._lines()
        next(lines, None)
        for line in lines:
            if "begun" in line:
                content = {**line["begun"], "drawn": dict(line["begun"]["drawn"])}
                begin(trials, Leg(folder="", **content), repeat=line["repeat"]).state = "paused"
            elif "ended" in line:
                content = dict(line["ended"])
                trial = place(trials, content.pop("trial"), content.pop("seed"), repeat=line["repeat"])
                if trial is not None:
                    trial.take(Outcome(**content))

    def _append(self, content: Mapping[str, Any], *, sure: bool = False) -> None:
        text = json.dumps(content, allow_nan=False) + "\n"
        with self.path.open("a+b") as stream:
            if _cut_off(stream):
                text = "\n" + text  # the rest of a line that a killed driver left
            stream.write(text.encode())
            if sure:
                stream.flush()
                os.fsync(stream.fileno())
        if sure:
            run_sharing.push(self.path.parent)

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    content = json.loads(line)
                except ValueError:
                    continue  # cut off
                if isinstance(content, dict):
                    yield content


def begin(trials: Trials, leg: Leg, *, repeat: bool = False) -> Trial:
    """Mark a leg's trial as running, and add it where it is new."""
    trial = place(trials, leg.trial, leg.seed, repeat=repeat)
    if trial is None:
        trial = Trial(leg.trial, leg.seed, leg.drawn, repeats=leg.trial if repeat else 0)
        if repeat:
            trials.repeated[leg.trial, leg.seed] = trial
        else:
            trials.found[leg.trial] = trial
    trial.state, trial.message, trial.drawn = "running", "", leg.drawn
    if leg.start is not None:
        trial.legs[leg.start] = (leg.drawn, leg.parent)
    return trial


def place(trials: Trials, number: int, seed: int, *, repeat: bool = False) -> Trial | None:
    """Give a trial that was begun, or None."""
    return trials.repeated.get((number, seed)) if repeat else trials.found.get(number)


def _cut_off(stream: Any) -> bool:
    """Tell whether the last line has no end."""
    if stream.seek(0, os.SEEK_END) == 0:
        return False
    stream.seek(-1, os.SEEK_END)
    return bool(stream.read(1) != b"\n")
