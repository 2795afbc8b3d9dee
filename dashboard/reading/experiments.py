"""What the page Overview tells of each experiment: how far it is, what it took, what it found."""

import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from thalweg.dashboard.reading import cards, skill
from thalweg.dashboard.reading.cards import Card
from thalweg.flows.ledger import LEDGER, Cost, cost_of, silent_seconds, total
from thalweg.storage.results import Run

SILENT_SECONDS = 120.0  # a run that is under way writes its ledger every 5 s
# for medians that were not read before: before the first sight, and in each later turn
FIRST_SECONDS, BUDGET_SECONDS = 0.1, 1.5
_ACTIVE = ("running", "waiting")


@dataclass(frozen=True)
class Search:
    """What a search found so far.

    Attributes
    ----------
    score : of the best trial on the validation part; None where none came to one.
    floor : differences up to this may be the seed's doing; None where the best was not repeated.
    same : trials that are not to be told from the best.
    """

    algorithm: str
    model: str
    split: str
    trials: int
    ended: int
    score: float | None
    values: dict[str, Any]
    floor: float | None
    same: int


@dataclass(frozen=True)
class Summary:
    """One experiment.

    Attributes
    ----------
    left : time until all its runs are done, as far as can be told (s).
    silent : runs that say they run and have not written anything for minutes.
    """

    name: str
    runs: tuple[Card, ...]
    states: Counter[str]
    cost: Cost
    left: float | None
    silent: tuple[Card, ...]
    search: Search | None
    updated: pd.Timestamp | None

    @property
    def progress(self) -> float:
        """Share of the work that is done, 0 to 1."""
        return sum(run.progress or 0.0 for run in self.runs) / len(self.runs) if self.runs else 0.0

    @property
    def active(self) -> bool:
        """Whether any of its runs is under way."""
        return len(self.silent) < sum(self.states[state] for state in _ACTIVE)

    @property
    def state(self) -> str:
        """One word for all of its runs."""
        if self.active and self.states["running"] > len(self.silent):
            return "running"
        for state in ("failed", "stopped", "waiting", "running"):
            if self.states[state]:
                return "stopped" if state == "running" else state
        return "done" if self.states["done"] or self.search else "unknown"


def summaries(runs: Sequence[Card]) -> list[Summary]:
    """All experiments, the one that changed last first; those that are only searched too."""
    by_name: dict[str, list[Card]] = {}
    for run in runs:
        by_name.setdefault(run.experiment, []).append(run)
    for name in _searched():
        by_name.setdefault(name, [])
    found = [_summary(name, own) for name, own in by_name.items()]
    return sorted(found, key=lambda each: -each.updated.timestamp() if each.updated is not None else 0.0)


def medians(
    found: Sequence[Summary], metric: str, budget: float = BUDGET_SECONDS
) -> tuple[dict[str, pd.DataFrame], bool]:
    """Median of a metric over sites, of each experiment: columns model, split, and the metric.

    Returns
    -------
    What could be read within the budget (s), and whether that is all.
    """
    begun, tables, whole = time.monotonic(), dict[str, pd.DataFrame](), True
    for each in found:
        sources = tuple(run.source for run in each.runs)
        key = hash((sources, metric))
        if key not in _read and time.monotonic() - begun > budget:
            whole = False
            continue
        table = skill.model_medians(sources, (metric,))
        _read.add(key)
        columns = ["model", "split", metric]
        tables[each.name] = table[columns] if metric in table else pd.DataFrame(columns=columns)
    return tables, whole


_read: set[int] = set()


def _summary(name: str, runs: Sequence[Card]) -> Summary:
    states = Counter(run.state for run in runs)
    running = [run for run in runs if run.state == "running"]
    quiet = {run.id: silent_seconds(Path(run.path)) for run in running}
    silent = tuple(run for run in running if (quiet[run.id] or 0.0) > SILENT_SECONDS)
    costs = (_cost(run.path, cards.last_written(run.path, LEDGER)) for run in runs)
    place = cards.root() / name / "search.json"
    written = cards.last_written(place)
    times = [run.updated for run in runs if run.updated is not None]
    if written:
        times.append(pd.Timestamp(written, unit="ns", tz="UTC"))
    return Summary(
        name=name,
        runs=tuple(sorted(runs, key=lambda run: run.floor)),
        states=states,
        cost=total(cost for cost in costs if cost is not None),
        left=_left(runs, [run for run in running if run not in silent]),
        silent=silent,
        search=_search(str(place), written) if written else None,
        updated=max(times, default=None),
    )


def _left(runs: Sequence[Card], running: Sequence[Card]) -> float | None:
    """Time until the last run is done (s), as many side by side as now; None where nothing tells."""
    waiting = [run for run in runs if run.state == "waiting"]
    if not running:
        return None
    told = [left for run in running if (left := _told_left(run)) is not None]
    took = {
        model: statistics.median(own)
        for model in {run.model for run in runs}
        if (
            own := [run.seconds for run in runs if run.model == model and run.state == "done" and run.seconds]
        )
    }
    usual = statistics.median(took.values()) if took else None
    ahead = [took.get(run.model, usual) for run in waiting]
    if not told or any(each is None for each in ahead):
        return None
    return max(max(told), (sum(told) + sum(each or 0.0 for each in ahead)) / len(running))


def _told_left(run: Card) -> float | None:
    """What a run said is left of its training, less what passed since (s)."""
    left = Run(Path(run.path)).status.get("seconds_left")
    if not isinstance(left, int | float) or run.updated is None:
        return None
    return max(0.0, left - max(0.0, (pd.Timestamp.now("UTC") - run.updated).total_seconds()))


@lru_cache(maxsize=10_000)
def _cost(path: str, written: int) -> Cost | None:
    return cost_of(Path(path)) if written else None


def _searched() -> Iterable[str]:
    """Experiments that were searched."""
    try:
        with os.scandir(cards.root()) as entries:
            folders = [entry for entry in entries if entry.is_dir() and entry.name[0] != "."]
        return [each.name for each in folders if os.path.exists(os.path.join(each.path, "search.json"))]
    except OSError:
        return []


@lru_cache(maxsize=200)
def _search(path: str, written: int) -> Search | None:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        best, noise, spec = content["best"] or {}, content["noise"] or {}, content["search"]
        trials = content["trials"]
        return Search(
            algorithm=str(spec["algorithm"]),
            model=str(spec["model"]),
            split=str(content["split"]),
            trials=len(trials),
            ended=sum(trial["state"] not in _ACTIVE for trial in trials),
            score=best.get("score"),
            values=dict(best.get("values") or {}),
            floor=noise.get("floor"),
            same=sum(bool(trial["within_noise"]) for trial in trials),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
