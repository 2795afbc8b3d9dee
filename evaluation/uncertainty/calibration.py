"""Calibration of event probabilities: what is forecast with 30 % should happen 30 times in a hundred.

Each way takes forecast probabilities of an event (a flood, a dry river) and whether it happened, on days that
the model was not trained on, and gives a function from forecast to calibrated probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit
from scipy.stats import rankdata

from thalweg.evaluation.moments import Array
from thalweg.storage.errors import InputError

Values = TypeVar("Values", Array, xr.DataArray)

SMALLEST = 1e-12  # probability: keeps logits of certain forecasts finite
BINS = 15
_STEPS = 100


@dataclass(frozen=True)
class Platt:
    """A logistic curve through the logits: ``p' = 1 / (1 + exp(-(slope · logit p + intercept)))``.

    Platt (1999), Probabilistic outputs for support vector machines; with the targets and Newton's method
    of Lin et al. (2007), 10.1007/s10994-007-5018-6. Needs few days; bends all forecasts alike.
    """

    slope: float
    intercept: float

    @classmethod
    def fit(cls, forecast: ArrayLike, event: ArrayLike) -> Platt:
        """Fit it to forecasts in [0, 1] and events, 0 or 1, of one shape; pairs with a NaN are left out.

        Raises
        ------
        InputError
            When values are out of range or shapes differ, or the event always or never happened.
        """
        p, y = _pairs(forecast, event)
        x = _logit(p)
        ones, zeros = y.sum(), (1.0 - y).sum()
        target = np.where(y == 1.0, (ones + 1.0) / (ones + 2.0), 1.0 / (zeros + 2.0))
        centre, spread = x.mean(), max(float(x.std()), SMALLEST)
        design = np.stack([(x - centre) / spread, np.ones_like(x)])
        weights = np.array([0.0, logit(target.mean())])
        loss = _logistic_loss(weights @ design, target)
        for _ in range(_STEPS):
            q = expit(weights @ design)
            gradient = design @ (q - target)
            curvature = (design * (q * (1.0 - q))) @ design.T + 1e-12 * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            size = 1.0
            while (lower := _logistic_loss((weights - size * step) @ design, target)) > loss and size > 1e-10:
                size /= 2.0
            if lower >= loss:
                break
            weights, loss = weights - size * step, lower
        slope = weights[0] / spread
        return cls(float(slope), float(weights[1] - slope * centre))

    def __call__(self, forecast: Values) -> Values:
        """Give calibrated probabilities of forecasts in [0, 1]; NaN stays NaN."""
        return _apply(lambda p: expit(self.slope * _logit(p) + self.intercept), forecast)


@dataclass(frozen=True)
class Isotonic:
    """The rising steps nearest to the events, joined by straight lines.

    Zadrozny and Elkan (2002), 10.1145/775047.775151. Bends each part of the range by itself, and needs
    some thousand days for it.

    Attributes
    ----------
    forecast, probability : corners of the curve, both rising.
    """

    forecast: Array
    probability: Array

    @classmethod
    def fit(cls, forecast: ArrayLike, event: ArrayLike) -> Isotonic:
        """Fit it; as :meth:`Platt.fit`."""
        score, happened, count = _by_score(*_pairs(forecast, event))
        return cls(score, isotonic_regression(happened / count, weights=count).x)

    def __call__(self, forecast: Values) -> Values:
        """Give calibrated probabilities; beyond the forecasts it was fitted to, those at the ends."""
        return _apply(lambda p: np.interp(p, self.forecast, self.probability), forecast)


@dataclass(frozen=True)
class VennAbers:
    """Two isotonic fits, as if the event of the new day had happened and as if not: one of them is right.

    The two probabilities of a forecast contain a calibrated one, whatever the model (Vovk and Petej 2014,
    10.48550/arXiv.1211.0025). Where they lie apart, there were few days like this. Found for all
    forecasts in one pass over the sorted days: Vovk et al. (2015), 10.48550/arXiv.1511.00213, section 4.

    Attributes
    ----------
    score : distinct forecasts, rising, ``(n,)``.
    lower, upper : probability without and with an event, ``(n + 1,)``: after the first 0, 1, ... scores the
        one, before them the other.
    """

    score: Array
    lower: Array
    upper: Array

    @classmethod
    def fit(cls, forecast: ArrayLike, event: ArrayLike) -> VennAbers:
        """Fit it; as :meth:`Platt.fit`."""
        score, happened, count = _by_score(*_pairs(forecast, event))
        upper = np.append(_with_event(happened, count), 1.0)
        # without an event: the same from the other end, with events and their absence swapped
        mirrored = np.append(_with_event((count - happened)[::-1], count[::-1]), 1.0)
        return cls(score, 1.0 - mirrored[::-1], upper)

    def bounds(self, forecast: Values) -> tuple[Values, Values]:
        """Give the two probabilities, without and with an event."""
        lower = _apply(lambda p: self.lower[np.searchsorted(self.score, p, "right")], forecast)
        upper = _apply(lambda p: self.upper[np.searchsorted(self.score, p, "left")], forecast)
        return lower, upper

    def __call__(self, forecast: Values) -> Values:
        """Give one probability of the two, ``p1 / (1 - p0 + p1)``, which risks the least log-loss."""
        lower, upper = self.bounds(forecast)
        return upper / (1.0 - lower + upper)


def adaptive_calibration_error(forecast: ArrayLike, event: ArrayLike, bins: int = BINS) -> float:
    """Give the mean distance between forecast and frequency, over bins with equally many days, in [0, 1].

    Days are ranked by forecast and cut into ``bins``; equal forecasts stay in one bin. In each the mean
    forecast is compared with the share of events, and the distances are averaged, weighted with days. Even a
    perfect forecast has about ``0.8 √(p (1 - p) bins / n)``, from chance alone.

    Nixon et al. (2019), Measuring calibration in deep learning, 10.48550/arXiv.1904.01685, section 3.2.

    Raises
    ------
    InputError
        As :meth:`Platt.fit`, or when there are fewer days than bins.
    """
    p, y = _pairs(forecast, event, both=False)
    if not 1 <= bins <= len(p):
        raise InputError(f"{bins} bins for {len(p)} days; there must be 1 or more, and no more than days")
    place = np.floor((rankdata(p) - 0.5) / len(p) * bins).astype(int)
    apart = np.bincount(place, weights=p - y, minlength=bins)
    return float(np.abs(apart).sum() / len(p))


def _with_event(happened: Array, count: Array) -> Array:
    """Give the isotonic fit at a new event on, or just below, each score, ``(n,)``.

    Parameters
    ----------
    happened, count : events and days at each score, rising, ``(n,)``.

    The fit is the slope of the lower hull of the sums P_k = (days, events), in which the event is a step
    e = (1, 1). On score k the sums before it are P_0 - e, ..., P_k - e, and those after it P_k+1, ...: with
    each score one more point moves by -e. The hull's edge over the event stays as it is, or begins at
    the point just moved; right of it, corners are only ever taken away.
    """
    days, events = (np.concatenate([[0.0], np.cumsum(part)]).tolist() for part in (count, happened))
    corners: list[tuple[float, float]] = []
    for k in range(len(days) - 1, 0, -1):
        _push(corners, (days[k], events[k]))
    _push(corners, (-1.0, -1.0))
    found = np.empty(len(count))
    for k in range(len(count)):
        found[k] = slope = _slope(corners[-1], corners[-2])
        moved = (days[k + 1] - 1.0, events[k + 1] - 1.0)
        if k + 1 < len(count) and moved[1] < corners[-1][1] + slope * (moved[0] - corners[-1][0]):
            corners.pop()
            _push(corners, moved)
    return found


def _push(corners: list[tuple[float, float]], point: tuple[float, float]) -> None:
    """Add a point to the left of a lower hull, whose leftmost corner is the last."""
    while len(corners) > 1 and _slope(point, corners[-1]) >= _slope(corners[-1], corners[-2]):
        corners.pop()
    corners.append(point)


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])


def _by_score(forecast: Array, event: Array) -> tuple[Array, Array, Array]:
    """Give distinct forecasts, rising, and the events and days of each."""
    score, place, count = np.unique(forecast, return_inverse=True, return_counts=True)
    happened: Array = np.bincount(place, weights=event).astype(np.float64)
    return score, happened, count.astype(np.float64)


def _pairs(forecast: ArrayLike, event: ArrayLike, both: bool = True) -> tuple[Array, Array]:
    p, y = np.asarray(forecast, dtype=np.float64), np.asarray(event, dtype=np.float64)
    if p.shape != y.shape:
        raise InputError(f"forecasts {p.shape} and events {y.shape} have different shapes")
    there = ~(np.isnan(p) | np.isnan(y))
    p, y = p[there], y[there]
    if p.size == 0 or p.min() < 0.0 or p.max() > 1.0 or not np.isin(y, (0.0, 1.0)).all():
        raise InputError(
            "forecasts must be probabilities in [0, 1], events 0 or 1, and not all of them missing"
        )
    if both and y.min() == y.max():
        raise InputError(
            f"the event {'always' if y[0] else 'never'} happened in {y.size} days: no calibration"
        )
    return p, y


def _apply(function: Callable[[Array], Array], forecast: Values) -> Values:
    p = np.asarray(forecast, dtype=np.float64)
    missing = np.isnan(p)
    known = np.where(missing, 0.5, p)
    if ((known < 0.0) | (known > 1.0)).any():
        raise InputError(f"forecasts from {np.nanmin(p):g} to {np.nanmax(p):g}: probabilities lie in [0, 1]")
    calibrated = np.where(missing, np.nan, function(known))
    return forecast.copy(data=calibrated) if isinstance(forecast, xr.DataArray) else calibrated


def _logit(probability: Array) -> Array:
    return np.asarray(logit(np.clip(probability, SMALLEST, 1.0 - SMALLEST)), dtype=np.float64)


def _logistic_loss(score: Array, target: Array) -> float:
    return float(np.sum(np.logaddexp(0.0, score) - target * score))
