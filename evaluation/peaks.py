"""Scores of single peaks of the hydrograph: their timing, and whether they are there at all.

Both take simulated and observed discharge (mm/day), ``(site, time)`` of consecutive days, and give
``(site,)``: NaN where no observed peak is left, or where a simulated value is missing on an observed day.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from thalweg.evaluation.moments import Array

TIMING_WINDOW = 3  # days on either side of an observed peak
TIMING_DISTANCE = 100  # days between observed peaks at least
MISSED_WINDOW = 1
MISSED_DISTANCE = 30
MISSED_QUANTILE = 0.8


class Peaks(NamedTuple):
    """Observed peaks of one site: their places in the record, and what the simulation made of each."""

    days: NDArray[np.int64]
    values: Array


def peak_timing(simulated: Array, observed: Array) -> Array:
    """Mean absolute lag between observed and simulated peaks (days), in [0, 3].

    Observed peaks stand out by at least one standard deviation of the observations and are at least 100
    days apart. The simulated peak is on the same day where the simulation has a local maximum there, else on
    the day of its maximum within 3 days on either side. Peaks within 3 days of a missing day or of an
    end of the record are passed over. Undefined where no peak is left.

    Kratzert et al. (2021), Hydrol. Earth Syst. Sci. 25, 2685-2703, 10.5194/hess-25-2685-2021, appendix.
    """
    return _mean_of([lags(s, o) for s, o in zip(simulated, observed, strict=True)])


def missed_peaks(simulated: Array, observed: Array) -> Array:
    """Share of observed peaks without a simulated one within a day, in [0, 1].

    Peaks are local maxima above the 80 % quantile of their own series, at least 30 days apart: a simulation
    that is too low everywhere misses none for it. Peaks within a day of a missing day or of an end of the
    record are passed over. Undefined where no peak is left.

    Nearing et al. (2022), Hydrol. Earth Syst. Sci. 26, 5493-5513, 10.5194/hess-26-5493-2022.
    """
    return _mean_of([misses(s, o) for s, o in zip(simulated, observed, strict=True)])


def lags(simulated: Array, observed: Array) -> Peaks | None:
    """Give the lag (days) of each peak of one site, ``(time,)``; None where a simulated day is missing."""
    there = ~np.isnan(observed)
    if np.isnan(simulated[there]).any():
        return None
    spread = observed[there].std() if there.any() else 0.0
    found = _peaks(observed, there, TIMING_WINDOW, distance=TIMING_DISTANCE, prominence=max(spread, 1e-300))
    values = []
    for day in found:
        around = simulated[day - TIMING_WINDOW : day + TIMING_WINDOW + 1]
        middle = around[TIMING_WINDOW]
        same_day = middle > around[TIMING_WINDOW - 1] and middle > around[TIMING_WINDOW + 1]
        values.append(0 if same_day else abs(int(around.argmax()) - TIMING_WINDOW))
    return Peaks(found, np.array(values, dtype=np.float64))


def misses(simulated: Array, observed: Array) -> Peaks | None:
    """Give 1 for each peak of one site that is missed, else 0; None where a simulated day is missing."""
    there = ~np.isnan(observed)
    if np.isnan(simulated[there]).any():
        return None
    places = []
    for series in (observed, simulated):
        height = np.quantile(series[there], MISSED_QUANTILE) if there.any() else 0.0
        window = MISSED_WINDOW if series is observed else 0
        places.append(_peaks(series, there, window, distance=MISSED_DISTANCE, height=height))
    apart = np.abs(places[0][:, None] - places[1][None, :]).min(axis=-1, initial=observed.size)
    return Peaks(places[0], (apart > MISSED_WINDOW).astype(np.float64))


def _peaks(series: Array, there: NDArray[np.bool_], window: int, **settings: float) -> NDArray[np.int64]:
    """Give the days of local maxima that have ``window`` known days on either side."""
    if not there.any():
        return np.zeros(0, dtype=np.int64)
    # straight lines over gaps make no peaks within them
    filled = np.interp(np.arange(series.size), np.flatnonzero(there), series[there])
    found, _ = find_peaks(filled, **settings)
    known = np.cumsum(np.pad(there, (window + 1, window)))
    whole = known[found + 2 * window + 1] - known[found] == 2 * window + 1
    return np.asarray(found[whole], dtype=np.int64)


def _mean_of(peaks: list[Peaks | None]) -> Array:
    means = [np.nan if one is None or not one.days.size else one.values.mean() for one in peaks]
    return np.array(means, dtype=np.float64)
