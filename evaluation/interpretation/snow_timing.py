"""When snow melts in a model, against the rise of rivers that were observed and a plain degree-day pack."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import check_aligned

FREEZING = 0.0  # degC, below which precipitation counts as snow, as in CAMELS-US's `frac_snow`
DEGREE_DAY = (
    3.0  # mm/degC/day, of the reference: middle of Hock (2003), 10.1016/S0022-1694(03)00257-9, table 1
)
SNOWY = 0.2  # share of precipitation that falls as snow, from which rivers show when it melts
FEWEST_DAYS = 350  # of a water year that must be known
LEAST_PACK = 5.0  # mm, largest of a water year: less has no melt to speak of
GONE = 0.1  # of the year's largest pack


def snow_timing(
    snow: xr.DataArray,
    simulated: xr.DataArray,
    observed: xr.DataArray,
    precipitation: xr.DataArray,
    temperature: xr.DataArray,
    measured: xr.DataArray | None = None,
) -> pd.DataFrame:
    """Compare each snowy site's simulated melt with what is known of it otherwise.

    All of ``(site, time)``, of the same sites and days. The centre of timing of a series is the mean day of
    the water year, from 1 October, weighted with the series (Stewart et al. 2005, 10.1175/JCLI3321.1).

    Parameters
    ----------
    snow : simulated snow water equivalent, liquid water in the pack included (mm).
    simulated, observed : discharge (mm/day); NaN where it was not observed.
    precipitation, temperature : forcing (mm/day, degC).
    measured : snow water equivalent from elsewhere (mm), where there is one.

    Returns
    -------
    Table by site, means over whole water years, days since 1 October: ``snow_share`` (of precipitation below
    freezing); ``melt`` (centre of the simulated pack's losses), ``melt_degree_day`` (of a pack with 3
    mm/degC/day from 0 degC), ``melt_measured``; ``gone``, ``gone_degree_day`` and ``gone_measured`` (first
    day with less than a tenth of the year's largest pack); ``flow_simulated`` and ``flow_observed``
    (centres of discharge); ``years``. Where less than a fifth falls as snow all but ``snow_share`` are NaN.
    """
    series = [x.transpose("site", "time") for x in (snow, simulated, observed, precipitation, temperature)]
    for other in series[1:]:
        check_aligned(series[0], other)
    pack, s, o, p, t = (x.values.astype(np.float64) for x in series)
    share = np.where(t < FREEZING, p, 0.0).sum(axis=1) / np.maximum(p.sum(axis=1), 1e-9)
    packs = {"": pack, "_degree_day": degree_day_pack(p, t)}
    if measured is not None:
        check_aligned(series[0], measured.transpose("site", "time"))
        packs["_measured"] = measured.transpose("site", "time").values.astype(np.float64)
    times = pd.DatetimeIndex(series[0]["time"].values)
    found: dict[str, list[Array]] = {}
    for days, since in _water_years(times):
        known = np.isfinite(o[:, days]).sum(axis=1) >= FEWEST_DAYS
        for name, depth in packs.items():
            melt, gone = _melt(depth[:, days], since)
            found.setdefault(f"melt{name}", []).append(melt)
            found.setdefault(f"gone{name}", []).append(gone)
        for name, flow in (("flow_simulated", s), ("flow_observed", o)):
            there = np.where(np.isfinite(o[:, days]), flow[:, days], 0.0)
            found.setdefault(name, []).append(np.where(known, _centre(there, since), np.nan))
    snowy = share >= SNOWY
    columns = {
        name: np.where(snowy, pd.DataFrame(years).mean().to_numpy(), np.nan) for name, years in found.items()
    }
    years = np.isfinite(np.array(found.get("melt", np.zeros((1, len(pack)))))).sum(axis=0)
    return pd.DataFrame(
        {"snow_share": share, **columns, "years": np.where(snowy, years, 0)},
        index=pd.Index([str(site) for site in series[0]["site"].values], name="site"),
    )


def degree_day_pack(precipitation: Array, temperature: Array) -> Array:
    """Give the snow water equivalent (mm) of the reference, ``(site, time)`` at the end of each day."""
    pack = np.zeros(precipitation.shape)
    held = np.zeros(len(precipitation))
    for day in range(precipitation.shape[1]):
        warmth = temperature[:, day] - FREEZING
        held = held + np.where(warmth < 0.0, precipitation[:, day], 0.0)
        held = held - np.minimum(held, DEGREE_DAY * np.maximum(warmth, 0.0))
        pack[:, day] = held
    return pack


def _melt(pack: Array, since: Array) -> tuple[Array, Array]:
    """Give the centre of a year's losses and the first day after its largest pack that has little of it."""
    lost = np.maximum(-np.diff(pack, axis=1, prepend=pack[:, :1]), 0.0)
    largest = np.nanmax(np.where(np.isnan(pack), -np.inf, pack), axis=1)
    enough = largest >= LEAST_PACK
    peak = np.nanargmax(np.where(np.isnan(pack), -np.inf, pack), axis=1)
    after = np.arange(pack.shape[1]) > peak[:, None]
    little = after & (pack <= GONE * largest[:, None])
    gone = np.where(little.any(axis=1), since[np.argmax(little, axis=1)], np.nan)
    return np.where(enough, _centre(np.nan_to_num(lost), since), np.nan), np.where(enough, gone, np.nan)


def _centre(series: Array, since: Array) -> Array:
    total = series.sum(axis=1)
    centre: Array = np.divide(series @ since, total, out=np.full(len(total), np.nan), where=total > 0.0)
    return centre


def _water_years(times: pd.DatetimeIndex) -> list[tuple[slice, Array]]:
    """Give the days of each whole water year, and their number since 1 October from 0."""
    starts = np.flatnonzero((times.month == 10) & (times.day == 1))
    ends = np.flatnonzero((times.month == 9) & (times.day == 30))
    years = []
    for first in starts:
        last = ends[ends > first][:1]
        if len(last) and last[0] - first in (364, 365):
            years.append((slice(int(first), int(last[0]) + 1), np.arange(last[0] - first + 1.0)))
    return years
