"""Searches that stop what does badly early: ASHA and HyperBand, as functions of what is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thalweg.flows.search_spec import DEFAULT_REDUCTION, Search

if TYPE_CHECKING:
    from thalweg.flows.trials import Trial


@dataclass(frozen=True)
class Bracket:
    """Trials of HyperBand that are halved together.

    Attributes
    ----------
    first : the number of its first trial.
    sizes : how many trials are trained at each rung.
    rungs : the epochs of each rung.
    """

    first: int
    sizes: tuple[int, ...]
    rungs: tuple[int, ...]


def rungs(search: Search, epochs: int) -> list[int]:
    """Give the epochs at which ASHA looks; by default the first at a ninth of the epochs, then at a third."""
    reduction = search.reduction or DEFAULT_REDUCTION
    epoch = search.least_epochs or max(1, math.ceil(epochs / reduction**2))
    found = []
    while epoch < epochs:
        found.append(epoch)
        epoch *= reduction
    return found


def cutoff(scores: Sequence[float | None], reduction: int) -> float:
    """Give the score that a trial must reach to be among the best 1 in ``reduction``.

    The rule of ASHA as Ray Tune has it: the percentile of those that came to the same rung before.

    Parameters
    ----------
    scores : of the trials before that came to this rung; None counts as the worst.
    """
    if not scores:
        return -math.inf
    known = np.array([-np.inf if score is None else score for score in scores])
    percent = 100 * (1 - 1 / reduction)
    if np.isfinite(known).all():
        return float(np.percentile(known, percent))
    return float(np.percentile(known, percent, method="lower"))  # between it and infinity there is nothing


def cutoffs(
    trials: Mapping[int, Trial], number: int, search: Search, epochs: int
) -> tuple[dict[int, float], int | None]:
    """Give what a trial must reach at each rung, and the first rung where that is not yet known.

    A trial is compared with those of a lower number alone, and with all of them: then it does not matter
    which of them were trained first, or at once.
    """
    before = [trial for trial in trials.values() if trial.trial < number]
    found: dict[int, float] = {}
    for rung in rungs(search, epochs):
        if not all(trial.ended or trial.epoch >= rung for trial in before):
            return found, rung
        came = [trial.best(rung) for trial in before if trial.epoch >= rung]
        found[rung] = cutoff(came, search.reduction or DEFAULT_REDUCTION)
    return found, None


def brackets(search: Search, epochs: int) -> list[Bracket]:
    """Give HyperBand's brackets, the one with the most trials first.

    Li et al. 2018, Journal of Machine Learning Research 18(185), algorithm 1. Where ``trials`` is given, it
    is shared out in the same proportion.
    """
    reduction = search.reduction or DEFAULT_REDUCTION
    most = 0
    while (search.least_epochs or 1) * reduction ** (most + 1) <= epochs:
        most += 1
    halvings = range(most, -1, -1)
    counts = [math.ceil((most + 1) / (s + 1) * reduction**s) for s in halvings]
    if search.trials is not None:
        counts = _share(search.trials, counts)
    found: list[Bracket] = []
    first = 1
    for s, count in zip(halvings, counts, strict=True):
        if count == 0:
            continue
        sizes = tuple(max(1, count // reduction**rung) for rung in range(s + 1))
        at = tuple(max(1, round(epochs / reduction ** (s - rung))) for rung in range(s + 1))
        found.append(Bracket(first, sizes, at))
        first += count
    return found


def promoted(bracket: Bracket, trials: Mapping[int, Trial], rung: int) -> list[int] | None:
    """Give the numbers of a bracket's trials that are trained at a rung; None while that is not known."""
    members = list(range(bracket.first, bracket.first + bracket.sizes[0]))
    for place in range(rung):
        known = [trials.get(number) for number in members]
        epochs = bracket.rungs[place]
        reached = [trial for trial in known if trial and (trial.ended or trial.epoch >= epochs)]
        if len(reached) < len(members):
            return None
        # what happened after the rung must not change what was decided at it
        able = [trial for trial in reached if trial.epoch >= epochs or trial.state != "failed"]
        scores = {trial.trial: trial.best(epochs) for trial in able}
        order = sorted(scores, key=lambda number: (scores[number] is None, -(scores[number] or 0.0), number))
        members = order[: bracket.sizes[place + 1]]
    return members


def _share(total: int, weights: Sequence[int]) -> list[int]:
    """Share out a whole number in proportion, the largest remainders first."""
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(value) for value in exact]
    order = sorted(range(len(exact)), key=lambda place: (shares[place] - exact[place], place))
    for place in order[: total - sum(shares)]:
        shares[place] += 1
    return shares
