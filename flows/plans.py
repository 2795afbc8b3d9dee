"""What a search trains next, as a function of what is known: nothing here depends on what ran when.

The number of workers and their speed change the order in which things become known, never what a trial is or
how far it is trained. A driver that was killed therefore goes on as it would have: it asks again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from thalweg.flows.halving import Bracket, brackets, cutoffs, promoted
from thalweg.flows.population import Population
from thalweg.flows.proposals import Drawn, grid_point, learned_point, random_point
from thalweg.flows.search_spec import DEFAULT_LAG, Search
from thalweg.flows.trials import Leg, Trial, Trials, checkpoint_folder, gains, trial_folder


class Plan(Protocol):
    """Decides what is trained."""

    def next(self, trials: Trials) -> Leg | None:
        """Give a leg that can begin now, or None until more is known; trials that go no further are ``cut``.

        The same leg is given until its trial is ``running``.
        """
        ...

    def width(self, trials: Trials) -> int:
        """Give how many legs can run at once, from now on."""
        ...

    def spent(self, trials: Trials) -> list[str]:
        """Give folders of checkpoints, within the search's, that nothing goes on from any more."""
        ...


def make_plan(search: Search, epochs: int, seed: int, count: int) -> Plan:
    """Give the plan of a search.

    Parameters
    ----------
    epochs : of the longest trial.
    seed : that trials are trained with.
    count : of trials.
    """
    if search.algorithm == "pbt":
        return Population(search, epochs, seed, count)
    kinds = {"bayesian": Bayesian, "asha": Asha, "hyperband": HyperBand}
    return kinds.get(search.algorithm, Draws)(search, epochs, seed, count)


class Draws:
    """Trials one by one, each trained to its end: grid and random search."""

    def __init__(self, search: Search, epochs: int, seed: int, count: int) -> None:
        self.search, self.epochs, self.seed, self.count = search, epochs, seed, count

    def next(self, trials: Trials) -> Leg | None:
        """Give a leg that can begin now; those that began before come first."""
        for trial in trials.found.values():
            if trial.state == "paused":
                leg = self.leg(trial.trial, trial.drawn, trials)
                if leg is not None:
                    return leg
        number = len(trials.found) + 1
        drawn = self.propose(number, trials) if number <= self.count else None
        return None if drawn is None else self.leg(number, drawn, trials)

    def width(self, trials: Trials) -> int:
        """Give how many trials there are to be trained."""
        return self.count - sum(trial.ended for trial in trials.found.values())

    def spent(self, trials: Trials) -> list[str]:
        """Give the checkpoints of trials that ended."""
        ended = (trial.trial for trial in trials.found.values() if trial.ended)
        return [checkpoint_folder(trial_folder(number)) for number in ended]

    def propose(self, number: int, trials: Trials) -> Drawn | None:
        """Give the values of a trial; None until enough is known."""
        del trials  # nothing is learned from them
        draw = grid_point if self.search.algorithm == "grid" else random_point
        return draw(self.search, number)

    def leg(self, number: int, drawn: Drawn, trials: Trials) -> Leg | None:
        """Give how far a trial is trained from here; None until that is known, or when it is cut."""
        del trials
        return self._leg(number, drawn)

    def _leg(
        self, number: int, drawn: Drawn, until: int | None = None, cuts: dict[int, float] | None = None
    ) -> Leg:
        return Leg(number, self.seed, drawn, trial_folder(number), until, cuts or {})


class Bayesian(Draws):
    """Values from a model of the space.

    A proposal knows the results of all trials but the last ``lag``, whatever is known of those: as many can
    run at once, and each is proposed from the same, however many do.
    """

    def __init__(self, search: Search, epochs: int, seed: int, count: int) -> None:
        super().__init__(search, epochs, seed, count)
        self.lag = search.lag or DEFAULT_LAG

    def width(self, trials: Trials) -> int:
        """Give how many trials can be trained at once."""
        return min(super().width(trials), self.lag)

    def propose(self, number: int, trials: Trials) -> Drawn | None:
        """Give the values of a trial; None until all before the last few have ended."""
        told = [trials.found[known] for known in range(1, number - self.lag + 1)]
        if not all(trial.ended for trial in told):
            return None
        pending = [trials.found[known].drawn for known in range(max(1, number - self.lag + 1), number)]
        scored = [(trial.drawn, gains(self.search, trial)) for trial in told]
        return learned_point(self.search, number, scored, pending)


class Asha(Draws):
    """Random values; a trial that is not among the best of those before it at a rung is stopped there."""

    def leg(self, number: int, drawn: Drawn, trials: Trials) -> Leg | None:
        """Give how far a trial is trained from here."""
        trial = trials.found.get(number)
        found, unknown = cutoffs(trials.found, number, self.search, self.epochs)
        epoch = trial.epoch if trial else 0
        for rung, least in found.items():
            if trial and epoch >= rung and _below(trial.best(rung), least):
                trial.state = "cut"
                return None
        if unknown is not None and epoch >= unknown:
            return None
        return self._leg(number, drawn, unknown, found)


class HyperBand(Draws):
    """Random values; brackets of trials that are halved together, from rung to rung."""

    def __init__(self, search: Search, epochs: int, seed: int, count: int) -> None:
        super().__init__(search, epochs, seed, count)
        self.brackets = brackets(search, epochs)

    def leg(self, number: int, drawn: Drawn, trials: Trials) -> Leg | None:
        """Give how far a trial is trained from here."""
        bracket = self._bracket(number)
        trial = trials.found.get(number)
        epoch = trial.epoch if trial else 0
        for place, rung in enumerate(bracket.rungs):
            if epoch >= rung:
                continue
            members = [number] if place == 0 else promoted(bracket, trials.found, place)
            if members is None:
                return None
            if number not in members:
                assert trial is not None  # it has been trained to the rung before
                trial.state = "cut"
                return None
            return self._leg(number, drawn, None if rung == bracket.rungs[-1] else rung)
        return self._leg(number, drawn)

    def _bracket(self, number: int) -> Bracket:
        return next(each for each in self.brackets if number < each.first + each.sizes[0])


class Repeats:
    """One trial again, as it was trained, with other seeds.

    Parameters
    ----------
    schedule : the values of the trial, by the epoch after which they began.
    """

    def __init__(self, trial: Trial, schedule: Mapping[int, Drawn], seeds: range) -> None:
        self.trial, self.schedule, self.seeds = trial, schedule, seeds

    def next(self, trials: Trials) -> Leg | None:
        """Give a leg that can begin now."""
        for seed in self.seeds:
            again = trials.repeated.get((self.trial.trial, seed))
            if again is None or again.state == "paused":
                return self._leg(seed, 0 if again is None else again.epoch)
        return None

    def width(self, trials: Trials) -> int:
        """Give how many repetitions there are."""
        del trials
        return len(self.seeds)

    def spent(self, trials: Trials) -> list[str]:
        """Give the checkpoints of repetitions that ended."""
        ended = (each for each in trials.repeated.values() if each.ended)
        return [checkpoint_folder(_repeat_folder(each.trial, each.seed)) for each in ended]

    def _leg(self, seed: int, epoch: int) -> Leg:
        """Give a leg from here to where the values of the trial changed, if they did."""
        number = self.trial.trial
        begun = max(start for start in self.schedule if start <= epoch)
        until = min((start for start in self.schedule if start > epoch), default=None)
        # one that was cut is cut again
        cuts = {self.trial.epoch: math.inf} if self.trial.state == "cut" else {}
        return Leg(number, seed, self.schedule[begun], _repeat_folder(number, seed), until, cuts)


def _repeat_folder(number: int, seed: int) -> str:
    return f"repeats/{number:04d}-s{seed}"


def _below(score: float | None, least: float) -> bool:
    return (float("-inf") if score is None else score) < least
