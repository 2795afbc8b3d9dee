"""What a search found, written for people and scripts, and pasted back into an experiment."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thalweg.flows.noise import indistinct, noise_of
from thalweg.flows.proposals import decode
from thalweg.flows.trials import Trial, Trials, objectives
from thalweg.storage import atomic, run_sharing

FORMAT = 2


def content(trials: Trials) -> dict[str, Any]:
    """Give all of a search: its trials best first, the best, the Pareto set and the noise."""
    noise = noise_of(trials)
    same = {trial.trial for trial in indistinct(trials, noise)}
    front = {trial.trial for trial in trials.pareto()}
    best = trials.best()
    found = [_content(trials, trial, front, same) for trial in trials.ranked()]
    return {
        "format": FORMAT,
        "search": trials.search.model_dump(mode="json"),
        "split": trials.split,
        "fold": trials.fold,
        "epochs": trials.epochs,
        "best": next((each for each in found if best is not None and each["trial"] == best.trial), None),
        "pareto": sorted(front),
        "noise": None if noise is None else asdict(noise),
        "trials": found,
        "repeats": [
            {"trial": each.repeats, "seed": each.seed, "state": each.state, "score": each.score}
            for each in trials.repeated.values()
        ],
    }


def _content(trials: Trials, trial: Trial, front: set[int], same: set[int]) -> dict[str, Any]:
    found = {
        "trial": trial.trial,
        "values": trials.values(trial),
        "score": trial.score,
        "objectives": objectives(trials.search, trial),
        "epoch": trial.epoch,
        "loss": trial.loss,
        "seconds": round(trial.seconds, 3),
        "state": trial.state,
        "message": trial.message,
        "pareto": trial.trial in front,
        "within_noise": trial.trial in same,
    }
    if trial.legs:
        schedule = trials.schedule(trial)
        found["schedule"] = [
            {"after_epoch": start, "values": decode(trials.search, drawn)}
            for start, drawn in schedule.items()
        ]
    return found


def write(trials: Trials, folder: Path) -> None:
    """Write ``search.json`` and ``search.csv``."""
    found = content(trials)
    atomic.write_text(folder / "search.json", json.dumps(found, indent=2, default=list) + "\n")
    stream = io.StringIO()
    plain = ("trial", "score", "epoch", "loss", "seconds", "state", "pareto", "within_noise", "message")
    others = [name for name in trials.search.objectives if name != "validation"]
    table = csv.writer(stream, lineterminator="\n")
    table.writerow([*plain, *others, *trials.search.space])
    for trial in found["trials"]:
        row = [trial[key] for key in plain] + [trial["objectives"][name] for name in others]
        table.writerow([*row, *(trial["values"][key] for key in trials.search.space)])
    atomic.write_text(folder / "search.csv", stream.getvalue())
    run_sharing.push(folder)


def to_paste(values: Mapping[str, Any]) -> str:
    """Give dotted keys as YAML that can be pasted into the experiment."""
    import yaml

    nested: dict[str, Any] = {}
    for key, value in values.items():
        *parents, last = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(nested, sort_keys=False, default_flow_style=False)
