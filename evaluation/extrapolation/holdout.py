"""A hold-out that can be asked more than once: Thresholdout.

Whoever picks the best of many models by their score on a test part, or changes a model after a look at it,
fits the test part: on data without any signal 0.59 can come out where 0.5 is the truth. Thresholdout (Dwork
et al. 2015, doi:10.1126/science.aaa9375, with normal noise, as in its experiments) answers from the data that
may be looked at freely as long as the hold-out agrees, and from the hold-out with noise where not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thalweg.storage.errors import InputError

# In the paper's experiment: threshold 0.04 and noise 0.01 for 10,000 samples of deviation 1.
THRESHOLD_ERRORS, NOISE_ERRORS = 4.0, 1.0  # standard errors of the mean of the hold-out
BUDGET = 100  # answers from the hold-out


@dataclass(frozen=True)
class Answer:
    """What a hold-out says.

    Attributes
    ----------
    value : the guarded mean.
    held_out : whether it comes from the hold-out, with noise; else it is the mean of the open data itself.
    """

    value: float
    held_out: bool


@dataclass
class Thresholdout:
    """Guards a hold-out against being fitted.

    Attributes
    ----------
    threshold : by how much the two means may differ and yet be told alike, in their units.
    noise : standard deviation of the noise of the threshold and of an answer, in the same units.
    left : answers that the hold-out still gives.
    """

    threshold: float
    noise: float
    left: int = BUDGET

    def __post_init__(self) -> None:
        if not (self.threshold > 0 and self.noise > 0 and self.left >= 0):
            raise InputError(
                f"hold-out: threshold {self.threshold} and noise {self.noise} must be above 0, and the "
                f"answers left, {self.left}, not below"
            )

    @classmethod
    def of_samples(cls, deviation: float, count: int, budget: int = BUDGET) -> Thresholdout:
        """Give the guard of a mean over independent samples.

        Parameters
        ----------
        deviation : standard deviation of a sample, such as 0.5 for right or wrong.
        count : samples in the hold-out.
        budget : answers that the hold-out gives.
        """
        error = deviation / math.sqrt(count) if count else math.nan
        return cls(THRESHOLD_ERRORS * error, NOISE_ERRORS * error, budget)

    def ask(self, open_mean: float, held_out_mean: float, generator: np.random.Generator) -> Answer:
        """Answer what the mean of something is, such as the share of days forecast right.

        Parameters
        ----------
        open_mean : over the data that may be looked at freely: of training or of validation.
        held_out_mean : over the hold-out; the asker must not learn it.
        generator : of the noise. Whoever asks must not be able to draw the same.

        Raises
        ------
        InputError
            When the hold-out has given all its answers.
        """
        if self.left < 1:
            raise InputError(
                "the hold-out has given all its answers: another one would be fitted to it; test on new data"
            )
        if abs(held_out_mean - open_mean) <= generator.normal(self.threshold, self.noise):
            return Answer(open_mean, held_out=False)
        self.left -= 1
        return Answer(held_out_mean + generator.normal(0.0, self.noise), held_out=True)


def bounded(efficiency: ArrayLike) -> np.ndarray:
    """Turn efficiencies, which have no lower bound, into scores from 0 to 1: ``1 / (2 - efficiency)``.

    A mean of bounded scores changes little with any one site, as a guarded mean must. For the Nash-Sutcliffe
    efficiency it is the normalised one (Nossent and Bauwens 2012): 0.5 for the mean flow, 1 when perfect.
    """
    return np.asarray(1.0 / (2.0 - np.asarray(efficiency, dtype=np.float64)))


def unbounded(score: float) -> float:
    """Turn a score of :func:`bounded` back into an efficiency."""
    return 2.0 - 1.0 / score if score > 0 else -math.inf
