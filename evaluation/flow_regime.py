"""Scores of parts of the flow regime: the flow duration curve, low flows, the timing of peaks.

Each takes simulated and observed discharge (mm/day), ``(site, time)``, and gives ``(site,)``: NaN where it is
undefined, or where a simulated value is missing on an observed day. Days that were not observed are left
out. Order and logarithms of single days matter here, so these do not add up over parts of the record.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from thalweg.evaluation.efficiency import nse, ratio
from thalweg.evaluation.moments import Array, Moments

SMALLEST_FLOW = 1e-6  # mm/day: what zero becomes where a logarithm is taken, as in Kratzert et al. (2019)
HIGH_SHARE, LOW_SHARE, MIDDLE = 0.02, 0.3, (0.2, 0.7)
PEAK_WINDOW = 3  # days on either side of an observed peak
PEAK_DISTANCE = 100  # days between observed peaks at least


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
    epsilon = Moments.of(observed, observed).mean_observed[:, None] / 100.0
    with np.errstate(divide="ignore", invalid="ignore"):
        s, o = (np.log(np.maximum(series, 0.0) + epsilon) for series in (simulated, observed))
    return np.where(epsilon[:, 0] > 0.0, nse(Moments.of(s, o)), np.nan)


def peak_timing(simulated: Array, observed: Array) -> Array:
    """Mean absolute lag between observed and simulated peaks (days), in [0, 3].

    Observed peaks stand out by at least one standard deviation of the observations and are at least 100
    days apart. The simulated peak is on the same day where the simulation has a local maximum there, else on
    the day of its maximum within 3 days on either side. Peaks within 3 days of a missing day or of an
    end of the record are passed over. Undefined where no peak is left.

    Kratzert et al. (2021), Hydrol. Earth Syst. Sci. 25, 2685-2703, 10.5194/hess-25-2685-2021, appendix.
    """
    return np.array([_peak_lag(s, o) for s, o in zip(simulated, observed, strict=True)], dtype=np.float64)


def _peak_lag(simulated: Array, observed: Array) -> float:
    there = ~np.isnan(observed)
    if not there.any() or np.isnan(simulated[there]).any():
        return np.nan
    days = np.arange(observed.size)
    # straight lines over gaps make no peaks within them
    filled = np.interp(days, days[there], observed[there])
    peaks, _ = find_peaks(filled, distance=PEAK_DISTANCE, prominence=max(observed[there].std(), 1e-300))
    lags = []
    for peak in peaks:
        first, last = peak - PEAK_WINDOW, peak + PEAK_WINDOW + 1
        if first < 0 or last > observed.size or not there[first:last].all():
            continue
        around = simulated[first:last]
        middle = around[PEAK_WINDOW]
        same_day = middle > around[PEAK_WINDOW - 1] and middle > around[PEAK_WINDOW + 1]
        lags.append(0 if same_day else abs(int(around.argmax()) - PEAK_WINDOW))
    return float(np.mean(lags)) if lags else np.nan


def _duration_curves(simulated: Array, observed: Array) -> tuple[Array, Array, Array]:
    """Sort both series in falling order, days without observation last; and count the others."""
    there = ~np.isnan(observed)
    days = there.sum(axis=-1).astype(np.float64)
    broken = (np.isnan(simulated) & there).any(axis=-1, keepdims=True)
    s = np.where(broken, np.nan, np.where(there, simulated, np.nan))
    return -np.sort(-s, axis=-1), -np.sort(-observed, axis=-1), days


def _total(values: Array, where: NDArray[np.bool_]) -> Array:
    """Add the chosen values along time; zero where none is chosen."""
    return np.asarray(np.where(where, values, 0.0).sum(axis=-1), dtype=np.float64)
