"""Climatology and persistence: leap days, gaps, sites never seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.evaluation.floors import climatology, persistence
from thalweg.storage.errors import InputError


def series(values: np.ndarray, start: str = "1995-01-01", sites: list[str] | None = None) -> xr.DataArray:
    names = sites or [f"s{number}" for number in range(len(values))]
    coords = {"site": names, "time": pd.date_range(start, periods=values.shape[1])}
    return xr.DataArray(values, coords, ("site", "time"))


def yearly(days: int = 3653, sites: int = 2) -> xr.DataArray:
    """Discharge (mm/day) that is a smooth function of the calendar day alone."""
    times = pd.date_range("1995-01-01", periods=days)
    position = np.minimum(times.day_of_year - 1 - (times.is_leap_year & (times.day_of_year > 59)), 364)
    wave = 2 + np.cos(2 * np.pi * position / 365)
    return series(np.stack([wave * (site + 1) for site in range(sites)]))


def test_a_yearly_cycle_comes_back() -> None:
    train = yearly()
    times = pd.date_range("2007-06-01", "2009-03-05")
    forecast = climatology(train, times, smoothing=1)
    assert forecast.dims == ("site", "time")
    expected = yearly(days=6000).sel(time=times)
    np.testing.assert_allclose(forecast, expected, rtol=1e-12)
    smooth = climatology(train, times)
    np.testing.assert_allclose(smooth, expected, rtol=0.02)
    assert float(smooth.max() - smooth.min()) < float(forecast.max() - forecast.min())


def test_leap_days_and_leap_years() -> None:
    times = pd.date_range("1996-02-27", "1996-03-02")
    forecast = climatology(yearly(days=365), times, smoothing=1)
    first = yearly(days=365)[0].values
    np.testing.assert_allclose(
        forecast[0], [first[57], first[58], first[58], first[59], first[60]], rtol=1e-12
    )
    last = climatology(yearly(), pd.DatetimeIndex(["1996-12-31", "1997-12-31"]), smoothing=1)
    assert float(last[0, 0]) == pytest.approx(float(last[0, 1]))


def test_the_mean_weighs_days_and_wraps_around_the_turn_of_the_year() -> None:
    values = np.full((1, 365), np.nan)
    values[0, [0, 364]] = [2.0, 4.0]
    forecast = climatology(series(values), pd.date_range("2001-01-01", periods=365), smoothing=3)
    assert forecast[0, [0, 364]].values.tolist() == [3.0, 3.0], "31 December and 1 January are neighbours"
    assert forecast[0, 1] == 2.0
    assert (forecast[0, 3:362] == 3.0).all(), "no day nearby: the site's mean"


def test_sites_never_seen_get_the_mean_of_the_others() -> None:
    train = xr.concat([yearly(), series(np.full((1, 3653), np.nan), sites=["dry"])], "site")
    times = pd.date_range("2008-01-01", periods=60)
    forecast = climatology(train, times, sites=["s1", "new", "dry"])
    assert forecast["site"].values.tolist() == ["s1", "new", "dry"]
    trained = climatology(train, times)
    np.testing.assert_allclose(forecast.sel(site="new"), trained.sel(site=["s0", "s1"]).mean("site"))
    np.testing.assert_array_equal(forecast.sel(site="dry"), forecast.sel(site="new"))
    assert forecast.notnull().all()
    assert climatology(train, times, sites=[]).shape == (0, 60)


def test_a_climatology_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no observed discharge"):
        climatology(series(np.full((2, 30), np.nan)), pd.date_range("2000-01-01", periods=3))
    with pytest.raises(InputError, match="must be odd"):
        climatology(yearly(), pd.date_range("2000-01-01", periods=3), smoothing=30)


def test_climatology_sees_training_alone() -> None:
    whole = yearly(days=6000)
    train = whole.isel(time=slice(0, 3000))
    before = climatology(train, whole["time"])
    whole[:, 3000:] = 1e6
    xr.testing.assert_identical(climatology(whole.isel(time=slice(0, 3000)), whole["time"]), before)


def test_persistence_is_the_last_observed_day() -> None:
    observed = series(np.array([[1.0, 2.0, np.nan, 4.0, 5.0], [np.nan, 7.0, 8.0, 9.0, 10.0]]))
    nan = np.nan
    np.testing.assert_array_equal(persistence(observed), [[nan, 1, 2, 2, 4], [nan, nan, 7, 8, 9]])
    np.testing.assert_array_equal(persistence(observed, lead=2), [[nan, nan, 1, 2, 2], [nan, nan, nan, 7, 8]])
    late = persistence(observed, times=observed["time"][2:])
    np.testing.assert_array_equal(late, [[2, 2, 4], [7, 8, 9]])
    filled = persistence(observed, fill=xr.zeros_like(observed))
    np.testing.assert_array_equal(filled, [[0, 1, 2, 2, 4], [0, 0, 7, 8, 9]])


def test_persistence_refuses_what_it_cannot_know() -> None:
    observed = series(np.ones((1, 10)))
    with pytest.raises(InputError, match="at least 1"):
        persistence(observed, lead=0)
    with pytest.raises(InputError, match="not consecutive"):
        persistence(observed.isel(time=[0, 1, 3]))
    with pytest.raises(InputError, match="1995-01-11 is not among"):
        persistence(observed, times=pd.date_range("1995-01-05", periods=10))
    with pytest.raises(InputError, match="along time"):
        persistence(observed, times=observed["time"][2:], fill=observed)
