"""EXP-HYDRO against hand calculation, an independent program and the analytic recession."""

import math

import numpy as np
import pytest
from single_site import assert_follows, one_day, run

from thalweg.models.processes import find_process

MIDDLE = {
    "subsurface_decline": 0.02,
    "capacity": 500.0,
    "maximum_subsurface_flow": 20.0,
    "degree_day_factor": 2.0,
    "melt_temperature": 1.0,
    "snowfall_temperature": -1.0,
}


def day(rain, temperature, pet, *, state=None, **changed):
    forcing = {"precipitation": rain, "temperature": temperature, "potential_evapotranspiration": pet}
    return one_day(find_process("exp_hydro"), forcing, MIDDLE | changed, state)


def test_rain_on_a_bucket_that_has_room():
    # S = 400 + 10 = 410; ET = 4 * 410/500 = 3.28; Qsub = 20 exp(-0.02 * (500 - 406.72))
    state, flux = day(10.0, 0.0, 4.0, state={"storage": 400.0})
    subsurface = 20 * math.exp(-0.02 * 93.28)
    assert flux["evapotranspiration"] == pytest.approx(3.28, abs=1e-12)
    assert flux["subsurface_flow"] == pytest.approx(subsurface, abs=1e-12)
    assert flux["surface_runoff"] == 0.0
    assert state["storage"] == pytest.approx(406.72 - subsurface, abs=1e-10)


def test_a_full_bucket_spills_and_drains_at_its_highest_rate():
    state, flux = day(30.0, 5.0, 0.0, state={"storage": 490.0})
    assert flux["surface_runoff"] == 20.0
    assert flux["subsurface_flow"] == 20.0
    assert flux["discharge"] == 40.0
    assert state["storage"] == 480.0


def test_snow_falls_below_one_temperature_and_melts_above_another():
    state, flux = day(10.0, -1.5, 0.0)
    assert (state["snowpack"], flux["snowmelt"]) == (10.0, 0.0)
    # between the two it rains, and snow stays
    state, flux = day(10.0, 0.5, 0.0, state={"snowpack": 30.0})
    assert (state["snowpack"], flux["snowmelt"]) == (30.0, 0.0)
    # Df (T - Tmax) = 2 * 3
    state, flux = day(0.0, 4.0, 0.0, state={"snowpack": 30.0})
    assert (state["snowpack"], flux["snowmelt"]) == (24.0, 6.0)
    state, flux = day(0.0, 4.0, 0.0, state={"snowpack": 2.0})
    assert (state["snowpack"], flux["snowmelt"]) == (0.0, 2.0)


def test_an_empty_bucket_gives_nothing():
    state, flux = day(0.0, 30.0, 8.0, capacity=100.0, subsurface_decline=0.0)
    assert all(value == 0.0 for value in (*state.values(), *flux.values()))


def test_a_bucket_recedes_as_its_differential_equation():
    # dS/dt = -Qmax exp(-f (Smax - S))  =>  S(t) = Smax - ln(exp(f (Smax - S0)) + f Qmax t) / f
    days = 200
    still = dict.fromkeys(("precipitation", "potential_evapotranspiration"), [0.0] * days)
    result = run(
        find_process("exp_hydro"),
        {**still, "temperature": [10.0] * days},
        MIDDLE | {"maximum_subsurface_flow": 10.0, "subsurface_decline": 0.01},
        {"storage": 450.0},
        states=("storage",),
    )
    time = np.arange(1, days + 1)
    exact = 500.0 - np.log(np.exp(0.01 * 50.0) + 0.01 * 10.0 * time) / 0.01
    lost = 450.0 - result.states["storage"][:, 0, 0].numpy()
    np.testing.assert_allclose(lost, 450.0 - exact, rtol=0.04)


def reference(forcing, p, state):
    """One day by the equations of Patil & Stieglitz (2014), with the branches as written there."""
    precipitation, temperature = forcing["precipitation"], forcing["temperature"]
    rain = 0.0 if temperature < p["snowfall_temperature"] else precipitation
    state["snowpack"] += precipitation - rain
    melt = 0.0
    if temperature > p["melt_temperature"] and state["snowpack"] > 0:
        melt = min(state["snowpack"], p["degree_day_factor"] * (temperature - p["melt_temperature"]))
    state["snowpack"] -= melt

    state["storage"] += rain + melt
    surface = 0.0
    if state["storage"] > p["capacity"]:
        surface = state["storage"] - p["capacity"]
        state["storage"] = p["capacity"]
    evapotranspiration = forcing["potential_evapotranspiration"] * state["storage"] / p["capacity"]
    evapotranspiration = min(evapotranspiration, state["storage"])
    state["storage"] -= evapotranspiration
    deficit = p["capacity"] - state["storage"]
    subsurface = p["maximum_subsurface_flow"] * math.exp(-p["subsurface_decline"] * deficit)
    subsurface = min(subsurface, state["storage"])
    state["storage"] -= subsurface
    return {
        "discharge": surface + subsurface,
        "evapotranspiration": evapotranspiration,
        "subsurface_flow": subsurface,
        "surface_runoff": surface,
        "snowmelt": melt,
    }


def test_two_years_of_random_weather_follow_the_published_equations():
    assert_follows("exp_hydro", reference)
