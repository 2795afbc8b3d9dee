"""Bootstrap intervals over sites.

Sites are drawn with replacement as if they were independent. Neighbouring rivers are not, so that the true
uncertainty is larger than these intervals say.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from thalweg.evaluation.moments import Array

LEVEL = 0.9
SAMPLES = 1000
_DRAWS_AT_ONCE = 4_000_000


class Interval(NamedTuple):
    """A median and the interval around it."""

    median: float
    low: float
    high: float


class Difference(NamedTuple):
    """How much larger ``a`` is than ``b``, site by site.

    Attributes
    ----------
    median, low, high : median of the differences and its interval.
    share_higher : share of sites where ``a`` is higher than ``b``.
    sites : sites where both have a value.
    """

    median: float
    low: float
    high: float
    share_higher: float
    sites: int


def median_interval(
    values: ArrayLike, samples: int = SAMPLES, seed: int = 0, level: float = LEVEL
) -> Interval:
    """Give the median over sites with its percentile bootstrap interval.

    Parameters
    ----------
    values : one value a site, ``(site,)``; NaN is left out.
    samples : bootstrap samples.
    seed : the same seed gives the same interval.
    level : share of samples within the interval, in (0, 1).

    Returns
    -------
    Interval; all NaN without values, and without an interval (NaN) for one value, which has no spread.

    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level} must be in (0, 1)")
    there = np.asarray(values, dtype=np.float64)
    there = there[~np.isnan(there)]
    if there.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    if there.size == 1:
        return Interval(float(there[0]), np.nan, np.nan)
    medians = _bootstrap_medians(there, samples, np.random.default_rng(seed))
    low, high = np.quantile(medians, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(np.median(there)), float(low), float(high))


def paired_difference(
    a: ArrayLike, b: ArrayLike, samples: int = SAMPLES, seed: int = 0, level: float = LEVEL
) -> Difference:
    """Give the median of ``a - b`` over sites with its bootstrap interval; pairs with a NaN are left out.

    Parameters
    ----------
    a, b : one value a site, ``(site,)``, of the same sites in the same order.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} values cannot be paired")
    both = ~(np.isnan(first) | np.isnan(second))
    gain = first[both] - second[both]
    share = float((gain > 0.0).mean()) if gain.size else np.nan
    return Difference(*median_interval(gain, samples, seed, level), share, int(gain.size))


def _bootstrap_medians(values: Array, samples: int, generator: np.random.Generator) -> Array:
    rows = max(1, _DRAWS_AT_ONCE // values.size)
    parts = []
    for start in range(0, samples, rows):
        drawn = generator.integers(values.size, size=(min(rows, samples - start), values.size))
        parts.append(np.median(values[drawn], axis=1))
    return np.concatenate(parts)
