"""Snow-17 against hand calculation, the manual's branches, and the National Weather Service's own run."""

import math

import pytest
import sac_published
import sac_reference
import torch
from against_eager import assert_agrees, inputs
from sac_reference import SNOW_NAMES
from winters import random_parameters, weather

from thalweg.models.engine import simulate
from thalweg.models.process import names
from thalweg.models.processes import find_process
from thalweg.models.processes.snow17 import DEPLETION

PLAIN = {
    "snowfall_correction": 1.1,
    "snowfall_temperature": 1.0,
    "melt_factor_summer": 6.0,
    "melt_factor_winter": 2.0,
    "melt_temperature": 0.0,
    "wind_function": 0.4,
    "cooling_factor": 1.0,
    "antecedent_weight": 0.2,
    "snow_water_holding": 0.05,
    "ground_melt": 0.0,
    "full_cover_snow": 10.0,
}
MARCH_21, JUNE_20, DECEMBER_20 = 80.0, 171.25, 353.75  # zero, top and bottom of the sinusoid


def one_day(precipitation, temperature, day_of_year, state=None, **changed):
    process = find_process("snow17")
    one = torch.ones(1, 1, dtype=torch.float64)
    forcing = {"precipitation": precipitation, "temperature": temperature, "day_of_year": day_of_year}
    start = dict.fromkeys(names(process.states), 0.0) | (state or {})
    result = simulate(
        process,
        {name: value * one for name, value in forcing.items()},
        {name: value * one for name, value in (PLAIN | changed).items()},
        initial={name: value * one for name, value in start.items()},
    )
    return (
        {name: float(value) for name, value in result.final.items()},
        {name: float(value) for name, value in result.fluxes.items()},
    )


def test_snow_falls_cold():
    # 10 mm at -8 degC: 11 mm with SCF, short of 8 * 11 / 160 = 0.55 mm of heat
    state, flux = one_day(10.0, -8.0, MARCH_21, cooling_factor=1e-9)
    assert flux["snowfall"] == state["snowpack"] == pytest.approx(11.0)
    assert state["heat_deficit"] == pytest.approx(0.55)
    # antecedent temperature 0 -> 0 - (1 - 0.8^4) * 8
    assert state["antecedent_cold"] == pytest.approx(8 * (1 - 0.8**4))
    assert flux["rain_plus_melt"] == 0.0


@pytest.mark.parametrize(("day", "factor"), [(MARCH_21, 4.0), (JUNE_20, 6.0), (DECEMBER_20, 2.0)])
def test_the_melt_factor_follows_the_season(day, factor):
    # 100 mm at 3 degC: melt = 3 factor; 5 % of what is left stays as liquid
    state, flux = one_day(0.0, 3.0, day, {"snowpack": 100.0, "greatest_snow": 100.0})
    melt = 3 * factor
    assert state["snowpack"] == pytest.approx(100 - melt)
    assert state["meltwater"] == pytest.approx(0.05 * (100 - melt))
    assert flux["rain_plus_melt"] == pytest.approx(melt - 0.05 * (100 - melt))


def test_melt_first_fills_the_heat_deficit():
    # melt 4 mm; 3 mm of deficit freeze again, 1 mm stays: 96 + 3 and 1 liquid
    start = {"snowpack": 100.0, "heat_deficit": 3.0, "greatest_snow": 100.0}
    state, flux = one_day(0.0, 1.0, MARCH_21, start, cooling_factor=1e-9)
    assert state["snowpack"] == pytest.approx(99.0)
    assert state["meltwater"] == pytest.approx(1.0, rel=1e-6)
    assert (state["heat_deficit"], flux["rain_plus_melt"]) == (0.0, 0.0)


def test_the_pack_cools_and_not_below_its_coldest():
    # NMF * MF / MFMAX * (0 + 12) = 1 * 4/6 * 12 = 8 mm of heat
    state, _ = one_day(0.0, -12.0, MARCH_21, {"snowpack": 100.0, "greatest_snow": 100.0})
    assert state["heat_deficit"] == pytest.approx(8.0)
    state, _ = one_day(0.0, -12.0, MARCH_21, {"snowpack": 10.0, "greatest_snow": 10.0})
    assert state["heat_deficit"] == pytest.approx(3.3)


def test_heavy_rain_melts_by_radiation_vapour_and_air():
    # Anderson (2006): 20 mm of rain at 8 degC, UADJ 0.4; all in mm
    vapour = 0.9 * 2.7489e8 * math.exp(-4278.63 / 250.792)
    radiation = 0.0612 * 24 * (2.81**4 - 55.55)
    turbulent = 8.5 * 0.4 * (vapour - 6.11) + 7.5 * 0.000646 * 33.86 * 29.9 * 0.4 * 8
    melt = radiation + turbulent + 0.0125 * 20 * 8
    assert 25 < melt < 45
    state, flux = one_day(20.0, 8.0, MARCH_21, {"snowpack": 100.0, "greatest_snow": 100.0})
    assert state["snowpack"] == pytest.approx(100 - melt)
    assert flux["rain_plus_melt"] == pytest.approx(20 + melt - 0.05 * (100 - melt))
    # less than 6 mm: the degree-day factor, and the rain's own heat
    state, _ = one_day(5.0, 8.0, MARCH_21, {"snowpack": 100.0, "greatest_snow": 100.0})
    assert state["snowpack"] == pytest.approx(100 - 4 * 8 - 0.0125 * 5 * 8)


def test_half_melted_snow_covers_the_ground_as_the_curve_says():
    for tenth, cover in enumerate(DEPLETION):
        snow = {"snowpack": 20.0 * tenth, "greatest_snow": 200.0}
        _, flux = one_day(0.0, 0.0, MARCH_21, snow, full_cover_snow=3000.0)
        assert flux["snow_cover"] == pytest.approx(cover if tenth else 0.0)
    _, flux = one_day(0.0, 0.0, MARCH_21, {"snowpack": 25.0, "greatest_snow": 200.0}, full_cover_snow=100.0)
    assert flux["snow_cover"] == pytest.approx((DEPLETION[2] + DEPLETION[3]) / 2)


def test_all_melts_at_once_and_bare_ground_forgets():
    state, flux = one_day(3.0, 9.0, JUNE_20, {"snowpack": 5.0, "meltwater": 0.5, "greatest_snow": 5.5})
    assert flux["rain_plus_melt"] == pytest.approx(8.5)
    assert set(state.values()) == {0.0}


def test_every_day_agrees_with_the_manuals_branches():
    process, days, sites = find_process("snow17"), 1100, 10
    forcing = weather(days, sites)
    forcing.pop("potential_evapotranspiration")
    parameters = random_parameters(process, sites)
    start = {name: torch.zeros(sites, 1, dtype=torch.float64) for name in names(process.states)}
    found = simulate(process, forcing, parameters, initial=start, states=names(process.states))
    assert float(found.states["snowpack"].max()) > 300
    assert float((found.states["snowpack"] == 0).double().mean()) > 0.2
    for site in range(sites):
        p = {SNOW_NAMES[name]: float(value[site, 0]) for name, value in parameters.items()}
        state = dict.fromkeys(("WE", "LIQW", "NEGHS", "TINDEX", "ACCMAX"), 0.0)
        for day in range(days):
            today = [float(forcing[name][day, site]) for name in names(process.forcings)]
            outflow, rain, snowfall = sac_reference.snow17(today, state, p)
            expected = (outflow, rain, snowfall, state["WE"], state["LIQW"], state["NEGHS"], -state["TINDEX"])
            fluxes = ("rain_plus_melt", "rainfall", "snowfall")
            states = ("snowpack", "meltwater", "heat_deficit", "antecedent_cold")
            given = [found.fluxes[n][day, site, 0] for n in fluxes]
            given += [found.states[n][day, site, 0] for n in states]
            assert [float(v) for v in given] == pytest.approx(expected, rel=1e-9, abs=1e-9), (site, day)


@pytest.mark.parametrize("seed", [10, 11, 1001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_rounding_decides_nothing(dtype, seed):
    """Packs that only freeze, that are full, and drizzle less than the rounding of the pack."""
    process = find_process("snow17")
    assert_agrees(process, inputs(process, 250, 6, 8, dtype, seed=seed), dtype)


def test_gradients_in_single_precision_are_those_in_double():
    """Without drizzle, less of which than the rounding of the pack is none in single precision."""
    process = find_process("snow17")
    forcing, parameters, start = inputs(process, 250, 6, 8, torch.float32, seed=10)
    forcing["precipitation"].data[forcing["precipitation"] < 0.1] = 0.0
    found = []
    for dtype in (torch.float32, torch.float64):
        series, fixed, state = (
            {name: t.detach().to(dtype) for name, t in group.items()}
            for group in (forcing, parameters, start)
        )
        series["precipitation"].requires_grad_()
        fluxes = simulate(process, series, fixed, initial=state, backend="fused").fluxes
        total = sum(flux.sum() for flux in fluxes.values())
        found.append(torch.autograd.grad(total, series["precipitation"])[0].double())
    assert (found[0] - found[1]).abs().max() < 1e-5 * found[1].abs().max()


def test_the_most_snow_there_has_been():
    """It grows with snow and with rain that the pack holds, not with what freezes in it or runs through."""
    freezing = {"snowpack": 100.0, "meltwater": 2.0, "heat_deficit": 3.0, "greatest_snow": 102.0}
    full = {"snowpack": 100.0, "meltwater": 5.0, "greatest_snow": 105.0}
    for start, weather_today, most in (
        (freezing, (10.0, -8.0), 113.0),  # 11 mm of snow
        (freezing, (0.0, -8.0), 102.0),
        # 4 mm of rain, 4.455 mm of melt: 3 freeze, and of the rest 5 % of 98.545 mm stay
        (freezing, (4.0, 1.1), 1.05 * 98.545),
        (full, (5.0, 1.1), 105.0),
        ({**full, "greatest_snow": 200.0}, (10.0, -8.0), 200.0),
        ({**full, "greatest_snow": 110.0}, (10.0, -8.0), 116.0),
    ):
        state, _ = one_day(*weather_today, MARCH_21, start, cooling_factor=1e-9)
        assert state["greatest_snow"] == pytest.approx(most), (start, weather_today)


def test_states_stay_within_bounds():
    process, sites = find_process("snow17"), 30
    forcing = weather(900, sites, seed=1)
    forcing.pop("potential_evapotranspiration")
    parameters = random_parameters(process, sites, seed=1)
    found = simulate(process, forcing, parameters, states=names(process.states))
    for name, series in found.states.items():
        assert bool((series >= 0).all()), name
    pack = found.states["snowpack"]
    assert bool((found.states["heat_deficit"] <= 0.33 * pack).all())
    assert bool(((found.fluxes["snow_cover"] >= 0) & (found.fluxes["snow_cover"] <= 1)).all())


def test_the_national_weather_services_own_run():
    """Water equivalent within 0.05 % (its water spends hours in the pack), melt of five days within 0.3 %."""
    published = sac_published
    process, days = find_process("snow17"), len(sac_published.PRECIPITATION)
    one = torch.ones(1, 1, dtype=torch.float64)
    snow, outflow, area = torch.zeros(days), torch.zeros(days), sum(published.SNOW_AREA.values())
    weathers = {
        "lower": (sac_published.PRECIPITATION, published.LOWER_TEMPERATURE),
        "upper": (published.UPPER_PRECIPITATION, published.UPPER_TEMPERATURE),
    }
    for part, (precipitation, temperature) in weathers.items():
        given = dict(published.SNOW_PARAMETERS[part])
        for name in ("MFMAX", "MFMIN", "UADJ", "NMF"):
            given[name] *= 4
        forcing = zip(names(process.forcings), (precipitation, temperature, range(1, days + 1)), strict=True)
        found = simulate(
            process,
            {name: torch.tensor(series, dtype=torch.float64).unsqueeze(1) for name, series in forcing},
            {name: given[short] * one for name, short in SNOW_NAMES.items()},
            initial=dict.fromkeys(names(process.states), 0.0 * one),
        ).fluxes
        share = published.SNOW_AREA[part] / area
        snow = snow + share * found["snow_water_equivalent"][:, 0, 0]
        outflow = outflow + share * found["rain_plus_melt"][:, 0, 0]
    for day, expected in published.WATER_EQUIVALENT.items():
        passing = day == 66  # heavy rain, part of which the program still holds in the pack
        assert float(snow[day - 1]) == pytest.approx(expected, rel=1.2e-2 if passing else 5e-4), day
    for (first, last), expected in published.OUTFLOW.items():
        assert float(outflow[first - 1 : last].sum()) == pytest.approx(expected, rel=3e-3)
