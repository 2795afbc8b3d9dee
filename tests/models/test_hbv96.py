"""HBV-96 against hand calculation, an independent program and the analytic recession."""

import numpy as np
import pytest
from single_site import assert_follows, one_day, run

from thalweg.models.processes import find_process

MIDDLE = {
    "threshold_temperature": 0.0,
    "rain_snow_interval": 2.0,
    "degree_day_factor": 3.0,
    "refreezing": 0.05,
    "water_holding": 0.1,
    "field_capacity": 200.0,
    "evapotranspiration_limit": 0.8,
    "recharge_exponent": 2.0,
    "capillary_flux": 0.0,
    "quick_recession": 0.01,
    "response_exponent": 1.0,
    "percolation": 2.0,
    "baseflow_recession": 0.05,
}


def day(rain, temperature, pet, *, state=None, **changed):
    forcing = {"precipitation": rain, "temperature": temperature, "potential_evapotranspiration": pet}
    return one_day(find_process("hbv96"), forcing, MIDDLE | changed, state)


def test_rain_on_half_full_soil():
    # recharge = 20 * (100/200)^2 = 5; soil = 115; ET = 4 * 115/160 = 2.875
    # upper = 5 - 2 (percolation) = 3; quick flow = 0.01 * 3^2; baseflow = 0.05 * 2
    state, flux = day(20.0, 10.0, 4.0, state={"soil_moisture": 100.0})
    assert flux["recharge"] == pytest.approx(5.0, abs=1e-12)
    assert flux["evapotranspiration"] == pytest.approx(2.875, abs=1e-12)
    assert state["soil_moisture"] == pytest.approx(112.125, abs=1e-12)
    assert flux["quick_flow"] == pytest.approx(0.09, abs=1e-12)
    assert flux["baseflow"] == pytest.approx(0.1, abs=1e-12)
    assert flux["discharge"] == pytest.approx(0.19, abs=1e-12)


@pytest.mark.parametrize(
    ("temperature", "rain"), [(-1.5, 0.0), (-1.0, 0.0), (-0.5, 2.5), (0.0, 5.0), (1.0, 10.0), (3.0, 10.0)]
)
def test_rain_and_snow_mix_within_the_interval(temperature, rain):
    # Without melt and refreezing: TT - TTI/2 is all snow, TT + TTI/2 all rain.
    nothing = {"degree_day_factor": 0.0, "water_holding": 0.0}
    state, flux = day(10.0, temperature, 0.0, **nothing)
    assert flux["infiltration"] == pytest.approx(rain, abs=1e-12)
    assert state["snowpack"] == pytest.approx(10.0 - rain, abs=1e-12)


def test_rain_fills_the_pores_of_the_snow():
    # No melt at 1.0 degC below the upper end of the mixture; 30 mm of snow hold 3 mm.
    state, flux = day(5.0, 1.0, 0.0, state={"snowpack": 30.0}, degree_day_factor=0.0)
    assert state["meltwater"] == pytest.approx(3.0, abs=1e-12)
    assert flux["infiltration"] == pytest.approx(2.0, abs=1e-12)


def test_water_rises_to_dry_soil_from_the_upper_zone():
    # CFLUX * (1 - SM/FC) = 4 * 0.75 = 3
    state, flux = day(
        0.0, 10.0, 0.0, state={"soil_moisture": 50.0, "upper_zone": 10.0}, capillary_flux=4.0, percolation=0.0
    )
    assert flux["capillary_rise"] == pytest.approx(3.0, abs=1e-12)
    assert state["soil_moisture"] == pytest.approx(53.0, abs=1e-12)
    assert flux["quick_flow"] == pytest.approx(0.01 * 7.0**2, abs=1e-12)
    # never more than there is
    _, flux = day(0.0, 10.0, 0.0, state={"soil_moisture": 50.0, "upper_zone": 1.0}, capillary_flux=4.0)
    assert flux["capillary_rise"] == 1.0


def test_the_upper_zone_never_gives_more_than_it_has():
    state, flux = day(0.0, 10.0, 0.0, state={"upper_zone": 300.0}, quick_recession=0.5, percolation=0.0)
    assert flux["quick_flow"] == 300.0
    assert state["upper_zone"] == 0.0


def test_a_dry_catchment_stays_dry():
    state, flux = day(0.0, 30.0, 8.0)
    assert all(value == 0.0 for value in (*state.values(), *flux.values()))


def test_the_upper_zone_recedes_as_its_differential_equation():
    # dUZ/dt = -K UZ^(1 + ALFA)  =>  UZ(t) = (UZ0^-ALFA + ALFA K t)^(-1/ALFA)
    changed = {"quick_recession": 1e-3, "response_exponent": 0.8, "percolation": 0.0}
    days = 100
    still = dict.fromkeys(("precipitation", "potential_evapotranspiration"), [0.0] * days)
    result = run(
        find_process("hbv96"),
        {**still, "temperature": [10.0] * days},
        MIDDLE | changed,
        {"upper_zone": 20.0, "soil_moisture": 200.0},
        states=("upper_zone",),
    )
    exact = (20.0**-0.8 + 0.8 * 1e-3 * np.arange(1, days + 1)) ** (-1 / 0.8)
    np.testing.assert_allclose(result.states["upper_zone"][:, 0, 0].numpy(), exact, rtol=5e-3)


def reference(forcing, p, state):
    """One day by the equations of Lindström et al. (1997), with the branches as written there."""
    precipitation, temperature = forcing["precipitation"], forcing["temperature"]
    coldest = p["threshold_temperature"] - p["rain_snow_interval"] / 2
    warmest = p["threshold_temperature"] + p["rain_snow_interval"] / 2
    if temperature < coldest:
        rain = 0.0
    elif temperature > warmest:
        rain = precipitation
    else:
        rain = precipitation * (temperature - coldest) / p["rain_snow_interval"]
    state["snowpack"] += precipitation - rain
    warmth = temperature - p["threshold_temperature"]
    state["meltwater"] += rain
    if warmth > 0:
        melt = min(state["snowpack"], p["degree_day_factor"] * warmth)
        state["snowpack"] -= melt
        state["meltwater"] += melt
    else:
        frozen = min(state["meltwater"], p["refreezing"] * p["degree_day_factor"] * -warmth)
        state["snowpack"] += frozen
        state["meltwater"] -= frozen
    infiltration = max(0.0, state["meltwater"] - p["water_holding"] * state["snowpack"])
    state["meltwater"] -= infiltration

    capacity = p["field_capacity"]
    recharge = infiltration * (state["soil_moisture"] / capacity) ** p["recharge_exponent"]
    state["soil_moisture"] += infiltration - recharge
    if state["soil_moisture"] > capacity:
        recharge += state["soil_moisture"] - capacity
        state["soil_moisture"] = capacity
    demand = forcing["potential_evapotranspiration"]
    limit = p["evapotranspiration_limit"] * capacity
    if state["soil_moisture"] < limit:
        demand *= state["soil_moisture"] / limit
    evapotranspiration = min(demand, state["soil_moisture"])
    state["soil_moisture"] -= evapotranspiration

    state["upper_zone"] += recharge
    rise = p["capillary_flux"] * (capacity - state["soil_moisture"]) / capacity
    rise = min(rise, state["upper_zone"], capacity - state["soil_moisture"])
    state["soil_moisture"] += rise
    state["upper_zone"] -= rise
    percolation = min(p["percolation"], state["upper_zone"])
    state["upper_zone"] -= percolation
    quick = p["quick_recession"] * state["upper_zone"] ** (1 + p["response_exponent"])
    quick = min(quick, state["upper_zone"])
    state["upper_zone"] -= quick
    state["lower_zone"] += percolation
    baseflow = p["baseflow_recession"] * state["lower_zone"]
    state["lower_zone"] -= baseflow
    return {
        "discharge": quick + baseflow,
        "evapotranspiration": evapotranspiration,
        "quick_flow": quick,
        "baseflow": baseflow,
        "recharge": recharge,
        "capillary_rise": rise,
        "infiltration": infiltration,
    }


def test_two_years_of_random_weather_follow_the_published_equations():
    assert_follows("hbv96", reference)
