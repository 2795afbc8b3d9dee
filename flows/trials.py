"""The trials of a search: what each one is, and all of them ranked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thalweg.flows.proposals import Drawn, decode
from thalweg.flows.search_spec import Search

ENDED = ("done", "cut", "failed")


@dataclass(frozen=True)
class Leg:
    """A piece of a trial's training: what one worker does in one go.

    Attributes
    ----------
    until : the epoch after which the trial pauses; None: none.
    cutoffs : by epoch, the score below which it is stopped there for good.
    folder : of the trial, within the search's.
    start : the epoch after which the values became these, where they are those of a population.
    source : the folder of a checkpoint that it goes on from where it has none of its own.
    parent : the trial that this checkpoint is of.
    """

    trial: int
    seed: int
    drawn: Drawn
    folder: str
    until: int | None = None
    cutoffs: Mapping[int, float] = field(default_factory=dict)
    start: int | None = None
    source: str | None = None
    parent: int = 0

    @property
    def checkpoints(self) -> str:
        """The folder of its checkpoint, within the search's."""
        return checkpoint_folder(self.folder, self.start)


@dataclass
class Outcome:
    """What came of a leg.

    Attributes
    ----------
    rows : ``epoch``, ``loss``, ``validation`` and ``seconds`` of every epoch from the first, those of earlier
        legs included.
    state : ``paused``, or one of ``ENDED``.
    measures : ``parameters`` and, where it is an objective, ``gap``.
    message : why it failed.
    accident : whether it might not fail another time.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    state: str = "done"
    measures: dict[str, float | None] = field(default_factory=dict)
    message: str = ""
    accident: bool = False


@dataclass
class Trial:
    """One set of values and how well it did.

    Attributes
    ----------
    drawn : the values as the proposals have them.
    state : ``running``; ``paused`` between legs; ``done``; ``cut`` where the search stopped it; ``failed``.
    rows : of every epoch so far, as in an :class:`Outcome`.
    repeats : the number of the trial that is trained again with another seed; 0 for a trial of its own.
    legs : of a population, by the epoch after which they began: what was drawn, and the trial whose weights
        were taken over.
    ends : of a population, by the same epoch: the validation score at the leg's end; None where it failed.
    """

    trial: int
    seed: int
    drawn: Drawn
    state: str = "paused"
    rows: list[dict[str, Any]] = field(default_factory=list)
    measures: dict[str, float | None] = field(default_factory=dict)
    message: str = ""
    accident: bool = False
    repeats: int = 0
    legs: dict[int, tuple[Drawn, int]] = field(default_factory=dict)
    ends: dict[int, float | None] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return int(self.rows[-1]["epoch"]) if self.rows else 0

    @property
    def score(self) -> float | None:
        """The best validation score so far, higher is better; None before the first."""
        return self.best(self.epoch)

    @property
    def loss(self) -> float | None:
        """The last epoch's."""
        return _finite(self.rows[-1].get("loss")) if self.rows else None

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return sum(float(row.get("seconds") or 0.0) for row in self.rows)

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come."""
        return self.state in ENDED

    def best(self, epoch: int) -> float | None:
        """Give the best validation score up to an epoch."""
        scores = [_finite(row.get("validation")) for row in self.rows if row["epoch"] <= epoch]
        return max((score for score in scores if score is not None), default=None)

    def take(self, outcome: Outcome) -> None:
        """Add what came of a leg."""
        self.rows = outcome.rows or self.rows
        self.state, self.message, self.accident = outcome.state, outcome.message, outcome.accident
        self.measures |= outcome.measures
        if self.legs:
            failed = self.state == "failed"
            self.ends[max(self.legs)] = None if failed else _finite(self.rows[-1].get("validation"))


def trial_folder(number: int) -> str:
    """Give the folder of a trial within the search's."""
    return f"trials/{number:04d}"


def checkpoint_folder(folder: str, start: int | None = None) -> str:
    """Give the folder of a trial's checkpoint; a population has one a generation, for others to take over."""
    return f"{folder}/checkpoint" if start is None else f"{folder}/checkpoint-{start:04d}"


def objectives(search: Search, trial: Trial) -> dict[str, float | None]:
    """Give what a trial came to in each objective; None where it is not known."""
    cost = trial.seconds if search.cost == "seconds" else trial.measures.get("parameters")
    known = {"validation": trial.score, "gap": trial.measures.get("gap"), "cost": cost}
    return {name: _finite(known[name]) for name in search.objectives}


def gains(search: Search, trial: Trial) -> list[float] | None:
    """Give the objectives such that higher is better; None where one is not known."""
    if trial.state == "failed":
        return None
    values = objectives(search, trial)
    signed = [
        value if name == "validation" else -value for name, value in values.items() if value is not None
    ]
    return signed if len(signed) == len(values) else None


def first_gain(search: Search, trial: Trial) -> float | None:
    """Give the first objective such that higher is better; None where it is not known or the trial failed."""
    name = search.objectives[0]
    value = None if trial.state == "failed" else objectives(search, trial)[name]
    return value if value is None or name == "validation" else -value


@dataclass
class Trials:
    """All trials of a search.

    Attributes
    ----------
    found : by number, as they were drawn.
    repeated : repetitions of a trial with other seeds, by the trial's number and the seed.
    """

    search: Search
    split: str
    fold: str
    epochs: int = 0
    found: dict[int, Trial] = field(default_factory=dict)
    repeated: dict[tuple[int, int], Trial] = field(default_factory=dict)

    def ranked(self) -> list[Trial]:
        """Give the trials, best first by the first objective; those without a score last."""

        def order(trial: Trial) -> tuple[bool, float, int]:
            value = first_gain(self.search, trial)
            return (value is None, -(value or 0.0), trial.trial)

        return sorted(self.found.values(), key=order)

    def best(self) -> Trial | None:
        """Give the best trial that did not fail; None where none has a score."""
        able = self.ranked()
        return able[0] if able and first_gain(self.search, able[0]) is not None else None

    def pareto(self) -> list[Trial]:
        """Give the trials trained to their end that no other one beats in all objectives, by number."""
        done = [(trial, gains(self.search, trial)) for trial in self.found.values() if trial.state == "done"]
        known = [(trial, gain) for trial, gain in done if gain is not None]
        return [trial for trial, gain in known if not any(_beats(other, gain) for _, other in known)]

    def repeats_of(self, trial: Trial) -> list[Trial]:
        """Give the repetitions of a trial that came to a score."""
        again = (each for each in self.repeated.values() if each.repeats == trial.trial)
        return [each for each in again if each.state in ("done", "cut") and each.score is not None]

    def schedule(self, trial: Trial) -> dict[int, Drawn]:
        """Give what a trial's weights were trained with, by the epoch after which it began."""
        found: dict[int, Drawn] = {}
        number = trial.trial
        for start in sorted(trial.legs, reverse=True):
            found[start], number = self.found[number].legs[start]
        return dict(sorted(found.items())) or {0: trial.drawn}

    def epochs_of(self, trial: Trial) -> int:
        """Give the epochs that a trial is trained for in all."""
        values = self.values(trial)
        return next(
            (int(value) for key, value in values.items() if key.endswith("training.epochs")), self.epochs
        )

    def values(self, trial: Trial) -> dict[str, Any]:
        """Give the values of a trial by key."""
        return decode(self.search, trial.drawn)


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Tell whether ``one`` is nowhere worse and somewhere better."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
