"""How much of a difference between trials is noise: the same values trained again with other seeds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from scipy.stats import t as student

from thalweg.flows.trials import Trial, Trials

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Noise:
    """What the seed alone does to a score.

    Attributes
    ----------
    scores : of the repetitions: the best trial's own is left out, being the luckiest of many.
    mean : of them, which is what to expect of these values.
    spread : standard deviation over the seeds, the best trial's own included.
    floor : the difference that two trainings of the same values, which differ by the seed alone, stay below
        in 95 of 100 cases: Student's t for as many seeds, times the spread, times the square root of 2.
    """

    scores: list[float]
    mean: float
    spread: float
    floor: float


def noise_of(trials: Trials) -> Noise | None:
    """Give the noise of the best trial; None where it was not repeated."""
    best = trials.best()
    if best is None or best.score is None:
        return None
    scores = [trial.score for trial in trials.repeats_of(best) if trial.score is not None]
    if not scores:
        return None
    spread = statistics.stdev([best.score, *scores])
    factor = float(student.ppf((1 + CONFIDENCE) / 2, len(scores)))
    return Noise(scores, statistics.fmean(scores), spread, factor * spread * 2**0.5)


def indistinct(trials: Trials, noise: Noise | None) -> list[Trial]:
    """Give the trials whose validation score is within the noise of the best one's."""
    best = trials.best()
    if noise is None or best is None or best.score is None:
        return []
    return [
        trial
        for trial in trials.ranked()
        if trial is not best
        and trial.state != "failed"
        and trial.score is not None
        and abs(best.score - trial.score) <= noise.floor
    ]
