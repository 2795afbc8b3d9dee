"""How long runs will take, judged by earlier ones."""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from thalweg.dashboard.reading.cards import Card, Stamp
from thalweg.flows.model_spec import FLOORS

_JUDGES = 60  # earlier runs of a kind that are asked, the newest first


@dataclass(frozen=True)
class Estimate:
    """Work of all cells, as if one after the other.

    Attributes
    ----------
    seconds : None where earlier runs tell nothing.
    judged_by : how many earlier runs it was judged by.
    same_store : whether all of them read the same store.
    unknown : models of which no earlier run tells.
    """

    seconds: float | None
    judged_by: int
    same_store: bool
    unknown: tuple[str, ...]


def estimate(
    runs: Iterable[Card],
    store: str,
    kinds: Mapping[str, str],
    epochs: Mapping[str, int],
    cells: Mapping[str, int],
) -> Estimate:
    """Judge by the median time of an epoch of earlier runs of the same kind, on the same store if there are.

    Parameters
    ----------
    kinds, epochs, cells : of each model: its kind, the epochs it is trained and how many cells it has.
    """
    done = sorted(
        (run for run in runs if run.state == "done" and run.seconds),
        key=lambda run: -run.updated.timestamp() if run.updated is not None else 0.0,
    )
    total, judges, same, unknown = 0.0, 0, True, []
    for model, kind in kinds.items():
        floor = kind in FLOORS
        wanted = [run for run in done if _kind(run.path, run.stamp) == ("floor" if floor else kind)]
        near = [run for run in wanted if run.store == store]
        chosen = (near or wanted)[:_JUDGES]
        if not chosen:
            unknown.append(model)
            continue
        each = [
            (run.seconds or 0.0) / (1 if floor else max(run.epoch or run.epochs or 1, 1)) for run in chosen
        ]
        total += statistics.median(each) * (1 if floor else epochs[model]) * cells[model]
        judges, same = judges + len(chosen), same and bool(near)
    return Estimate(total if judges else None, judges, same, tuple(unknown))


@lru_cache(maxsize=10_000)
def _kind(path: str, stamp: Stamp) -> str:
    """The kind of a run's model."""
    try:
        content = json.loads((Path(path) / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get("kind", "")) if isinstance(content, dict) else ""
