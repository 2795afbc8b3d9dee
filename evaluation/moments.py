"""Sums over days from which efficiency scores follow, and which add up.

A score such as NSE is a function of a few means over days. Their sums over any parts of the record
can be made apart and added, so the work may be split over time or workers. The sums are kept to twice
the precision of a float64 (Knuth 1969; Dekker 1971), so that the rounded result does not depend on how
the days were split: equal to the last bit, but for a chance of about one in 10^15.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

# A spread below this share of the mean is rounding: the series counts as constant.
SMALLEST_VARIATION = 1e-6


@dataclass(frozen=True)
class Moments:
    """What pairs of simulated and observed days add up to, site by site.

    ``+`` joins the sums of two separate parts of the record of the same sites.

    Attributes
    ----------
    days : pairs in the sums, ``(site,)``.
    high, low : sums of s, o, s², o², s·o, (s - o)² and |s - o| (mm/day and (mm/day)²), ``(7, site)``:
        rounded, and what rounding left over.
    least, most : lowest and highest simulated and observed value (mm/day), ``(2, site)``.
    """

    days: NDArray[np.int64]
    high: Array
    low: Array
    least: Array
    most: Array

    @classmethod
    def of(cls, simulated: Array, observed: Array) -> Moments:
        """Add up the days.

        Parameters
        ----------
        simulated, observed : discharge (mm/day), ``(site, time)``. A day that is NaN in ``observed`` is
            left out; NaN in ``simulated`` on another day makes the site's sums NaN.
        """
        there = ~np.isnan(observed)
        s = np.where(there, simulated, 0.0).astype(np.float64)
        o = np.where(there, observed, 0.0).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            sums = [exact_sum(values) for values in terms(s, o)]
        pairs = (np.where(there, simulated, np.nan), observed)
        return cls(
            days=there.sum(axis=-1, dtype=np.int64),
            high=np.stack([high for high, _ in sums]),
            low=np.stack([low for _, low in sums]),
            least=np.stack([np.fmin.reduce(x, axis=-1, initial=np.inf) for x in pairs]),
            most=np.stack([np.fmax.reduce(x, axis=-1, initial=-np.inf) for x in pairs]),
        )

    def __add__(self, other: Moments) -> Moments:
        with np.errstate(invalid="ignore", over="ignore"):
            high, low = add_exactly(self.high, self.low, other.high, other.low)
        return Moments(
            days=self.days + other.days,
            high=high,
            low=low,
            least=np.fmin(self.least, other.least),
            most=np.fmax(self.most, other.most),
        )

    @property
    def mean_simulated(self) -> Array:
        """Mean of the simulation (mm/day), ``(site,)``."""
        return self._mean(0)

    @property
    def mean_observed(self) -> Array:
        """Mean of the observations (mm/day), ``(site,)``."""
        return self._mean(1)

    @property
    def variance_simulated(self) -> Array:
        """Population variance of the simulation ((mm/day)²), ``(site,)``; zero where constant."""
        return self._variance(0)

    @property
    def variance_observed(self) -> Array:
        """Population variance of the observations ((mm/day)²), ``(site,)``; zero where constant."""
        return self._variance(1)

    @property
    def covariance(self) -> Array:
        """Population covariance of simulation and observations ((mm/day)²), ``(site,)``."""
        return self._mean(4) - self._mean(0) * self._mean(1)

    @property
    def mean_squared_error(self) -> Array:
        """Mean of (s - o)² ((mm/day)²), ``(site,)``."""
        return self._mean(5)

    @property
    def mean_absolute_error(self) -> Array:
        """Mean of |s - o| (mm/day), ``(site,)``."""
        return self._mean(6)

    def _mean(self, row: int) -> Array:
        with np.errstate(invalid="ignore"):
            mean: Array = self.high[row] / self.days
        return mean

    def _variance(self, which: int) -> Array:
        mean = self._mean(which)
        variance = self._mean(2 + which) - mean**2
        constant = (self.least[which] == self.most[which]) | (variance <= (SMALLEST_VARIATION * mean) ** 2)
        return np.where(constant, 0.0, variance)


def terms(s: Array, o: Array) -> tuple[Array, ...]:
    """Give what is added up over days, in the order of ``Moments.high``."""
    error = s - o
    return s, o, s * s, o * o, s * o, error**2, np.abs(error)


def exact_sum(values: Array) -> tuple[Array, Array]:
    """Add along the last axis, pair by pair, keeping what rounding leaves over.

    Returns
    -------
    high, low : the sum as a float64 and the remainder, without the last axis.
    """
    if values.shape[-1] == 0:
        return np.zeros(values.shape[:-1]), np.zeros(values.shape[:-1])
    high, low = values, np.zeros_like(values)
    while (length := high.shape[-1]) > 1:
        half = length // 2
        first, second, odd = np.s_[..., :half], np.s_[..., half : 2 * half], np.s_[..., 2 * half :]
        total, rest = add_exactly(high[first], low[first], high[second], low[second])
        high = np.concatenate([total, high[odd]], axis=-1)
        low = np.concatenate([rest, low[odd]], axis=-1)
    return high[..., 0], low[..., 0]


def add_exactly(a: Array, a_low: Array, b: Array, b_low: Array) -> tuple[Array, Array]:
    """Add two numbers of twice the precision: Knuth's two-sum, then renormalise.

    Returns
    -------
    high, low : the sum as a float64 and the remainder.
    """
    total = a + b
    part = total - a
    rest = (a - (total - part)) + (b - part) + (a_low + b_low)
    high = total + rest
    return high, rest - (high - total)
