"""HBV against hand calculation of the published equations."""

import torch

from thalweg.models.engine import simulate
from thalweg.models.processes import find_process

MIDDLE = {
    "recharge_exponent": 2.0,
    "field_capacity": 200.0,
    "quick_recession": 0.4,
    "interflow_recession": 0.2,
    "baseflow_recession": 0.05,
    "evapotranspiration_limit": 0.8,
    "percolation": 2.0,
    "upper_threshold": 5.0,
    "threshold_temperature": 0.0,
    "degree_day_factor": 3.0,
    "refreezing": 0.05,
    "water_holding": 0.1,
    "evapotranspiration_exponent": 1.0,
    "capillary": 0.0,
}


def one_day(rain, temperature, pet, *, state=None, **changed):
    process = find_process("hbv")
    one = torch.ones(1, 1, dtype=torch.float64)
    forcing = {
        "precipitation": rain * one,
        "temperature": temperature * one,
        "potential_evapotranspiration": pet * one,
    }
    start = {item.name: 0.0 for item in process.states} | (state or {})
    result = simulate(
        process,
        forcing,
        {name: value * one for name, value in (MIDDLE | changed).items()},
        initial={name: value * one for name, value in start.items()},
    )
    return (
        {name: float(value) for name, value in result.final.items()},
        {name: float(value) for name, value in result.fluxes.items()},
    )


def test_rain_on_half_full_soil():
    # recharge = 20 * (100/200)^2 = 5; soil = 115; ET = 4 * 115/160 = 2.875
    # upper = 5 - 2 (percolation) = 3 < UZL, so no quick flow; interflow = 0.6; baseflow = 0.05 * 2
    state, flux = one_day(20.0, 10.0, 4.0, state={"soil_moisture": 100.0})
    assert flux["recharge"] == 5.0
    assert abs(flux["evapotranspiration"] - 2.875) < 1e-12
    assert abs(state["soil_moisture"] - 112.125) < 1e-12
    assert flux["quick_flow"] == 0.0
    assert abs(flux["interflow"] - 0.6) < 1e-12
    assert abs(flux["baseflow"] - 0.1) < 1e-12
    assert abs(flux["discharge"] - 0.7) < 1e-12


def test_snow_falls_below_the_threshold_and_melts_by_degree_days():
    state, flux = one_day(10.0, -1.0, 0.0)
    assert state["snowpack"] == 10.0
    assert flux["snowmelt"] == 0.0
    # 3 mm/degC * 2 degC melt; a tenth of the remaining 24 mm is held as liquid, 3.6 mm leaves
    state, flux = one_day(0.0, 2.0, 0.0, state={"snowpack": 30.0})
    assert state["snowpack"] == 24.0
    assert abs(state["meltwater"] - 2.4) < 1e-12
    assert abs(flux["snowmelt"] - 3.6) < 1e-12


def test_liquid_water_refreezes():
    # CFR * CFMAX * (TT - T) = 0.05 * 3 * 4 = 0.6 mm
    state, _ = one_day(0.0, -4.0, 0.0, state={"snowpack": 30.0, "meltwater": 2.0})
    assert abs(state["snowpack"] - 30.6) < 1e-12
    assert abs(state["meltwater"] - 1.4) < 1e-12


def test_quick_flow_starts_at_the_threshold():
    # upper 27 - 2 percolates = 25; 0.4 * (25 - 5) = 8; interflow 0.2 * 17
    _, flux = one_day(0.0, 10.0, 0.0, state={"upper_zone": 27.0})
    assert abs(flux["quick_flow"] - 8.0) < 1e-12
    assert abs(flux["interflow"] - 3.4) < 1e-12


def test_soil_above_capacity_spills():
    state, flux = one_day(50.0, 10.0, 0.0, state={"soil_moisture": 199.0})
    wet = 50 * (199 / 200) ** 2
    assert abs(state["soil_moisture"] - 200.0) < 1e-9 or state["soil_moisture"] < 200.0
    assert abs(flux["recharge"] - max(wet, 199 + 50 - 200)) < 1e-9


def test_capillary_rise_wets_dry_soil_from_the_lower_box():
    # C * SLZ * (1 - SM/FC) = 0.5 * 40 * (1 - 50/200) = 15
    state, flux = one_day(0.0, 10.0, 0.0, state={"soil_moisture": 50.0, "lower_zone": 40.0}, capillary=0.5)
    assert abs(flux["capillary_rise"] - 15.0) < 1e-12
    assert abs(state["soil_moisture"] - 65.0) < 1e-12
    assert abs(state["lower_zone"] - 25.0 * 0.95) < 1e-12


def test_a_dry_catchment_stays_dry():
    state, flux = one_day(0.0, 30.0, 8.0)
    assert all(value == 0.0 for value in state.values())
    assert all(value == 0.0 for value in flux.values())
