"""The table of metrics: dims, units, refusals, and sites worked on in blocks."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.evaluation import skill as module
from thalweg.evaluation.skill import METRICS, skill
from thalweg.storage.errors import InputError


def rivers(sites: int = 4, days: int = 400, seed: int = 0) -> tuple[xr.DataArray, xr.DataArray]:
    generator = np.random.default_rng(seed)
    coords = {
        "site": [f"camels_{number:08d}" for number in range(sites)],
        "time": pd.date_range("1999-10-01", periods=days),
        "latitude": ("site", np.linspace(30, 48, sites)),
        "region": ("site", ["01"] * sites),
    }
    observed = xr.DataArray(generator.lognormal(0, 1, (sites, days)).astype("f4"), coords, ("site", "time"))
    simulated = observed * generator.lognormal(0, 0.5, (sites, days)).astype("f4")
    return simulated, observed.where(generator.random((sites, days)) > 0.1)


def test_every_metric_of_every_site_with_units_and_place() -> None:
    simulated, observed = rivers()
    table = skill(simulated, observed)
    assert list(table.data_vars) == [*METRICS, "n_days"]
    assert dict(table.sizes) == {"site": 4}
    assert table["region"].values.tolist() == ["01"] * 4
    assert "time" not in table.coords
    assert table["rmse"].attrs == {"long_name": "root mean squared error", "units": "mm/day", "perfect": 0.0}
    np.testing.assert_array_equal(table["n_days"], observed.notnull().sum("time"))
    for name in METRICS:
        assert np.isfinite(table[name]).all(), name
        alone = METRICS[name](simulated.values.astype(float), observed.values.astype(float))
        np.testing.assert_array_equal(table[name], alone)


def test_the_contract_of_names() -> None:
    assert list(METRICS) == [
        "nse", "kge_2009", "kge_2012", "kge_np", "rmse", "mae", "bias", "correlation", "variance_ratio",
        "mean_ratio", "fhv", "flv", "fms", "rmse_high", "rmse_low", "peak_timing", "missed_peaks", "log_nse",
    ]  # fmt: skip
    for metric in METRICS.values():
        assert metric.function.__doc__
        assert metric.long_name
    values = np.array([-2.0, 0.5, 1.0])
    assert METRICS["nse"].error(values).tolist() == [2.0, -0.5, -1.0]
    assert METRICS["bias"].error(values).tolist() == [2.0, 0.5, 1.0]
    assert METRICS["variance_ratio"].error(values).tolist() == [3.0, 0.5, 0.0]
    assert METRICS["rmse"].error(values).tolist() == values.tolist()


def test_blocks_of_sites_and_the_order_of_dims_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated, observed = rivers(sites=7)
    whole = skill(simulated, observed)
    monkeypatch.setattr(module, "SITES_AT_ONCE", 3)
    xr.testing.assert_identical(skill(simulated.transpose("time", "site"), observed), whole)
    xr.testing.assert_identical(skill(simulated.chunk({"site": 2}), observed.chunk({"time": 100})), whole)


def test_a_missing_simulation_makes_the_site_nan_and_no_other() -> None:
    simulated, observed = rivers()
    day = int(observed[2].notnull().values.argmax())
    simulated[2, day] = np.nan
    table = skill(simulated, observed)
    for name in METRICS:
        assert table[name].isnull().values.tolist() == [False, False, True, False], name
    assert table["n_days"][2] > 300
    simulated, observed = rivers()
    observed[2, day] = np.nan
    simulated[2, day] = np.nan
    assert skill(simulated, observed)["nse"].notnull().all(), "nobody observed that day"


def test_too_few_days_an_empty_site_and_absurd_values_are_nan_never_infinite() -> None:
    simulated, observed = (array.astype(float) for array in rivers(sites=5, days=200))
    observed[0] = observed[0].where(observed[0].notnull().cumsum() < 30)
    observed[1] = np.nan
    observed[2] = 0.0
    simulated[3, 3] = np.inf
    simulated[4] = 1e200
    table = skill(simulated, observed)
    assert table["n_days"].values.tolist()[:2] == [29, 0]
    for name in METRICS:
        assert not np.isinf(table[name]).any(), name
        assert np.isnan(table[name][:2]).all(), name
    assert np.isnan(table["nse"][2])
    assert table["rmse"][2] > 0
    assert np.isfinite(skill(simulated, observed, minimum_days=10)["nse"][0])


def shift_time(array: xr.DataArray) -> xr.DataArray:
    return array.assign_coords(time=array["time"] + np.timedelta64(1, "D"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shift_time, "differ in 400 of 400 along time, first at 0: 1999-10-02"),
        (
            lambda a: a.isel(site=slice(None, None, -1)),
            "differ in 4 of 4 along site, first at 0: camels_00000003",
        ),
        (lambda a: a.isel(time=slice(1, None)), "has 399 and observed 400 along time"),
        (lambda a: a.isel(site=0), "must have \\('site', 'time'\\)"),
        (lambda a: a.drop_vars("site"), "only one of simulated and observed has labels along site"),
        (lambda a: a.rename(site="gauge"), "must have \\('site', 'time'\\)"),
    ],
)
def test_misaligned_data_are_refused(change: Callable[[xr.DataArray], xr.DataArray], message: str) -> None:
    simulated, observed = rivers()
    with pytest.raises(InputError, match=message):
        skill(change(simulated), observed)


def test_chosen_metrics_and_unknown_ones() -> None:
    simulated, observed = rivers()
    assert list(skill(simulated, observed, metrics=["rmse", "fhv"]).data_vars) == ["rmse", "fhv", "n_days"]
    with pytest.raises(InputError, match="unknown metric nsee; there are nse, "):
        skill(simulated, observed, metrics=["nsee"])


def test_no_sites_and_one_day() -> None:
    simulated, observed = rivers()
    assert skill(simulated[:0], observed[:0]).sizes["site"] == 0
    one = skill(simulated[:, :1], observed[:, :1], minimum_days=1)
    assert np.isnan(one["nse"]).all()
    assert one["rmse"].notnull().values.tolist() == observed[:, 0].notnull().values.tolist()


def test_four_hundred_sites_and_ten_years_take_seconds() -> None:
    simulated, observed = rivers(sites=431, days=3653)
    start = time.perf_counter()
    skill(simulated, observed)
    assert time.perf_counter() - start < 20, "0.8 s on a quiet machine"
