"""Forecasts that are more than one number: members, quantiles, or a distribution.

Each kind answers the same questions about a block of days, all ``(site, time)``: that is all the scores need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from thalweg.evaluation.moments import Array
from thalweg.models.distributions import Mixture
from thalweg.models.families import FAMILIES


class Forecast(Protocol):
    """What a probabilistic forecast of ``(site, time)`` discharge (mm/day) can say.

    NaN in the forecast gives NaN on that day. None is for what this kind cannot say.
    """

    def crps(self, observed: Array) -> Array:
        """Give the continuous ranked probability score of each day (mm/day)."""
        ...

    def pit(self, observed: Array) -> tuple[Array, Array]:
        """Give the forecast probability of less than, and of up to, what was observed."""
        ...

    def exceeds(self, threshold: Array) -> Array:
        """Give the forecast probability of more than a threshold (mm/day)."""
        ...

    def interval(self, level: float) -> tuple[Array, Array] | None:
        """Give the bounds of the central interval (mm/day) that holds a share of ``level``."""
        ...

    def spread(self) -> tuple[Array, Array] | None:
        """Give mean (mm/day) and variance ((mm/day)²), the latter as one more member would differ from it."""
        ...

    def log_density(self, observed: Array) -> Array | None:
        """Give the log-likelihood of what was observed (nats)."""
        ...


@dataclass(frozen=True)
class Ensemble:
    """Members that are equally likely, such as those of MC dropout or of several seeds.

    Attributes
    ----------
    members : ``(member, site, time)`` (mm/day), two or more.
    fair : score as if there were endlessly many such members (Ferro 2014, 10.1002/qj.2270); otherwise
        the members as they are.
    """

    members: Array
    fair: bool = True

    def crps(self, observed: Array) -> Array:
        """See :class:`Forecast`.

        ``mean |x_i - y| - Σ_i Σ_j |x_i - x_j| / (2 m (m - 1))``, or with m² below where not fair; the double
        sum from the sorted members. Gneiting and Raftery (2007), 10.1198/016214506000001437, eq. 21.
        """
        count = len(self.members)
        ordered = np.sort(self.members, axis=0)
        weight = (2.0 * np.arange(1, count + 1) - count - 1.0) / (count * (count - 1 if self.fair else count))
        between = np.einsum("m,mst->st", weight, ordered)
        return np.asarray(np.abs(self.members - observed).mean(axis=0) - between, dtype=np.float64)

    def pit(self, observed: Array) -> tuple[Array, Array]:
        """See :class:`Forecast`: from the rank among the members (Talagrand et al. 1997)."""
        broken = np.isnan(self.members).any(axis=0)
        lower = (self.members < observed).sum(axis=0)
        upper = (self.members <= observed).sum(axis=0) + 1
        places = len(self.members) + 1
        return np.where(broken, np.nan, lower / places), np.where(broken, np.nan, upper / places)

    def exceeds(self, threshold: Array) -> Array:
        """See :class:`Forecast`: the share of members."""
        broken = np.isnan(self.members).any(axis=0) | np.isnan(threshold)
        return np.where(broken, np.nan, (self.members > threshold).mean(axis=0))

    def interval(self, level: float) -> tuple[Array, Array] | None:
        """See :class:`Forecast`; None with fewer than ``2 / (1 - level) - 1`` members.

        Member k of m is the quantile ``k / (m + 1)``, which one more member would exceed as often.
        """
        tail = (1.0 - level) / 2.0
        if tail * (len(self.members) + 1) < 1.0 - 1e-9:
            return None
        low, high = np.quantile(self.members, [tail, 1.0 - tail], axis=0, method="weibull")
        return low, high

    def spread(self) -> tuple[Array, Array] | None:
        """See :class:`Forecast`; Fortin et al. (2014), 10.1175/JHM-D-14-0008.1, eq. 15."""
        count = len(self.members)
        variance = self.members.var(axis=0, ddof=1)
        return self.members.mean(axis=0), variance * (count + 1) / count

    def log_density(self, observed: Array) -> Array | None:
        """Give None: members have no density."""
        return None


@dataclass(frozen=True)
class Quantiles:
    """Quantiles at some levels, and between them straight lines.

    Attributes
    ----------
    levels : rising, in (0, 1), ``(quantile,)``.
    values : ``(quantile, site, time)`` (mm/day).
    """

    levels: Array
    values: Array

    def crps(self, observed: Array) -> Array:
        """See :class:`Forecast`: twice the pinball loss, each level for its surroundings in [0, 1].

        With levels (k - 1/2) / m that is the score of m members as they are. Few levels, or none near 0
        and 1, overlook what the forecast says in between and beyond. Gneiting and Ranjan (2011),
        10.1198/jbes.2010.08110, eq. 17.
        """
        edges = np.concatenate([[0.0], (self.levels[1:] + self.levels[:-1]) / 2.0, [1.0]])
        score = np.zeros(observed.shape)
        for level, share, value in zip(self.levels, np.diff(edges), self.values, strict=True):
            error = observed - value
            score += 2.0 * share * np.maximum(level * error, (level - 1.0) * error)
        return score

    def pit(self, observed: Array) -> tuple[Array, Array]:
        """See :class:`Forecast`: on the line between two quantiles both are the same.

        Beyond the outer levels only the side is known. What equals several quantiles, or the lowest one as
        on a dry day, has all of their probability.
        """
        broken = np.isnan(self.values).any(axis=0) | np.isnan(observed)
        count = len(self.levels)
        below, upto = (self.values < observed).sum(axis=0), (self.values <= observed).sum(axis=0)
        apart = below == upto
        edges = np.concatenate([[0.0], self.levels, [1.0]])
        lower = np.where(apart, edges[below], np.where(below == 0, 0.0, edges[below + 1]))
        upper = np.where(apart, edges[below + 1], edges[upto])
        if count > 1:
            at = np.clip(below, 1, count - 1)
            low, high = (np.take_along_axis(self.values, i[None], axis=0)[0] for i in (at - 1, at))
            with np.errstate(divide="ignore", invalid="ignore"):
                share = (observed - low) / (high - low)
            line = self.levels[at - 1] + share * (self.levels[at] - self.levels[at - 1])
            inside = apart & (below > 0) & (below < count)
            lower, upper = np.where(inside, line, lower), np.where(inside, line, upper)
        return np.where(broken, np.nan, lower), np.where(broken, np.nan, upper)

    def exceeds(self, threshold: Array) -> Array:
        """See :class:`Forecast`: on the line between two quantiles; beyond the outer ones the middle."""
        lower, upper = self.pit(threshold)
        tied = (self.values == threshold).any(axis=0)
        return np.asarray(1.0 - np.where(tied, upper, (lower + upper) / 2.0), dtype=np.float64)

    def interval(self, level: float) -> tuple[Array, Array] | None:
        """See :class:`Forecast`; None where the levels do not reach that far."""
        tail = (1.0 - level) / 2.0
        low, high = self._at(tail), self._at(1.0 - tail)
        return None if low is None or high is None else (low, high)

    def spread(self) -> tuple[Array, Array] | None:
        """Give None: what lies beyond the outer levels decides the variance."""
        return None

    def log_density(self, observed: Array) -> Array | None:
        """Give None: levels have no density."""
        return None

    def _at(self, level: float) -> Array | None:
        near = np.flatnonzero(np.isclose(self.levels, level, rtol=0.0, atol=1e-6))
        if near.size:
            return np.asarray(self.values[near[0]])
        above = int(np.searchsorted(self.levels, level))
        if above in (0, len(self.levels)):
            return None
        low, high = self.levels[above - 1 : above + 1]
        share = (level - low) / (high - low)
        return np.asarray((1.0 - share) * self.values[above - 1] + share * self.values[above])


@dataclass(frozen=True)
class Distribution:
    """A mixture of normal or asymmetric Laplace distributions; see :mod:`thalweg.models.distributions`."""

    mixture: Mixture

    @classmethod
    def of(cls, family: str, weight: Array, parameters: list[Array], floor: float | None) -> Distribution:
        """Make it from ``(component, site, time)`` arrays, in the order of the family's parameters."""
        last = [np.ascontiguousarray(np.moveaxis(part, 0, -1)) for part in (weight, *parameters)]
        shares, *columns = (torch.from_numpy(part) for part in last)
        return cls(Mixture(FAMILIES[family], shares.log(), columns, floor))

    def crps(self, observed: Array) -> Array:
        """See :class:`Forecast`: in closed form."""
        return _array(self.mixture.crps(torch.from_numpy(observed)))

    def pit(self, observed: Array) -> tuple[Array, Array]:
        """See :class:`Forecast`; the two differ on the floor alone."""
        y = torch.from_numpy(observed)
        return _array(self.mixture.cdf_below(y)), _array(self.mixture.cdf(y))

    def exceeds(self, threshold: Array) -> Array:
        """See :class:`Forecast`."""
        return 1.0 - _array(self.mixture.cdf(torch.from_numpy(threshold)))

    def interval(self, level: float) -> tuple[Array, Array] | None:
        """See :class:`Forecast`."""
        low, high = self.mixture.quantile([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        return _array(low), _array(high)

    def spread(self) -> tuple[Array, Array] | None:
        """See :class:`Forecast`."""
        return _array(self.mixture.mean), _array(self.mixture.variance)

    def log_density(self, observed: Array) -> Array | None:
        """See :class:`Forecast`; on the floor the logarithm of its probability."""
        return _array(self.mixture.log_density(torch.from_numpy(observed)))


def _array(values: torch.Tensor) -> Array:
    return np.asarray(values.numpy(), dtype=np.float64)
