"""CemaNeige before GR4J, against hand calculation and an independent program of the published rules."""

import pytest
import torch
from random_weather import weather
from single_site import assert_follows, one_day, run
from test_gr4j import MEDIAN
from test_gr4j import reference as gr4j_reference

from thalweg.models.engine import simulate
from thalweg.models.processes import find_process

SNOW = {"thermal_weighting": 0.5, "degree_day_factor": 4.0, "mean_annual_snowfall": 100.0}


def day(rain, temperature, *, state=None, **changed):
    forcing = {"precipitation": rain, "temperature": temperature, "potential_evapotranspiration": 0.0}
    return one_day(find_process("cemaneige_gr4j"), forcing, SNOW | MEDIAN | changed, state)


@pytest.mark.parametrize(
    ("temperature", "snowfall"), [(-5.0, 8.0), (-1.0, 8.0), (0.0, 6.0), (1.0, 4.0), (2.0, 2.0), (3.0, 0.0)]
)
def test_rain_and_snow_share_precipitation_between_minus_1_and_3_degrees(temperature, snowfall):
    _, flux = day(8.0, temperature)
    assert flux["snowfall"] == snowfall


def test_the_thermal_state_follows_the_air_and_stops_at_zero():
    # 0.5 * -4 + 0.5 * -10 = -7; 0.5 * -4 + 0.5 * 6 = 1
    assert day(0.0, -10.0, state={"thermal_state": -4.0})[0]["thermal_state"] == -7.0
    assert day(0.0, 6.0, state={"thermal_state": -4.0})[0]["thermal_state"] == 0.0


def test_a_cold_pack_does_not_melt_in_warm_air():
    # 0.5 * -8 + 0.5 * 5 = -1.5: below zero still
    state, flux = day(0.0, 5.0, state={"snowpack": 200.0, "thermal_state": -8.0})
    assert state["thermal_state"] == -1.5
    assert flux["snowmelt"] == 0.0
    assert state["snowpack"] == 200.0


def test_a_ripe_pack_that_covers_all_ground_melts_by_its_degree_days():
    # Kf T = 4 * 5, of 200 mm that cover everything (more than 0.9 * 100)
    state, flux = day(0.0, 5.0, state={"snowpack": 200.0})
    assert flux["snowmelt"] == 20.0
    assert state["snowpack"] == 180.0
    assert flux["snow_cover"] == 1.0


def test_a_pack_on_half_of_the_ground_melts_by_half_and_a_bit():
    # G = 45 = Gthreshold / 2; 0.1 + 0.9 / 2 = 0.55 of Kf T = 20
    state, flux = day(0.0, 5.0, state={"snowpack": 45.0})
    assert flux["snowmelt"] == pytest.approx(11.0, abs=1e-12)
    assert state["snowpack"] == pytest.approx(34.0, abs=1e-12)
    assert flux["snow_cover"] == pytest.approx(34 / 90, abs=1e-12)


def test_a_thin_pack_melts_by_a_share_of_what_is_there():
    # Kf T = 20 > G = 9 = Gthreshold / 10; 0.1 + 0.9 / 10 = 0.19 of 9
    _, flux = day(0.0, 5.0, state={"snowpack": 9.0})
    assert flux["snowmelt"] == pytest.approx(0.19 * 9, abs=1e-12)


def test_a_deep_pack_melts_wholly_and_to_nothing():
    # As much as Gthreshold lies, and Kf T = 10 * 30 is more than that.
    state, flux = day(0.0, 30.0, state={"snowpack": 90.0}, degree_day_factor=10.0)
    assert flux["snowmelt"] == 90.0
    assert state["snowpack"] == 0.0
    assert flux["snow_cover"] == 0.0


def test_gr4j_is_given_rain_and_melt():
    # 20 mm of rain at 5 degC on a covering pack that gives 20 mm: as 40 mm of rain on bare ground.
    stores = {"production_store": 175.0, "routing_store": 45.0}
    state, flux = day(20.0, 5.0, state={"snowpack": 200.0, **stores})
    rained = {"precipitation": 40.0, "potential_evapotranspiration": 0.0}
    expected_state, expected = one_day(find_process("gr4j"), rained, MEDIAN, stores)
    assert {name: flux[name] for name in expected} == expected
    assert {name: state[name] for name in expected_state} == expected_state


def test_a_winter_is_stored_and_leaves_in_spring():
    days = [10.0] * 10 + [0.0] * 20
    result = run(
        find_process("cemaneige_gr4j"),
        {
            "precipitation": days,
            "temperature": [-6.0] * 10 + [6.0] * 20,
            "potential_evapotranspiration": [0.0] * 30,
        },
        SNOW | MEDIAN,
        states=("snowpack", "thermal_state"),
    )
    snowpack = result.states["snowpack"][:, 0, 0]
    melt = result.fluxes["snowmelt"][:, 0, 0]
    assert snowpack[9] == 100.0
    assert not melt[:10].any()
    # The pack is at -6 (1 - 0.5^10) degC; the first warm day brings it to just above zero.
    assert melt[10] == 24.0
    assert float(melt.sum() + snowpack[-1]) == pytest.approx(100.0, abs=1e-9)
    assert bool((snowpack >= 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["eager", "fused"])
def test_without_cold_days_it_is_gr4j_to_the_last_bit(backend, dtype):
    process, without_snow = find_process("cemaneige_gr4j"), find_process("gr4j")
    generator = torch.Generator().manual_seed(4)
    forcing = weather(process.forcings, 300, 8, dtype, generator)
    forcing["temperature"] = forcing["temperature"].clamp(min=3.0)
    parameters = {
        item.name: item.lower + (item.upper - item.lower) * torch.rand(8, 2, generator=generator, dtype=dtype)
        for item in process.parameters
    }
    found = simulate(process, forcing, parameters, backend=backend)
    expected = simulate(
        without_snow,
        {item.name: forcing[item.name] for item in without_snow.forcings},
        {item.name: parameters[item.name] for item in without_snow.parameters},
        backend=backend,
    )
    for name, series in expected.fluxes.items():
        assert torch.equal(found.fluxes[name], series), name
    for name, value in expected.final.items():
        assert torch.equal(found.final[name], value), name


def test_snow_stays_within_bounds_over_the_whole_range_of_all_parameters():
    process = find_process("cemaneige_gr4j")
    generator = torch.Generator().manual_seed(5)
    forcing = weather(process.forcings, 1500, 10, torch.float32, generator)
    parameters = {  # either end of every range
        item.name: torch.where(torch.rand(10, 8, generator=generator) < 0.5, item.lower, item.upper)
        for item in process.parameters
    }
    result = simulate(process, forcing, parameters, states=("snowpack", "thermal_state"))
    assert bool((result.states["snowpack"] >= 0).all())
    assert bool((result.states["thermal_state"] <= 0).all())
    cover = result.fluxes["snow_cover"]
    assert bool(((cover >= 0) & (cover <= 1)).all())
    assert float(cover.max()) == 1.0


def test_the_thermal_weighting_shapes_melt_but_has_no_gradient():
    forcing = {
        "precipitation": [10.0] * 10 + [0.0] * 20,
        "temperature": [-6.0] * 10 + [1.0] * 20,
        "potential_evapotranspiration": [0.0] * 30,
    }
    process = find_process("cemaneige_gr4j")
    early, late = (
        run(process, forcing, SNOW | MEDIAN | {"thermal_weighting": value}).fluxes["snowmelt"]
        for value in (0.1, 0.9)
    )
    assert float(early.sum()) > float(late.sum()) > 0.0

    series = {name: torch.tensor(values, dtype=torch.float64)[:, None] for name, values in forcing.items()}
    parameters = {
        name: torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
        for name, value in (SNOW | MEDIAN).items()
    }
    simulate(process, series, parameters).fluxes["snowmelt"].square().sum().backward()
    assert not parameters["thermal_weighting"].grad.any()
    for name in ("degree_day_factor", "mean_annual_snowfall"):
        assert float(parameters[name].grad.abs()) > 0.0, name


def reference(forcing, parameter, state):
    """One day by the rules of Valéry et al. (2014), with their branches, and then GR4J's."""
    weighting, kf, mean_snowfall, *_ = parameter.values()
    precipitation, temperature = forcing["precipitation"], forcing["temperature"]
    if temperature <= -1:
        solid = 1.0
    elif temperature >= 3:
        solid = 0.0
    else:
        solid = 1 - (temperature + 1) / 4
    pack = state["snowpack"] + solid * precipitation
    thermal = weighting * state["thermal_state"] + (1 - weighting) * temperature
    if thermal > 0:
        thermal = 0.0
    potential = 0.0
    if thermal == 0 and temperature > 0:
        potential = kf * temperature
        if potential > pack:
            potential = pack
    threshold = 0.9 * mean_snowfall
    melt = (0.9 * (pack / threshold if pack < threshold else 1.0) + 0.1) * potential
    state["snowpack"], state["thermal_state"] = pack - melt, thermal

    wetted = {
        "precipitation": (1 - solid) * precipitation + melt,
        "potential_evapotranspiration": forcing["potential_evapotranspiration"],
    }
    fluxes = gr4j_reference(wetted, {name: parameter[name] for name in MEDIAN}, state)
    cover = state["snowpack"] / threshold if state["snowpack"] < threshold else 1.0
    return fluxes | {"snowfall": solid * precipitation, "snowmelt": melt, "snow_cover": cover}


@pytest.mark.parametrize(
    "fixed", [{}, {"thermal_weighting": 0.0}, {"thermal_weighting": 0.97, "mean_annual_snowfall": 1.0}]
)
def test_two_years_of_random_weather_follow_the_published_rules(fixed):
    assert_follows("cemaneige_gr4j", reference, **fixed)
