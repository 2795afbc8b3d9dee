"""Population-based training: values that change while models train.

Jaderberg et al. 2017, Population Based Training of Neural Networks (arXiv:1711.09846). All members are
compared after every generation: the worst take over the weights and the values of one of the best, and change
the values a little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from thalweg.flows.proposals import Drawn, draw, random_point
from thalweg.flows.search_spec import GENERATIONS, Dimension, Search
from thalweg.flows.space import values_of
from thalweg.flows.trials import Leg, Trial, Trials, checkpoint_folder, trial_folder

TRUNCATION = 0.2  # of the population gives way to as many of the best
FACTORS = (0.8, 1.2)  # that a number is changed by
RESAMPLED = 0.25  # how often a value is drawn anew instead


class Population:
    """Members that are trained side by side, generation by generation."""

    def __init__(self, search: Search, epochs: int, seed: int, count: int) -> None:
        self.search, self.epochs, self.seed = search, epochs, seed
        self.members = range(1, count + 1)
        self.interval = search.interval or max(1, math.ceil(epochs / GENERATIONS))

    def next(self, trials: Trials) -> Leg | None:
        """Give a leg that can begin now: of this generation, or of the next when all have ended this one."""
        for number in self.members:
            trial = trials.found.get(number)
            if trial is None:
                return self._leg(number, 0, random_point(self.search, number), number)
            start = max(trial.legs)
            if start not in trial.ends:
                if trial.state == "paused":
                    drawn, parent = trial.legs[start]
                    return self._leg(number, start, drawn, parent)
                continue
            following = start + self.interval
            if following < self.epochs and self._ended(start, trials):
                decided = self._decide(trial, start, trials)
                if decided is not None:
                    return self._leg(number, following, *decided)
        return None

    def width(self, trials: Trials) -> int:
        """Give how many members there are."""
        del trials
        return len(self.members)

    def spent(self, trials: Trials) -> list[str]:
        """Give the checkpoints of generations before the last one that all have ended."""
        folders = []
        for start in range(0, self.epochs, self.interval):
            if not self._ended(start, trials):
                break
            last = start + self.interval >= self.epochs
            done = start if last else start - self.interval
            folders += [checkpoint_folder(trial_folder(number), done) for number in self.members if done >= 0]
        return folders

    def _ended(self, start: int, trials: Trials) -> bool:
        return all(number in trials.found and start in trials.found[number].ends for number in self.members)

    def _decide(self, trial: Trial, start: int, trials: Trials) -> tuple[Drawn, int] | None:
        """Give a member's values in the next generation, and whose weights it goes on from."""
        scores = {number: trials.found[number].ends[start] for number in self.members}
        order = sorted(scores, key=lambda number: (scores[number] is None, -(scores[number] or 0.0), number))
        some = math.ceil(TRUNCATION * len(order))
        best = [number for number in order[:some] if scores[number] is not None]
        own = trial.legs[start][0]
        if scores[trial.trial] is not None and trial.trial not in order[-some:]:
            return own, trial.trial
        if not best:
            return None  # all failed: there is nothing to go on from
        random = np.random.default_rng([self.search.seed, trial.trial, start + 1])
        parent = best[int(random.integers(len(best)))]
        return changed(self.search.space, trials.found[parent].legs[start][0], random), parent

    def _leg(self, number: int, start: int, drawn: Drawn, parent: int) -> Leg:
        end = start + self.interval
        source = checkpoint_folder(trial_folder(parent), start - self.interval) if start else None
        until = end if end < self.epochs else None
        return Leg(number, self.seed, drawn, trial_folder(number), until, {}, start, source, parent)


def changed(space: Mapping[str, Dimension], drawn: Drawn, random: np.random.Generator) -> Drawn:
    """Give values a little different: a fifth more or less, the next choice, or now and then any other."""
    return {key: _changed(dimension, drawn[key], random) for key, dimension in space.items()}


def _changed(dimension: Dimension, value: float | int, random: np.random.Generator) -> float | int:
    again, up = random.random() < RESAMPLED, bool(random.integers(2))
    if again:
        return draw(dimension, random)
    values: Sequence[object] | None = values_of(dimension)
    if values is None:
        low, high = dimension.uniform or dimension.log_uniform or (-math.inf, math.inf)
        return float(min(max(value * FACTORS[up], low), high))
    if dimension.choice is not None:
        return min(max(int(value) + (1 if up else -1), 0), len(values) - 1)
    low, high = dimension.integer or (0, 0)
    step = max(1, round(abs(value) * (FACTORS[1] - 1)))
    return min(max(int(value) + (step if up else -step), low), high)
