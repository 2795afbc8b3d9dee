"""Signatures against the published table of CAMELS-US and against rivers whose signatures are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.evaluation.interpretation.baseflow import baseflow_index
from thalweg.evaluation.signatures import SIGNATURES, compare_signatures, signature_skill, signatures
from thalweg.storage.errors import InputError

SAMPLE = Path(__file__).parents[2] / "examples" / "caravan_sample" / "timeseries" / "netcdf" / "camels"

# Rows of camels_hydro.txt, CAMELS attributes 2.0 (Addor et al. 2017, 10.5194/hess-21-5293-2017): water years
# 1990 to 2009; rivers without a dry day, of every size.
PUBLISHED = pd.DataFrame(
    [
        (1.22251, 1.66807, 0.507875, 159.7, 0.0704991, 4.14449, 9.2, 3.53846, 91.85, 14.935, 0.0),
        (1.32034, 1.64351, 0.630658, 174.8, 0.283969, 3.55578, 3.6, 1.6, 5.6, 6.58824, 0.0),
        (1.47548, 1.25454, 0.349477, 140.8, 0.0491702, 6.5245, 61.25, 10.6522, 184.7, 24.6267, 0.0),
        (1.81549, 1.33465, 0.592287, 168.2, 0.332302, 4.63146, 4.0, 1.45455, 23.25, 8.01724, 0.0),
        (1.8453, 1.72643, 0.571559, 162.4, 0.126951, 5.45491, 4.5, 1.83673, 74.1, 13.5963, 0.0),
        (2.18287, 1.41594, 0.473465, 184.8, 0.196458, 8.09515, 14.95, 2.57759, 71.55, 12.7768, 0.0),
        (1.90006, 1.76253, 0.504189, 164.0, 0.127762, 6.31144, 9.2, 2.02198, 79.1, 16.6526, 0.0),
        (4.65182, 1.94277, 0.500324, 115.85, 0.202861, 17.8952, 16.45, 2.99091, 127.45, 32.2658, 0.0),
    ],
    index=["02372250", "03471500", "08013000", "03479000", "02027500", "01047000", "01510000", "12013500"],
    columns=[
        "q_mean",
        "slope_fdc",
        "baseflow_index",
        "hfd_mean",
        "q5",
        "q95",
        "high_q_freq",
        "high_q_dur",
        "low_q_freq",
        "low_q_dur",
        "zero_q_freq",
    ],
)


def wrap(values: np.ndarray, start: str = "1989-10-01") -> xr.DataArray:
    rows = np.atleast_2d(values)
    names = [f"s{number}" for number in range(len(rows))]
    coords = {"site": names, "time": pd.date_range(start, periods=rows.shape[1])}
    return xr.DataArray(rows, coords, ("site", "time"))


def test_the_published_table_of_camels() -> None:
    """The sample's discharge is rounded to 0.01 mm/day, and divided by another survey's catchment area."""
    series = [
        xr.open_dataset(SAMPLE / f"camels_{gauge}.nc")["streamflow"].load() for gauge in PUBLISHED.index
    ]
    flow = xr.concat(series, pd.Index(PUBLISHED.index, name="site")).rename(date="time")
    found = signatures(flow.sel(time=slice("1989-10-01", "2009-09-30")), slope="mean").to_dataframe()
    # relative, and absolute what rounding does to low flows
    tolerance = {"q_mean": (0.025, 0), "q5": (0.025, 0.006), "q95": (0.025, 0.01), "slope_fdc": (0.02, 0)}
    tolerance |= {"high_q_freq": (0.03, 0), "high_q_dur": (0.06, 0)}
    for name in PUBLISHED.columns:
        relative, absolute = tolerance.get(name, (0.015, 0.01))
        np.testing.assert_allclose(found[name], PUBLISHED[name], rtol=relative, atol=absolute, err_msg=name)


def test_by_hand() -> None:
    """Two water years: one flood of ten days in each, of twelve times the base flow, and a dry month."""
    years = []
    for length, flood in ((365, 100), (365, 200)):
        flow = np.full(length, 1.0)
        flow[flood : flood + 10] = 12.0
        flow[300:330] = 0.0
        years.append(flow)
    flow = np.concatenate(years)
    rain = np.concatenate([np.full(365, 2.0), np.full(365, 2.0)])
    found = signatures(wrap(flow, "1989-10-01"), wrap(rain, "1989-10-01"))
    value = {name: float(found[name][0]) for name in found.data_vars}
    mean = (730 - 60 + 20 * 11) / 730
    assert value["q_mean"] == pytest.approx(mean)
    assert value["runoff_ratio"] == pytest.approx(mean / 2)
    assert value["high_q_freq"] == pytest.approx(20 / 730 * 365.25)
    assert value["high_q_dur"] == 10
    assert value["low_q_freq"] == pytest.approx(60 / 730 * 365.25)
    assert value["low_q_dur"] == 30
    assert value["zero_q_freq"] == pytest.approx(60 / 730)
    assert (value["q5"], value["q95"], value["slope_fdc"]) == (0.0, 1.0, 0.0)
    # half of a year's 445 mm is 222.5; the first has 100 + 120 by day 110, and 223 by day 113; the second has
    # 200 + 2 x 12 by day 202
    assert value["hfd_mean"] == pytest.approx((113 + 202) / 2)
    assert value["baseflow_index"] == float(baseflow_index(wrap(flow))[0])
    assert np.isnan(value["stream_elas"]), "rain never varied"


def test_elasticity_of_a_river_that_doubles_anomalies() -> None:
    rain = np.concatenate([np.full(365, mean) for mean in (2.0, 3.0, 4.0, 5.0, 6.0)])
    flow = 1.0 + 0.5 * (rain - 4.0)  # means of 1 and 4: 0.5 / 1 over 1 / 4
    found = signatures(wrap(flow, "1989-10-01"), wrap(rain, "1989-10-01"))
    assert float(found["stream_elas"][0]) == pytest.approx(2.0, abs=0.02), (
        "leap days shift the means a little"
    )


def test_slopes_of_a_known_curve() -> None:
    flow = np.random.default_rng(1).permutation(np.exp(3.0 * np.linspace(0, 1, 1001)))
    found = signatures(wrap(flow))
    assert float(found["slope_fdc"][0]) == pytest.approx(3.0, rel=1e-6), "ln q rises by 3 over all quantiles"
    plain = signatures(wrap(flow), slope="mean")
    low, high = np.exp(3 * 0.33), np.exp(3 * 0.66)
    assert float(plain["slope_fdc"][0]) == pytest.approx((high - low) / 0.33 / flow.mean(), rel=1e-3)
    assert np.isnan(signatures(wrap(np.r_[np.zeros(500), flow]))["slope_fdc"][0]), (
        "dry on a third of the days"
    )
    assert signatures(wrap(np.r_[np.zeros(500), flow]), slope="mean")["slope_fdc"][0] > 0


def test_half_flow_counts_days_of_the_water_year_and_passes_over_broken_years() -> None:
    flow = np.full(366 + 365, 1.0)
    whole = signatures(wrap(flow, "1991-10-01"))["hfd_mean"]
    assert float(whole[0]) == pytest.approx((184 + 183) / 2)
    late = signatures(wrap(flow[10:], "1991-10-11"))["hfd_mean"]
    assert float(late[0]) == pytest.approx((189 + 183) / 2), "356 days from the 11th: half by the 189th day"
    broken = flow.copy()
    broken[:100] = np.nan
    assert float(signatures(wrap(broken, "1991-10-01"))["hfd_mean"][0]) == 183
    assert np.isnan(signatures(wrap(flow[:300], "1991-10-01"))["hfd_mean"][0])


def test_gaps_and_rivers_with_nothing_to_tell() -> None:
    generator = np.random.default_rng(0)
    flow = generator.lognormal(0, 1, (5, 1500))
    flow[1] = 0.0
    flow[2] = np.nan
    flow[3, 20:] = np.nan
    flow[4, 700:720] = np.nan
    rain = np.full((5, 1500), 3.0)
    found = signatures(wrap(flow), wrap(rain))
    assert list(found.data_vars) == list(SIGNATURES)
    for name, values in found.data_vars.items():
        assert values[2:4].isnull().all(), name
        assert not np.isinf(values).any(), name
        assert values.attrs["units"]
    assert float(found["zero_q_freq"][1]) == 1.0
    assert found[["slope_fdc", "baseflow_index", "hfd_mean"]].isel(site=1).to_array().isnull().all()
    assert float(found["high_q_dur"][1]) == 0.0
    assert float(found["q_mean"][4]) == pytest.approx(np.nanmean(flow[4]))
    assert "runoff_ratio" not in signatures(wrap(flow))
    assert signatures(wrap(flow)[:0]).sizes["site"] == 0
    for bad, match in (
        (wrap(flow)[0], "must have \\('site', 'time'\\)"),
        (wrap(flow)[:, np.r_[:9, 10:1500]], "days are not consecutive"),
    ):
        with pytest.raises(InputError, match=match):
            signatures(bad)
    with pytest.raises(InputError, match="slope 'log'"):
        signatures(wrap(flow), slope="log")  # type: ignore[arg-type]


def test_observed_against_simulated_on_the_same_days() -> None:
    generator = np.random.default_rng(2)
    rain = generator.exponential(3.0, (30, 1461)) * (generator.random((30, 1461)) < 0.3)
    memory = np.linspace(0.5, 0.97, 30)
    flow = np.ones_like(rain)
    for day in range(1, 1461):
        flow[:, day] = memory * flow[:, day - 1] + (1 - memory) * rain[:, day]
    observed = wrap(flow)
    observed[:, 100:140] = np.nan
    simulated = 1.2 * wrap(flow)
    simulated[:, 100:140] = 1e6
    simulated[7, 500] = np.nan
    compared = compare_signatures(simulated, observed, wrap(rain))
    assert compared["q_mean"].dims == ("series", "site")
    ratio = compared["q_mean"].sel(series="simulated") / compared["q_mean"].sel(series="observed")
    np.testing.assert_allclose(ratio.drop_isel(site=7), 1.2)
    assert np.isnan(ratio[7])
    table = signature_skill(compared)
    assert table.index.tolist() == list(SIGNATURES)
    assert (table["sites"] == 29).all()
    assert table.loc["baseflow_index", "correlation"] == pytest.approx(1.0)
    assert table.loc["baseflow_index", "rmse"] == pytest.approx(0.0, abs=1e-12)
    assert table.loc["q_mean", "bias"] > 0
    assert table.loc["q_mean", "units"] == "mm/day"
    assert np.isnan(table.loc["zero_q_freq", "correlation"]), "no river ever falls dry"
    assert signature_skill(compared.isel(site=[0]))["rmse"].isna().all()
