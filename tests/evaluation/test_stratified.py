"""Strata: seasons, flow classes and attribute classes, and skill in each that is that of its days alone."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.evaluation.intervals import median_interval
from thalweg.evaluation.moments import Moments
from thalweg.evaluation.skill import skill, skill_of_moments
from thalweg.evaluation.stratified import (
    attribute_classes,
    flow_classes,
    seasons,
    skill_by_days,
    skill_by_sites,
)
from thalweg.storage.errors import InputError


def rivers(sites: int = 9, days: int = 1461, seed: int = 0) -> tuple[xr.DataArray, xr.DataArray]:
    generator = np.random.default_rng(seed)
    coords = {
        "site": [f"s{number}" for number in range(sites)],
        "time": pd.date_range("1999-10-01", periods=days),
        "region": ("site", [f"{number // 3:02d}" for number in range(sites)]),
    }
    observed = xr.DataArray(generator.lognormal(0, 1, (sites, days)), coords, ("site", "time"))
    simulated = observed * generator.lognormal(0, 0.5, (sites, days))
    return simulated, observed.where(generator.random((sites, days)) > 0.1)


def test_seasons_by_month() -> None:
    labels = seasons(pd.DatetimeIndex(["2000-02-29", "2000-03-01", "2000-08-31", "2000-09-01", "2000-12-01"]))
    assert labels.values.tolist() == ["DJF", "MAM", "JJA", "SON", "DJF"]


def test_flow_classes_are_quantiles_of_each_river() -> None:
    flow = np.stack([np.arange(1.0, 101.0), 1e3 * np.arange(100.0, 0.0, -1.0)])
    flow[0, 50] = np.nan
    observed = xr.DataArray(flow, dims=("site", "time"))
    labels = flow_classes(observed, (0.3, 0.98))
    assert labels[0, 50] == ""
    counts = [dict(zip(*np.unique(row, return_counts=True), strict=True)) for row in labels.values]
    assert counts[1] == {"0-30 %": 30, "30-98 %": 68, "98-100 %": 2}
    assert sum(counts[0].values()) == 100
    assert labels[1, 0] == labels[0, 99] == "98-100 %"
    dry = flow_classes(xr.DataArray(np.r_[np.zeros(60), np.ones(40)][None], dims=("site", "time")))
    assert (dry[0, :60] == "0-30 %").all(), "equal flows stay together"
    for bounds in ((0.5, 0.3), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(InputError, match="they must rise, between 0 and 1"):
            flow_classes(observed, bounds)


def test_skill_in_a_stratum_is_that_of_its_days() -> None:
    simulated, observed = rivers()
    table = skill_by_days(simulated, observed, seasons(observed["time"]))
    assert table["stratum"].values.tolist() == ["DJF", "MAM", "JJA", "SON"]
    summer = observed["time"].dt.month.isin([6, 7, 8])
    alone = skill(simulated.sel(time=summer), observed.sel(time=summer))
    for name in ("nse", "kge_np", "rmse", "fhv", "n_days"):
        found = table[name].sel(stratum="JJA")
        np.testing.assert_allclose(found, alone[name], rtol=1e-12, err_msg=name)
    assert table["rmse"].attrs["units"] == "mm/day"
    assert table["region"].dims == ("site",)
    by_flow = skill_by_days(simulated, observed, flow_classes(observed), metrics=["rmse"])
    assert by_flow["stratum"].values.tolist() == ["0-30 %", "30-80 %", "80-98 %", "98-100 %"]
    assert (by_flow["rmse"][:3].diff("stratum") > 0).all(), "errors grow with flow"
    assert by_flow["rmse"][3].isnull().all(), "26 or 27 days are too few"
    assert (by_flow["n_days"].sum("stratum") == skill(simulated, observed)["n_days"]).all()


def test_sums_of_the_strata_are_those_of_the_record_to_the_last_bit() -> None:
    simulated, observed = rivers()
    whole = skill_of_moments(Moments.of(simulated.values, observed.values))
    for labels in (seasons(observed["time"]).values, flow_classes(observed).values):
        parts = [
            Moments.of(simulated.values, observed.where(labels == name).values)
            for name in pd.unique(labels.ravel())
            if name
        ]
        for name, values in skill_of_moments(reduce(add, parts)).items():
            np.testing.assert_array_equal(values, whole[name], err_msg=name)


def test_attribute_classes() -> None:
    site = {"site": list("abcdef")}
    aridity = xr.DataArray([0.2, 3.0, np.nan, 0.5, 0.9, 1.1], site, ("site",), name="aridity")
    assert attribute_classes(aridity, 2).values.tolist() == [
        "0.2 to 0.9", "1.1 to 3", "unknown", "0.2 to 0.9", "0.2 to 0.9", "1.1 to 3",
    ]  # fmt: skip
    assert set(attribute_classes(xr.ones_like(aridity), 3).values) == {"1 to 1"}
    rock = xr.DataArray(["clay", "", "sand", None, "sand", "clay"], site, ("site",))
    assert attribute_classes(rock).values.tolist() == ["clay", "unknown", "sand", "unknown", "sand", "clay"]
    high = xr.DataArray([1000.1, 1000.2, 1000.3, 1000.4], {"site": list("abcd")}, ("site",), name="elevation")
    assert len(set(attribute_classes(high, 2).values)) == 2, "classes that three digits do not tell apart"
    with pytest.raises(InputError, match="aridity: 0 classes"):
        attribute_classes(aridity, 0)
    with pytest.raises(InputError, match="must have \\('site',\\)"):
        attribute_classes(aridity.expand_dims(year=2))


def test_medians_of_regions_and_of_seasons() -> None:
    simulated, observed = rivers()
    scores = skill(simulated, observed)
    table = skill_by_sites(scores, observed["region"]).set_index(["metric", "sites_of"])
    row = table.loc[("nse", "01")]
    assert row["median"] == float(scores["nse"][3:6].median())
    assert row[["median", "low", "high"]].tolist() == list(median_interval(scores["nse"][3:6]))
    assert row["sites"] == 3
    assert row["days"] == "all"
    assert len(table) == 18 * 3
    seasonal = skill_by_sites(skill_by_days(simulated, observed, seasons(observed["time"]), metrics=["nse"]))
    assert seasonal["days"].tolist() == ["DJF", "MAM", "JJA", "SON"]
    assert (seasonal["sites_of"] == "all").all()
    classes = xr.DataArray(
        [2.0, 30.0, 30.0, 2.0, 10.0, 10.0, 10.0, np.nan, 2.0], {"site": observed["site"]}, ("site",)
    )
    ordered = skill_by_sites(scores, attribute_classes(classes))["sites_of"]
    assert pd.unique(ordered).tolist() == ["2 to 2", "10 to 10", "30 to 30", "unknown"]


def test_strata_that_do_not_fit_are_refused() -> None:
    simulated, observed = rivers(sites=2, days=100)
    with pytest.raises(InputError, match="strata have dimensions"):
        skill_by_days(simulated, observed, seasons(observed["time"][:50]))
    with pytest.raises(InputError, match="no day has a label"):
        skill_by_days(simulated, observed, xr.full_like(observed, "", dtype=object))
    with pytest.raises(InputError, match="one label for each site"):
        skill_by_sites(skill(simulated, observed), seasons(observed["time"]))
