"""A search as its folder has it, for `thalweg show`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from thalweg.flows.experiment import Search
from thalweg.flows.journal import Journal
from thalweg.flows.trials import Trials
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError


def search_of(root: Path, name: str) -> tuple[Trials, Path] | None:
    """Give the search of an experiment, with the experiment's folder; None where there is none.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    folder = root / name.removeprefix(f"{root}/").strip("/")
    path = folder / "search.json"
    if folder.parent != root or not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        search = Search.model_validate(content["search"])
        trials = Trials(search, content["split"], content["fold"], content["epochs"])
        Journal(folder / "search").read(trials)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}): was it made by another version?") from error
    return trials, folder


def describe(trials: Trials, folder: Path) -> dict[str, Any]:
    """Give what `thalweg show` says of a search, for scripts."""
    content: dict[str, Any] = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    return {
        "path": run_sharing.named(folder / "search.json"),
        "algorithm": trials.search.algorithm,
        "model": trials.search.model,
        "states": states(trials),
        **{key: content.get(key) for key in ("best", "noise", "pareto")},
    }


def states(trials: Trials) -> dict[str, int]:
    """Count the trials by state; those under way are ``paused`` here."""
    return dict(Counter(trial.state for trial in trials.found.values()))


def text(trials: Trials) -> str:
    """Say how far a search is."""
    search = trials.search
    count = ", ".join(f"{number} {state}" for state, number in states(trials).items()) or "no trial yet"
    return f"{search.algorithm} search of {search.model} on {trials.split}, fold {trials.fold}: {count}"
