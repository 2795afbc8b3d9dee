"""A pooled forecast is the mixture of its members, whatever they are kept as."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from thalweg.evaluation.uncertainty.pooling import pool_forecasts
from thalweg.evaluation.uncertainty.probabilistic import (
    central_interval,
    forecast_deviation,
    probabilistic_skill,
)
from thalweg.storage.errors import InputError

SITES, DAYS = ["a", "b"], pd.date_range("2001-01-01", periods=40)
LEVELS = np.round(np.arange(0.01, 1.0, 0.01), 2)


def array(values: np.ndarray, along: str, labels: np.ndarray | None = None) -> xr.DataArray:
    coords = {"site": SITES, "time": DAYS} | ({} if labels is None else {along: labels})
    return xr.DataArray(values, coords, (along, "site", "time"))


def normal(mean: np.ndarray, deviation: float) -> xr.Dataset:
    location = array(mean[None], "component")
    return xr.Dataset({"location": location, "scale": xr.full_like(location, deviation)})


@pytest.fixture
def means() -> np.ndarray:
    return np.random.default_rng(1).gamma(2.0, 2.0, (2, 2, 40))  # (forecast, site, time)


def test_pooled_quantiles_are_those_of_the_mixture(means: np.ndarray) -> None:
    deviations = (0.5, 1.5)
    quantiles = [
        array(stats.norm.ppf(LEVELS[:, None, None], mean, deviation), "quantile", LEVELS)
        for mean, deviation in zip(means, deviations, strict=True)
    ]
    pooled = pool_forecasts(quantiles)
    exact = pool_forecasts([normal(m, d) for m, d in zip(means, deviations, strict=True)])
    assert isinstance(pooled, xr.DataArray)
    for level in (0.5, 0.8, 0.9):
        straight, curved = central_interval(pooled, level), central_interval(exact, level)
        assert straight is not None
        assert curved is not None
        for bound in ("lower", "upper"):
            np.testing.assert_allclose(straight[bound], curved[bound], atol=0.05)


def test_a_forecast_pooled_with_itself_is_itself(means: np.ndarray) -> None:
    levels = np.array([0.05, 0.5, 0.9])
    one = array(np.sort(np.stack([means[0], means[1], means[0] + 1.0]), axis=0), "quantile", levels)
    np.testing.assert_allclose(pool_forecasts([one, one, one]), one)


def test_a_day_that_a_member_lacks_is_missing(means: np.ndarray) -> None:
    levels = np.array([0.1, 0.9])
    one = array(np.stack([means[0], means[0] + 1.0]), "quantile", levels)
    gap = one.where(one["time"] != DAYS[3])
    pooled = pool_forecasts([one, gap])
    assert np.isnan(pooled.sel(time=DAYS[3])).all()
    assert np.isfinite(pooled.drop_sel(time=DAYS[3])).all()


def test_members_are_put_together(means: np.ndarray) -> None:
    pooled = pool_forecasts([array(means, "member"), array(means + 1.0, "member")])
    assert pooled.sizes["member"] == 4
    observed = xr.DataArray(means[0], {"site": SITES, "time": DAYS}, ("site", "time"))
    assert np.isfinite(probabilistic_skill(pooled, observed)["crps"]).all()


def test_kinds_are_not_mixed(means: np.ndarray) -> None:
    members = array(means, "member")
    levels = array(np.sort(means, axis=0), "quantile", np.array([0.1, 0.9]))
    for forecasts in ([members, levels], [members, normal(means[0], 1.0)], []):
        with pytest.raises(InputError, match="of one kind"):
            pool_forecasts(forecasts)
    shorter = levels.isel(time=slice(10))
    with pytest.raises(InputError, match="same levels, sites and days"):
        pool_forecasts([levels, shorter])


def test_deviation_and_interval_are_those_of_the_distribution(means: np.ndarray) -> None:
    forecast = normal(means[0], 2.0)
    deviation, interval = forecast_deviation(forecast), central_interval(forecast, 0.9)
    assert deviation is not None
    assert interval is not None
    np.testing.assert_allclose(deviation, 2.0)
    np.testing.assert_allclose(interval["upper"], stats.norm.ppf(0.95, means[0], 2.0))
    levels = array(np.sort(means, axis=0), "quantile", np.array([0.1, 0.9]))
    assert forecast_deviation(levels) is None
    assert central_interval(levels, 0.9) is None
    assert central_interval(array(means, "member"), 0.5) is None
