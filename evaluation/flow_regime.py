"""Scores of parts of the flow regime: the flow duration curve, low and high flows, ranks.

Each takes simulated and observed discharge (mm/day), ``(site, time)``, and gives ``(site,)``: NaN where it is
undefined, or where a simulated value is missing on an observed day. Days that were not observed are left
out. Order and logarithms of single days matter here, so these do not add up over parts of the record.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from thalweg.evaluation.efficiency import correlation, distance_to_one, nse, ratio
from thalweg.evaluation.moments import Array, Moments

SMALLEST_FLOW = 1e-6  # mm/day: what zero becomes where a logarithm is taken, as in Kratzert et al. (2019)
HIGH_SHARE, LOW_SHARE, MIDDLE = 0.02, 0.3, (0.2, 0.7)


def fhv(simulated: Array, observed: Array) -> Array:
    """Bias of the highest 2 % of the flow duration curve: ``100 · Σ(s_h - o_h) / Σo_h`` (%).

    Both series are sorted apart; h runs over the round(0.02 n) highest values. Undefined with fewer than
    26 observed days, or where these observations are zero.

    Yilmaz et al. (2008), Water Resour. Res. 44, W09417, 10.1029/2007WR006716, eq. A3; share of 2 %.
    """
    s, o, days = _duration_curves(simulated, observed)
    high = np.arange(s.shape[-1]) < np.round(HIGH_SHARE * days)[:, None]
    return 100.0 * ratio(_total(s - o, high), _total(o, high))


def flv(simulated: Array, observed: Array) -> Array:
    """Bias of the lowest 30 % of the flow duration curve, in logarithms (%).

    ``-100 · (Σ(ln s_l - ln s_L) - Σ(ln o_l - ln o_L)) / Σ(ln o_l - ln o_L)``

    l runs over the round(0.3 n) lowest values and L is the lowest of them: each curve is taken from its own
    minimum, so that this measures the shape of the recession and not its level. Positive: low flows
    vary too little. Flows below 1e-6 mm/day count as 1e-6. Undefined where the observed low flows are
    all equal, as in a river that is dry 30 % of the time (where the published program divides by 1e-6).

    Yilmaz et al. (2008), 10.1029/2007WR006716, eq. A4; Kratzert et al. (2019), 10.5194/hess-23-5089-2019.
    """
    s, o, days = _duration_curves(simulated, observed)
    count, place = np.round(LOW_SHARE * days)[:, None], np.arange(s.shape[-1])
    low = (place >= days[:, None] - count) & (place < days[:, None])
    sums = []
    for curve in (s, o):
        logarithm = np.log(np.maximum(curve, SMALLEST_FLOW))
        lowest = np.min(np.where(low, logarithm, np.inf), axis=-1, keepdims=True, initial=np.inf)
        with np.errstate(invalid="ignore"):
            sums.append(_total(logarithm - lowest, low))
    return -100.0 * ratio(sums[0] - sums[1], sums[1])


def fms(simulated: Array, observed: Array) -> Array:
    """Bias of the slope of the flow duration curve between 20 and 70 % exceedance (%).

    ``100 · ((ln s_20 - ln s_70) - (ln o_20 - ln o_70)) / (ln o_20 - ln o_70)``

    Positive: the simulated flow regime is too flashy. Flows below 1e-6 mm/day count as 1e-6. Undefined
    where the observed slope is zero.

    Yilmaz et al. (2008), 10.1029/2007WR006716, eq. A2; bounds of Kratzert et al. (2019).
    """
    s, o, days = _duration_curves(simulated, observed)
    if s.shape[-1] == 0:
        return np.full(len(s), np.nan)
    slopes = []
    for curve in (s, o):
        at = [np.round(share * days).astype(int)[:, None] for share in MIDDLE]
        values = [np.take_along_axis(curve, np.minimum(i, s.shape[-1] - 1), -1)[:, 0] for i in at]
        upper, lower = (np.log(np.maximum(value, SMALLEST_FLOW)) for value in values)
        slopes.append(upper - lower)
    return 100.0 * ratio(slopes[0] - slopes[1], slopes[1])


def log_nse(simulated: Array, observed: Array) -> Array:
    """Nash-Sutcliffe efficiency of ln(q + ε), with ε = ō / 100: it weighs low flows.

    ε is a hundredth of the site's mean observed discharge over the days scored; negative discharge
    counts as zero. Undefined where the observations are constant.

    Pushpalatha et al. (2012), J. Hydrol. 420-421, 171-182, 10.1016/j.jhydrol.2011.11.055.
    """
    return nse(Moments.of(*logarithms(simulated, observed)))


def logarithms(simulated: Array, observed: Array) -> tuple[Array, Array]:
    """Give ln(q + ε) of both, ``(site, time)``, with the ε of :func:`log_nse`; NaN where that is zero."""
    mean = Moments.of(observed, observed).mean_observed[:, None]
    epsilon = np.where(mean > 0.0, mean, np.nan) / 100.0
    s, o = (np.log(np.maximum(series, 0.0) + epsilon) for series in (simulated, observed))
    return s, o


def rmse_high(simulated: Array, observed: Array) -> Array:
    """Root mean squared error of the days with the highest 2 % of observed flows (mm/day).

    The days are chosen by the observations, and both series are compared on the same day: a flood a day late
    counts. (A bias of the flow duration curve, whatever the day, is :func:`fhv`.) They are those at least
    as high as the round(0.02 n)-th highest; undefined with fewer than 26 observed days.

    Song et al. (2024), Hydrol. Earth Syst. Sci. 28, 3051-3077, 10.5194/hess-28-3051-2024, in synchronous
    form.
    """
    return _rmse_beyond(simulated, observed, HIGH_SHARE, 1.0)


def rmse_low(simulated: Array, observed: Array) -> Array:
    """Root mean squared error of the days with the lowest 30 % of observed flows (mm/day).

    As :func:`rmse_high`, for the days at most as high as the round(0.3 n)-th lowest: of a river that is dry
    on half of its days, all of these. Undefined with fewer than 2 observed days.
    """
    return _rmse_beyond(simulated, observed, LOW_SHARE, -1.0)


def kge_np(simulated: Array, observed: Array) -> Array:
    """Non-parametric Kling-Gupta efficiency: ``1 - √((r - 1)² + (α - 1)² + (β - 1)²)``, in (-∞, 1].

    r is Spearman's rank correlation (ties share their mean rank), ``α = 1 - ½ Σ|s_k / (n s̄) - o_k / (n ō)|``
    over the two flow duration curves, each sorted apart and divided by its sum, and β = s̄ / ō. No
    assumption of normal errors or of a linear relation goes into it. Undefined where either series is
    constant or sums to zero.

    Pool et al. (2018), Hydrol. Sci. J. 63, 1941-1953, 10.1080/02626667.2018.1552002.
    """
    s, o, days = _duration_curves(simulated, observed)
    totals = [_total(curve, ~np.isnan(curve)) for curve in (s, o)]
    shares = [ratio(curve, total[:, None]) for curve, total in zip((s, o), totals, strict=True)]
    alpha = 1.0 - 0.5 * _total(np.abs(shares[0] - shares[1]), np.arange(s.shape[-1]) < days[:, None])
    there = ~np.isnan(observed)
    ranks = [_ranks(np.where(there, series, np.nan)) for series in (simulated, observed)]
    return distance_to_one(correlation(Moments.of(*ranks)), alpha, ratio(*totals))


def _duration_curves(simulated: Array, observed: Array) -> tuple[Array, Array, Array]:
    """Sort both series in falling order, days without observation last; and count the others."""
    there = ~np.isnan(observed)
    days = there.sum(axis=-1).astype(np.float64)
    broken = (np.isnan(simulated) & there).any(axis=-1, keepdims=True)
    s = np.where(broken, np.nan, np.where(there, simulated, np.nan))
    return -np.sort(-s, axis=-1), -np.sort(-observed, axis=-1), days


def _rmse_beyond(simulated: Array, observed: Array, share: float, sign: float) -> Array:
    """Give the RMSE of the share of days whose observation, times the sign, is highest; ties count too."""
    there = ~np.isnan(observed)
    days = there.sum(axis=-1)
    ordered = -np.sort(-sign * observed, axis=-1)  # days without observation last
    count = np.round(share * days).astype(int)
    if ordered.shape[-1] == 0:
        return np.full(len(ordered), np.nan)
    least = np.take_along_axis(ordered, np.maximum(count - 1, 0)[:, None], axis=-1)
    chosen = there & (sign * observed >= least) & (count > 0)[:, None]
    broken = (np.isnan(simulated) & there).any(axis=-1)
    total = _total((simulated - observed) ** 2, chosen)
    return np.where(broken, np.nan, np.sqrt(ratio(total, chosen.sum(axis=-1).astype(np.float64))))


def _ranks(values: Array) -> Array:
    """Give the rank of each value of its row, from 1; ties share their mean, NaN has none."""
    missing = np.isnan(values)
    ranks = rankdata(np.where(missing, np.inf, values), axis=-1) if values.size else np.zeros(values.shape)
    return np.where(missing, np.nan, ranks)


def _total(values: Array, where: NDArray[np.bool_]) -> Array:
    """Add the chosen values along time; zero where none is chosen."""
    return np.asarray(np.where(where, values, 0.0).sum(axis=-1), dtype=np.float64)
