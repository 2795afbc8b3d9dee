"""The trials of a search: ranked, written, and pasted back into an experiment."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from thalweg.flows.search_spec import Search
from thalweg.storage import atomic


@dataclass
class Trial:
    """One set of values and how well it did.

    Attributes
    ----------
    score : best validation score so far, higher is better; None before the first epoch.
    state : ``running``, ``done``, ``failed``; ``cut`` where the scheduler or an interruption ended it.
    """

    trial: int
    values: dict[str, Any]
    score: float | None = None
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    seconds: float = 0.0
    state: str = "running"
    message: str = ""


@dataclass
class Trials:
    """All trials of a search, kept as they come."""

    search: Search
    split: str
    fold: str
    found: dict[str, Trial] = field(default_factory=dict)

    def ranked(self) -> list[Trial]:
        """Give the trials, best first; those without a score last."""
        return sorted(
            self.found.values(),
            key=lambda trial: (trial.score is None, -(trial.score or 0.0), trial.trial),
        )

    def write(self, folder: Path) -> None:
        """Write ``search.json`` and ``search.csv``."""
        ranked = [asdict(trial) for trial in self.ranked()]
        content = {
            "format": 1,
            "search": self.search.model_dump(mode="json"),
            "split": self.split,
            "fold": self.fold,
            "best": next((trial for trial in ranked if trial["score"] is not None), None),
            "trials": ranked,
        }
        atomic.write_text(folder / "search.json", json.dumps(content, indent=2) + "\n")
        stream = io.StringIO()
        keys = [key for key in Trial.__dataclass_fields__ if key != "values"]
        table = csv.writer(stream, lineterminator="\n")
        table.writerow([*keys, *self.search.space])
        for trial in ranked:
            table.writerow(
                [*(trial[key] for key in keys), *(trial["values"][key] for key in self.search.space)]
            )
        atomic.write_text(folder / "search.csv", stream.getvalue())


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
