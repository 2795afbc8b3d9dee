"""Floors: forecasts that need no model. A model that does not beat them has learned nothing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import check_aligned
from thalweg.storage.errors import InputError

SMOOTHING_DAYS = 31  # a month: daily means of ten years are still noisy


def climatology(
    observed_train: xr.DataArray,
    times: pd.DatetimeIndex | xr.DataArray,
    sites: Iterable[str] | None = None,
    smoothing: int = SMOOTHING_DAYS,
) -> xr.DataArray:
    """Give the mean of the day of the year over the training years, smoothed over the turn of the year.

    Parameters
    ----------
    observed_train : discharge of the training sites and days (mm/day), ``(site, time)``; NaN left out.
    times : days to forecast. The 29th of February shares the value of the 28th.
    sites : sites to forecast; those of training if absent. A site that was not trained on, or has no
        observation in training, gets the mean of the training sites' climatologies.
    smoothing : days of the centred running mean, odd; each day weighs as often as it was observed.

    Returns
    -------
    DataArray ``(site, time)`` (mm/day), without NaN.

    Raises
    ------
    InputError
        When training holds no observation at all.
    """
    ordered = observed_train.transpose("site", "time")
    trained = [str(site) for site in ordered["site"].values]
    yearly = _daily_means(ordered.values, pd.DatetimeIndex(ordered["time"].values), smoothing)
    known = np.asarray(~np.isnan(yearly).any(axis=-1))
    if not known.any():
        raise InputError(
            "climatology: the training part holds no observed discharge; check its sites and dates"
        )
    unknown = yearly[known].mean(axis=0)
    of = {site: row for site, row, good in zip(trained, yearly, known, strict=True) if good}
    wanted = trained if sites is None else [str(site) for site in sites]
    index = pd.DatetimeIndex(times.values if isinstance(times, xr.DataArray) else times)
    table = np.stack([of.get(site, unknown) for site in wanted]) if wanted else np.zeros((0, 365))
    return _forecast(table[:, _day_of_year(index)], wanted, index, "climatology")


def persistence(
    observed: xr.DataArray,
    lead: int = 1,
    times: pd.DatetimeIndex | xr.DataArray | None = None,
    fill: xr.DataArray | None = None,
) -> xr.DataArray:
    """Give the last discharge observed at least ``lead`` days earlier.

    It knows what no model here is told, the river's state of yesterday; so it is a floor for forecasts
    and a hard one for simulations, at ungauged sites beyond what can be known.

    Parameters
    ----------
    observed : discharge (mm/day), ``(site, time)``, of consecutive days; let it begin before ``times``.
    lead : days, at least 1.
    times : days to forecast, within those of ``observed``; all of them if absent.
    fill : value where nothing was observed early enough, such as the climatology, ``(site, time)`` of the
        sites and days to forecast; else NaN, with which such a site has no score.

    Returns
    -------
    DataArray ``(site, time)`` (mm/day).

    Raises
    ------
    InputError
        When days are left out of ``observed``, or are asked for that it does not hold.
    """
    if lead < 1:
        raise InputError(f"persistence: lead of {lead} days; it must be at least 1")
    ordered = observed.transpose("site", "time")
    index = pd.DatetimeIndex(ordered["time"].values)
    if len(index) > 1 and not (np.diff(index.values) == np.timedelta64(1, "D")).all():
        raise InputError("persistence: observed days are not consecutive; give every day, NaN where missing")
    values = pd.DataFrame(ordered.values.T).ffill().shift(lead).to_numpy(dtype=np.float64).T
    sites = [str(site) for site in ordered["site"].values]
    forecast = _forecast(values, sites, index, "persistence")
    if times is not None:
        wanted = pd.DatetimeIndex(times.values if isinstance(times, xr.DataArray) else times)
        absent = wanted.difference(index)
        if len(absent):
            raise InputError(f"persistence: {absent[0].date()} is not among the observed days")
        forecast = forecast.sel(time=wanted)
    if fill is not None:
        check_aligned(forecast, fill)
        forecast = forecast.fillna(fill.transpose("site", "time").values)
    return forecast


def _forecast(values: Array, sites: list[str], times: pd.DatetimeIndex, name: str) -> xr.DataArray:
    attrs = {"units": "mm/day", "long_name": f"discharge by {name}"}
    coords = {"site": np.array(sites, dtype=object), "time": times}
    return xr.DataArray(values, coords=coords, dims=("site", "time"), name="discharge", attrs=attrs)


def _daily_means(values: Array, times: pd.DatetimeIndex, smoothing: int) -> Array:
    """Give smoothed means ``(site, 365)``; where a window holds no day, the site's mean; NaN without any."""
    if smoothing < 1 or smoothing % 2 == 0 or smoothing > 365:
        raise InputError(f"climatology: smoothing over {smoothing} days; it must be odd, from 1 to 365")
    there = ~np.isnan(values)
    days = _day_of_year(times)
    sums, counts = np.zeros((2, len(values), 365))
    np.add.at(sums.T, days, np.where(there, values, 0.0).T)
    np.add.at(counts.T, days, there.T)
    half = smoothing // 2
    windows = [
        np.lib.stride_tricks.sliding_window_view(
            np.concatenate([x[:, 365 - half :], x, x[:, :half]], axis=-1), smoothing, axis=-1
        ).sum(axis=-1)
        for x in (sums, counts)
    ]
    with np.errstate(invalid="ignore"):
        overall = sums.sum(axis=-1, keepdims=True) / counts.sum(axis=-1, keepdims=True)
        smooth = windows[0] / windows[1]
    return np.asarray(np.where(windows[1] > 0, smooth, overall), dtype=np.float64)


def _day_of_year(times: pd.DatetimeIndex) -> NDArray[np.int64]:
    """Give 0 to 364; the 29th of February and later days of a leap year fall back by one."""
    day = np.asarray(times.day_of_year, dtype=np.int64) - 1
    late = np.asarray(times.is_leap_year) & (day >= 59)
    return day - late
