"""Baseflow by the Lyne-Hollick digital filter, in the standard form of Ladson et al. (2013).

Lyne and Hollick (1979), Hydrology and Water Resources Symposium, Perth, 89-93; Ladson, Brown, Neal and Nathan
(2013), Aust. J. Water Resour. 17, 173-180, 10.7158/W12-028.2013.17.1. The filter says which part of a
hydrograph is slow; it is a reference to compare with, not a measurement of groundwater.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.signal import lfilter

from thalweg.evaluation.moments import Array
from thalweg.storage.errors import InputError

ALPHA = 0.925  # filter parameter for daily data
PASSES = 3  # forward, backward, forward
REFLECTED = 30  # days mirrored at both ends against the filter's warm-up


def baseflow_index(discharge: xr.DataArray, alpha: float = ALPHA, passes: int = PASSES) -> xr.DataArray:
    """Give the share of discharge that is baseflow.

    Parameters
    ----------
    discharge : (mm/day), ``(site, time)``. Unbroken stretches of more than 30 days are filtered apart and
        their indices averaged with their lengths as weights; shorter ones are left out.
    alpha : filter parameter in [0, 1).
    passes : odd.

    Returns
    -------
    DataArray ``(site,)`` in [0, 1]; NaN where no stretch is long enough or none has flow.
    """
    series = _series(discharge, alpha, passes)
    values = np.full(len(series), np.nan)
    for site, flow in enumerate(series):
        weights, shares = [], []
        for part in _stretches(flow):
            total = flow[part].sum()
            if total > 0.0:
                weights.append(part.stop - part.start)
                shares.append(_separate(flow[part], alpha, passes).sum() / total)
        if weights:
            values[site] = np.average(shares, weights=weights)
    coords = {str(name): coord for name, coord in discharge.coords.items() if coord.dims == ("site",)}
    attrs = {"long_name": "baseflow index", "units": "1"}
    return xr.DataArray(values, coords=coords, dims=("site",), name="baseflow_index", attrs=attrs)


def baseflow(discharge: xr.DataArray, alpha: float = ALPHA, passes: int = PASSES) -> xr.DataArray:
    """Give the slow part of discharge (mm/day), ``(site, time)``; NaN in stretches too short to filter."""
    series = _series(discharge, alpha, passes)
    values = np.full(series.shape, np.nan)
    for site, flow in enumerate(series):
        for part in _stretches(flow):
            values[site, part] = _separate(flow[part], alpha, passes)
    ordered = discharge.transpose("site", "time")
    attrs = {"long_name": "baseflow", "units": "mm/day"}
    return xr.DataArray(values, coords=ordered.coords, dims=ordered.dims, name="baseflow", attrs=attrs)


def _series(discharge: xr.DataArray, alpha: float, passes: int) -> Array:
    if set(discharge.dims) != {"site", "time"}:
        raise InputError(f"discharge has dimensions {discharge.dims}; it must have ('site', 'time')")
    if not 0.0 <= alpha < 1.0 or passes < 1 or passes % 2 == 0:
        raise InputError(f"baseflow filter: alpha {alpha} must be in [0, 1) and passes {passes} odd")
    values: Array = discharge.transpose("site", "time").values.astype(np.float64)
    return values


def _stretches(flow: Array) -> list[slice]:
    """Give the unbroken parts that are long enough to be mirrored."""
    there = np.concatenate([[False], ~np.isnan(flow), [False]])
    edges = np.flatnonzero(there[1:] != there[:-1])
    parts = [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [part for part in parts if part.stop - part.start > REFLECTED]


def _separate(flow: Array, alpha: float, passes: int) -> Array:
    slow = np.pad(flow, REFLECTED, mode="reflect")
    for number in range(passes):
        backward = number % 2 == 1
        slow = _pass(slow[::-1], alpha)[::-1] if backward else _pass(slow, alpha)
    return np.maximum(slow[REFLECTED:-REFLECTED], 0.0)


def _pass(flow: Array, alpha: float) -> Array:
    """Take quick flow off once: ``f_t = α f_{t-1} + (1 + α) / 2 · (q_t - q_{t-1})``, with ``f_0 = q_0``."""
    gain = (1.0 + alpha) / 2.0
    quick, _ = lfilter([gain, -gain], [1.0, -alpha], flow, zi=[(1.0 - gain) * flow[0]])
    return np.asarray(np.where(quick > 0.0, flow - quick, flow), dtype=np.float64)
