"""Checks on what nobody trained on: they hold for the truth and fail where physics is wrong inside."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from thalweg.evaluation.interpretation.audit import baseflow_check
from thalweg.evaluation.interpretation.budyko import budyko, fit_fu, fu
from thalweg.evaluation.interpretation.physics_audit import audit_physics
from thalweg.evaluation.interpretation.residuals import residual
from thalweg.evaluation.interpretation.snow_timing import degree_day_pack, snow_timing
from thalweg.evaluation.interpretation.water_balance import water_balance
from thalweg.evaluation.skill import skill
from thalweg.flows.twin import ATTRIBUTES, true_parameters, twin
from thalweg.models.engine import simulate
from thalweg.models.process import names
from thalweg.models.processes import find_process
from thalweg.models.routing import gamma_unit_hydrograph, route
from thalweg.storage.errors import InputError


@pytest.fixture(scope="module")
def store() -> xr.Dataset:
    return twin(sites=30, years=7, seed=1)


@pytest.fixture(scope="module")
def written(store: xr.Dataset) -> xr.Dataset:
    """The truth's own fluxes and states, from the second year on."""
    process = find_process("hbv")
    values = torch.from_numpy(true_parameters("hbv", np.stack([store[a].values for a in ATTRIBUTES], 1)))
    drivers = {
        name: torch.from_numpy(store[name].values.T.copy()).double() for name in names(process.forcings)
    }
    parameters = {name: values[i].double().unsqueeze(-1) for i, name in enumerate(names(process.parameters))}
    found = simulate(process, drivers, parameters, states=names(process.states))
    routed = route(found.fluxes["discharge"].squeeze(-1), gamma_unit_hydrograph(*values[-2:].double()))
    series = {**found.fluxes, **found.states, "simulated": routed.unsqueeze(-1)}
    coords = {"site": store["site"].values, "time": store["time"].values}
    whole = xr.Dataset({n: (("site", "time"), v.squeeze(-1).numpy().T) for n, v in series.items()}, coords)
    return whole.isel(time=slice(365, None)).astype(np.float32)


@pytest.fixture(scope="module")
def part(store: xr.Dataset, written: xr.Dataset) -> xr.Dataset:
    return store.sel(time=written["time"]).drop_vars(["latitude", "longitude", "region"])


def sites_table(written: xr.Dataset, part: xr.Dataset) -> pd.DataFrame:
    evaporated = written["evapotranspiration"]
    pack = written["snowpack"] + written["meltwater"]
    args = written["simulated"], part["discharge"], part["precipitation"]
    balance = water_balance(evaporated, *args, part["potential_evapotranspiration"])
    snow = snow_timing(pack, *args, part["temperature"])
    scores = skill(written["simulated"], part["discharge"], metrics=["nse"]).to_dataframe()
    scores.index = scores.index.astype(str)
    share = (written["baseflow"].sum("time") / written["discharge"].sum("time")).to_series()
    reference = (part["baseflow"].sum("time") / part["discharge"].sum("time")).to_series()
    indices = pd.DataFrame({"baseflow_index_simulated": share, "baseflow_index_reference": reference})
    return scores.join([balance, snow, indices])


def test_curves() -> None:
    dryness = np.array([0.01, 0.5, 1.0, 2.0, 50.0])
    for curve in (budyko(dryness), fu(dryness)):
        assert (np.diff(curve) > 0).all()
        assert (curve <= np.minimum(dryness, 1.0) + 1e-12).all(), "neither more than water nor than energy"
        assert curve[-1] > 0.99
    assert budyko(np.array([1.0]))[0] == pytest.approx(np.sqrt(np.tanh(1) * (1 - np.exp(-1))))
    assert fu(np.array([1.0]), 2.0)[0] == pytest.approx(2 - np.sqrt(2))
    np.testing.assert_allclose(fu(dryness), budyko(dryness), atol=0.02)
    assert np.isnan(fu(np.array([0.0]))).all()


def test_the_fu_curve_is_found_again() -> None:
    dryness = np.linspace(0.3, 3, 20)
    assert fit_fu(dryness, fu(dryness, 1.9)) == pytest.approx(1.9, abs=1e-3)
    assert np.isnan(fit_fu(dryness[:1], dryness[:1]))


def test_the_truth_passes_every_check(written: xr.Dataset, part: xr.Dataset) -> None:
    found = audit_physics(sites_table(written, part))
    assert set(found["check"]) >= {"baseflow", "evapotranspiration", "season", "runoff ratio"}
    assert not found["flag"].any(), found[found["flag"]].to_string()


def test_wrong_insides_with_the_right_discharge_are_flagged(written: xr.Dataset, part: xr.Dataset) -> None:
    """Quick flow called baseflow and half of the water evaporated in the wrong season."""
    wrong = written.copy()
    wrong["baseflow"] = written["discharge"] - written["baseflow"]
    wrong["evapotranspiration"] = written["evapotranspiration"].roll(time=120, roll_coords=False) * 1.4
    found = audit_physics(sites_table(wrong, part))
    flagged = found[found["flag"]]
    assert set(flagged["check"]) >= {"baseflow", "evapotranspiration", "season"}
    baseflow = flagged[flagged["check"] == "baseflow"].iloc[0]
    assert baseflow["value"] < -0.2
    assert baseflow["reason"].startswith("median NSE 1.00, yet over")
    assert "yet over 30 sites the baseflow index correlates at -" in baseflow["reason"]
    table = sites_table(wrong, part).reset_index().assign(experiment="e", model="m", split="s", seed=1)
    assert baseflow_check(table)["flag"].all()


def test_water_that_leaks_makes_the_balance_implausible_and_no_flag(
    written: xr.Dataset, part: xr.Dataset
) -> None:
    leaking = part.copy()
    leaking["discharge"] = 3.0 * part["precipitation"]
    args = leaking["discharge"], leaking["precipitation"], leaking["potential_evapotranspiration"]
    table = water_balance(written["evapotranspiration"], written["discharge"], *args)
    assert not table["plausible"].any()
    rows = audit_physics(table)
    errors = rows[rows["statistic"] == "median relative error"]
    assert errors["value"].isna().all()
    assert not errors["flag"].any()


def test_seasons_that_are_late_by_known_days() -> None:
    time = pd.date_range("2001-01-01", periods=3 * 365)
    season = 2 + np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 190) / 365.25)
    late = 2 + np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 190 - 40) / 365.25)

    def series(values: np.ndarray) -> xr.DataArray:
        return xr.DataArray(values[None], {"site": ["a"], "time": time}, ("site", "time"))

    flow, rain = series(np.full(len(time), 1.0)), series(np.full(len(time), 3.0))
    table = water_balance(series(late), flow, flow, rain, series(season))
    assert table["lag"].iloc[0] == pytest.approx(40, abs=0.5)
    assert table["season_correlation"].iloc[0] == pytest.approx(np.cos(2 * np.pi * 40 / 365.25), abs=0.02)
    assert table["balance"].iloc[0] == pytest.approx(2 * 365.25)
    few = water_balance(series(late), flow, flow.where(flow["time.year"] == 2001), rain, series(season))
    assert few[["error", "evaporated", "dryness"]].isna().all(axis=None), "a year says nothing"
    assert not few[["plausible", "beyond"]].any(axis=None)


def winters(delay: int = 0) -> tuple[xr.DataArray, ...]:
    """Snow from November, gone in a warm April; the river follows. The simulated pack melts later."""
    time = pd.date_range("2000-10-01", "2003-09-30")
    day = time.month.to_numpy()
    cold = (day >= 11) | (day <= 3)
    rain = np.where(cold, 2.0, 0.5)
    temperature = np.where(cold, -5.0, 5.0)
    pack = degree_day_pack(rain[None], temperature[None])[0]
    melt = np.maximum(-np.diff(pack, prepend=pack[0]), 0.0)
    arrays = (np.roll(pack, delay), melt + 0.1, melt + 0.1, rain, temperature)
    return tuple(
        xr.DataArray(np.tile(values, (2, 1)), {"site": ["a", "b"], "time": time}, ("site", "time"))
        for values in arrays
    )


def test_snow_that_melts_as_the_reference_does_and_later() -> None:
    table = snow_timing(*winters())
    assert (table["melt"] == table["melt_degree_day"]).all()
    assert (table["gone"] == table["gone_degree_day"]).all()
    assert table["years"].tolist() == [3, 3]
    assert table["melt"].iloc[0] == pytest.approx(table["flow_observed"].iloc[0], abs=10)
    late = snow_timing(*winters(delay=45), measured=winters()[0])
    np.testing.assert_allclose(late["gone"] - late["gone_measured"], 45)
    np.testing.assert_allclose(late["melt"] - late["melt_measured"], 45, atol=1)
    flagged = audit_physics(pd.concat([late] * 3))
    assert flagged.loc[flagged["statistic"] == "median difference in days", "flag"].all()


def test_without_snow_or_a_whole_water_year_there_is_nothing_to_say() -> None:
    pack, *others, temperature = winters()
    warm = snow_timing(pack, *others, temperature + 30)
    assert warm.drop(columns=["snow_share", "years"]).isna().all(axis=None)
    assert warm["years"].sum() == 0
    assert audit_physics(warm).empty
    short = snow_timing(*(series.isel(time=slice(0, 200)) for series in winters()))
    assert list(short.columns) == ["snow_share", "years"]


def test_residuals_of_what_was_written(written: xr.Dataset, part: xr.Dataset) -> None:
    process = find_process("hbv")
    table = residual(process, written, part)
    assert set(table["balance"]) == {"mass"}
    assert table["closed"].all(), table["share"].max()
    wrong = written.copy()
    wrong["evapotranspiration"] = written["evapotranspiration"] * 1.001
    assert not residual(process, wrong, part)["closed"].any(), (
        "a thousandth of the evapotranspiration is seen"
    )
    with pytest.raises(InputError, match="lower_zone"):
        residual(process, written.drop_vars("lower_zone"), part)
