"""The values that a trial tries: a function of the seed, the trial's number and what is known alone.

What is *drawn* is a mapping of keys to numbers, a choice as its place in the list; :func:`decode` gives
values.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.flows.search_spec import Dimension, Search
from thalweg.flows.space import values_of

Drawn = dict[str, float | int]

STARTUP = 6  # scores that a model of the space needs; trials before are drawn at random
# Scores farther below the median than so many times the best is above it count as that: an efficiency has no
# lower bound, and one trial of -1000 would leave a Gaussian process blind to all differences above 0.
WORST = 5.0


def decode(search: Search, drawn: Mapping[str, float | int]) -> dict[str, Any]:
    """Give the values of a trial."""
    values: dict[str, Any] = {}
    for key, dimension in search.space.items():
        value = drawn[key]
        if dimension.choice is not None:
            values[key] = dimension.choice[int(value)]
        else:
            values[key] = int(value) if dimension.integer is not None else float(value)
    return values


def draw(dimension: Dimension, random: np.random.Generator) -> float | int:
    """Draw one value at random."""
    if dimension.choice is not None:
        return int(random.integers(len(dimension.choice)))
    if dimension.integer is not None:
        return int(random.integers(dimension.integer[0], dimension.integer[1], endpoint=True))
    if dimension.log_uniform is not None:
        low, high = dimension.log_uniform
        return float(np.clip(np.exp(random.uniform(np.log(low), np.log(high))), low, high))
    assert dimension.uniform is not None
    return float(random.uniform(*dimension.uniform))


def random_point(search: Search, number: int) -> Drawn:
    """Draw the values of a trial, whatever the others are."""
    random = np.random.default_rng([search.seed, number])
    return {key: draw(dimension, random) for key, dimension in search.space.items()}


def grid_point(search: Search, number: int) -> Drawn:
    """Give a point of the grid, from 1; the last key changes fastest."""
    drawn: Drawn = {}
    place = number - 1
    for key, dimension in reversed(search.space.items()):
        values = values_of(dimension)
        assert values is not None  # a grid of a range is refused when it is checked
        place, index = divmod(place, len(values))
        drawn[key] = index if dimension.choice is not None else values[index]
    return {key: drawn[key] for key in search.space}


def learned_point(
    search: Search,
    number: int,
    told: Sequence[tuple[Drawn, Sequence[float] | None]],
    pending: Sequence[Drawn],
) -> Drawn:
    """Propose values by a model of the space.

    Parameters
    ----------
    told : trials that ended: what was drawn and the objectives, higher is better; None where there are none.
    pending : trials that have not ended; what is proposed keeps away from them.
    """
    scored = [scores for _, scores in told if scores is not None]
    if len(scored) < STARTUP:
        return random_point(search, number)
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = _distributions(search)
    seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
    bounds = _floor(np.array(scored))
    ended = partial(create_trial, state=TrialState.COMPLETE, distributions=space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is experimental in Optuna is tested here
        study = optuna.create_study(directions=["maximize"] * len(bounds), sampler=_sampler(search, seed))
        for drawn, scores in told:
            values = bounds if scores is None else np.maximum(scores, bounds)
            study.add_trial(ended(params=drawn, values=[float(value) for value in values]))
        for drawn in pending:
            study.add_trial(create_trial(state=TrialState.RUNNING, params=drawn, distributions=space))
        params = study.ask(space).params
    return {key: params[key] for key in search.space}


def _floor(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the least score that counts, ``(objective,)``, from those known, ``(trial, objective)``."""
    median, best, worst = np.median(scores, 0), scores.max(0), scores.min(0)
    return np.asarray(np.maximum(worst, median - WORST * (best - median)), dtype=np.float64)


def _sampler(search: Search, seed: int) -> Any:
    """Give a sampler without memory: what it proposes follows from the seed and the trials alone."""
    from optuna.samplers import GPSampler, TPESampler

    if search.sampler == "tpe":
        return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=STARTUP)
    return GPSampler(seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False)


def _distributions(search: Search) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space: dict[str, Any] = {}
    for key, dimension in search.space.items():
        if dimension.choice is not None:
            space[key] = CategoricalDistribution(list(range(len(dimension.choice))))
        elif dimension.integer is not None:
            space[key] = IntDistribution(*dimension.integer)
        elif dimension.log_uniform is not None:
            space[key] = FloatDistribution(*dimension.log_uniform, log=True)
        elif dimension.uniform is not None:
            space[key] = FloatDistribution(*dimension.uniform)
    return space
