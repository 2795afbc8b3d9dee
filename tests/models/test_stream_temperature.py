"""Stream temperature: its terms by hand, its energy, and the differential equation it solves."""

import math

import pytest
import torch

from thalweg.models.engine import simulate
from thalweg.models.process import mass_residual, names
from thalweg.models.processes import find_process
from thalweg.models.processes.stream_temperature import StreamTemperature

PLAIN = {
    "depth": 1.0,
    "openness": 1.0,
    "cloudiness": 0.0,
    "wind_function": 8.0,
    "groundwater_rate": 0.0,
    "groundwater_temperature": 10.0,
}
SUMMER = (20.0, 250.0, 1200.0)  # degC, W/m2, Pa
WINTER = (-15.0, 40.0, 150.0)


def saturated(water):
    """Vapour pressure over water (hPa): FAO-56, eq. 11."""
    return 6.108 * math.exp(17.27 * water / (water + 237.3))


def terms(water, weather, p):
    """Heat that the water takes up (W/m2), term by term."""
    air, sun, vapour = weather
    kelvin = air + 273.15
    sky = 1.24 * (vapour / 100 / kelvin) ** (1 / 7) * (1 + 0.17 * p["cloudiness"] ** 2)
    around = p["openness"] * sky + (1 - p["openness"]) * 0.97
    return {
        "shortwave": 0.94 * p["openness"] * sun,
        "longwave_in": 0.97 * 5.67e-8 * around * kelvin**4,
        "longwave_out": 0.97 * 5.67e-8 * (water + 273.15) ** 4,
        "evaporation": p["wind_function"] * (saturated(water) - vapour / 100),
        "convection": 0.627 * p["wind_function"] * (air - water),
        "groundwater": p["groundwater_rate"]
        * 4.18
        * p["depth"]
        / 0.0864
        * (p["groundwater_temperature"] - water),
    }


def net(water, weather, p):
    found = terms(water, weather, p)
    gains = ("shortwave", "longwave_in", "convection", "groundwater")
    return sum(found[name] for name in gains) - found["longwave_out"] - found["evaporation"]


def days(weathers, start, p, process=None, **options):
    process = process or find_process("stream_temperature")
    series = torch.tensor(weathers, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    return simulate(
        process,
        {name: series[:, i : i + 1] for i, name in enumerate(names(process.forcings))},
        {name: value * one for name, value in p.items()},
        initial={"midnight_temperature": start * one},
        **options,
    )


class Hourly(StreamTemperature):
    """A step so short that what is left of its error shows the order of the method."""

    increments = 24


@pytest.mark.parametrize("weather", [SUMMER, WINTER])
@pytest.mark.parametrize("start", [0.5, 12.0, 25.0])
def test_deep_water_takes_up_heat_as_the_terms_say(weather, start):
    # 5 m warm by less than a degree a day, so the terms are those at the start
    p = PLAIN | {"depth": 5.0, "openness": 0.6, "cloudiness": 0.5, "groundwater_rate": 0.02}
    flux = {name: float(series) for name, series in days([weather], start, p).fluxes.items()}
    per_watt = 0.0864 / (4.18 * 5.0)
    for name, expected in terms(start, weather, p).items():
        assert flux[name] == pytest.approx(per_watt * expected, abs=0.1), name
    assert flux["shortwave"] == pytest.approx(per_watt * 0.94 * 0.6 * weather[1])


def test_a_published_day():
    """FAO-56, example 3: at 24.5 degC, 3.075 kPa saturate; water in such air neither evaporates nor cools."""
    p = PLAIN | {"depth": 5.0}
    flux = days([(24.5, 0.0, 3075.0)], 24.5, p).fluxes
    assert float(flux["convection"]) == pytest.approx(0.0, abs=0.02)
    assert float(flux["evaporation"]) == pytest.approx(0.0, abs=0.02)
    # FAO-56, eq. 39: 4.903e-9 MJ/K4/m2/day
    out = float(flux["longwave_out"]) * 4.18 * 5.0
    assert out == pytest.approx(0.97 * 4.903e-9 * 297.65**4, rel=5e-3)


@pytest.mark.parametrize("depth", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("start", [0.0, 30.0])
def test_water_comes_to_where_the_terms_balance(depth, start):
    p = PLAIN | {"depth": depth, "openness": 0.5, "groundwater_rate": 0.1}
    low, high = 0.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if net(middle, SUMMER, p) > 0 else (low, middle)
    found = days([SUMMER] * 150, start, p).final["midnight_temperature"]
    assert float(found) == pytest.approx(low, abs=1e-3)


@pytest.mark.parametrize("depth", [0.1, 0.3, 1.0, 4.0])
def test_four_increments_follow_the_differential_equation(depth):
    """Against classical Runge-Kutta steps of 86 seconds, over changing days: within 0.05 degC at midnight."""
    draw = torch.Generator().manual_seed(1)
    weathers = [
        (
            14 + 8 * math.sin(day / 7) + 4 * float(torch.rand(1, generator=draw)),
            300 * float(torch.rand(1, generator=draw)),
            900 + 800 * float(torch.rand(1, generator=draw)),
        )
        for day in range(40)
    ]
    p = PLAIN | {"depth": depth, "openness": 0.7, "groundwater_rate": 0.05}
    per_watt = 0.0864 / (4.18 * depth)
    step, water, expected = 1e-3, 12.0, []
    for weather in weathers:
        for _ in range(1000):
            k1 = per_watt * net(water, weather, p)
            k2 = per_watt * net(water + step / 2 * k1, weather, p)
            k3 = per_watt * net(water + step / 2 * k2, weather, p)
            k4 = per_watt * net(water + step * k3, weather, p)
            water += step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        expected.append(water)
    wanted = torch.tensor(expected, dtype=torch.float64)
    for process, tolerance in ((StreamTemperature(), 0.05), (Hourly(), 2e-3)):
        found = days(weathers, 12.0, p, process, states=("midnight_temperature",), backend="fused")
        assert float((found.states["midnight_temperature"][:, 0, 0] - wanted).abs().max()) < tolerance


def test_energy_adds_up_and_water_never_falls_below_freezing():
    process, sites, length = find_process("stream_temperature"), 40, 1000
    draw = torch.Generator().manual_seed(2)

    def uniform(*shape):
        return torch.rand(*shape, generator=draw, dtype=torch.float64)

    season = torch.cos(torch.arange(length, dtype=torch.float64) * (2 * math.pi / 365)).unsqueeze(1)
    forcing = {
        "temperature": 8 - 20 * season + 8 * (uniform(length, sites) - 0.5),
        "shortwave_radiation": (170 - 120 * season) * uniform(length, sites),
        "vapor_pressure": 100 + (900 - 600 * season) * uniform(length, sites),
    }
    share = uniform(len(process.parameters), sites, 1)
    share[:, 0], share[:, -1] = 0.0, 1.0
    parameters = {p.name: p.lower + (p.upper - p.lower) * share[i] for i, p in enumerate(process.parameters)}
    start = {"midnight_temperature": torch.full((sites, 1), 5.0, dtype=torch.float64)}
    found = simulate(process, forcing, parameters, initial=start, states=("midnight_temperature",))
    residual = mass_residual(process, forcing, found.fluxes, start, found.final)
    assert float(residual.abs().max()) < 1e-9
    water = found.states["midnight_temperature"]
    assert float(water.min()) == 0.0
    assert 15 < float(water.max()) < 45
    ice = found.fluxes["freezing"]
    assert bool((ice >= 0).all())
    assert bool((ice[300:400] > 0).any())
    assert not bool((ice[150:220] > 0).any()), "ice in summer"
    # In joules: what was taken up is 4.18 MJ/m3/degC times depth times the warming.
    joules = 4.18 * parameters["depth"] * (water[-1] - start["midnight_temperature"])
    gains = sum(found.fluxes[name] for name in process.balance.inflow)
    losses = sum(found.fluxes[name] for name in process.balance.outflow)
    flows = 4.18 * parameters["depth"] * (gains - losses).sum(0)
    torch.testing.assert_close(joules, flows, rtol=0, atol=1e-7)


def test_shade_cools_and_groundwater_steadies():
    sunny = days([SUMMER] * 20, 15.0, PLAIN).fluxes["water_temperature"]
    shaded = days([SUMMER] * 20, 15.0, PLAIN | {"openness": 0.2}).fluxes["water_temperature"]
    assert float(shaded[-1]) < float(sunny[-1]) - 3
    fed = PLAIN | {"groundwater_rate": 1.0}
    swing = [
        float(days([SUMMER] * 20, 10.0, p).fluxes["water_temperature"][-1])
        - float(days([WINTER] * 20, 10.0, p).fluxes["water_temperature"][-1])
        for p in (PLAIN, fed)
    ]
    assert swing[1] < 0.5 * swing[0]


def test_a_changed_depth_keeps_the_temperature():
    """Heat comes with the water: a stream that rises by rain of its own temperature stays as warm."""
    process = find_process("stream_temperature")
    one = torch.ones(1, 1, dtype=torch.float64)
    forcing = {
        name: torch.full((2, 1), value, dtype=torch.float64)
        for name, value in zip(names(process.forcings), SUMMER, strict=True)
    }
    depth = torch.tensor([0.5, 5.0], dtype=torch.float64).reshape(2, 1, 1)
    parameters = {name: value * one for name, value in PLAIN.items()} | {"depth": depth}
    found = simulate(
        process,
        forcing,
        parameters,
        initial={"midnight_temperature": 18.0 * one},
        states=("midnight_temperature",),
    )
    first, second = found.states["midnight_temperature"][:, 0, 0].tolist()
    assert abs(second - first) < 1.0
