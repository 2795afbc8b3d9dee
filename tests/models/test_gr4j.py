"""GR4J against hand calculation and an independent program of the published equations."""

import math

import pytest
import torch
from random_weather import weather
from single_site import assert_follows, one_day, run

from thalweg.models.engine import simulate
from thalweg.models.process import mass_residual
from thalweg.models.processes import find_process
from thalweg.models.processes.gr4j import unit_hydrograph_1, unit_hydrograph_2

# The medians of 429 catchments, Perrin et al. (2003), section 5.
MEDIAN = {
    "production_capacity": 350.0,
    "exchange_coefficient": 0.0,
    "routing_capacity": 90.0,
    "unit_hydrograph_time": 1.7,
}


def day(rain, pet, *, state=None, **changed):
    forcing = {"precipitation": rain, "potential_evapotranspiration": pet}
    return one_day(find_process("gr4j"), forcing, MEDIAN | changed, state)


def test_rain_is_intercepted_and_wets_the_production_store():
    # Pn = 12 - 2; Ps = X1 (1 - (S/X1)^2) tanh(Pn/X1) / (1 + S/X1 tanh(Pn/X1))
    state, flux = day(12.0, 2.0, state={"production_store": 175.0})
    wetting = math.tanh(10 / 350)
    filled = 175 + 350 * 0.75 * wetting / (1 + 0.5 * wetting)
    percolation = filled * (1 - (1 + (4 / 9 * filled / 350) ** 4) ** -0.25)
    assert flux["evapotranspiration"] == 2.0
    assert flux["percolation"] == pytest.approx(percolation, abs=1e-12)
    assert state["production_store"] == pytest.approx(filled - percolation, abs=1e-12)


def test_a_dry_day_draws_on_the_production_store():
    # En = 5 - 1; Es = S (2 - S/X1) tanh(En/X1) / (1 + (1 - S/X1) tanh(En/X1))
    _, flux = day(1.0, 5.0, state={"production_store": 175.0})
    drying = math.tanh(4 / 350)
    assert flux["evapotranspiration"] == pytest.approx(1 + 175 * 1.5 * drying / (1 + 0.5 * drying), abs=1e-12)


def test_the_routing_store_exchanges_and_empties():
    # F = X2 (R/X3)^3.5 = -2 / 2^3.5; QR = R (1 - (1 + (R/X3)^4)^(-1/4)) after the exchange
    state, flux = day(0.0, 0.0, state={"routing_store": 45.0}, exchange_coefficient=-2.0)
    left = 45 - 2 / 2**3.5
    routed = left * (1 - (1 + (left / 90) ** 4) ** -0.25)
    assert flux["routed_flow"] == pytest.approx(routed, abs=1e-12)
    assert state["routing_store"] == pytest.approx(left - routed, abs=1e-12)
    assert flux["direct_flow"] == 0.0  # nothing there to lose
    assert flux["groundwater_exchange"] == pytest.approx(-2 / 2**3.5, abs=1e-12)


def test_an_import_reaches_both_branches():
    _, flux = day(0.0, 0.0, state={"routing_store": 90.0}, exchange_coefficient=3.0)
    assert flux["direct_flow"] == 3.0
    assert flux["groundwater_exchange"] == 6.0


def test_no_more_is_lost_than_there_is():
    # F = -5 * (20/20)^3.5 on 1.5 mm waiting in UH2 leaves none of it; the routing store has enough.
    state, flux = day(
        0.0,
        0.0,
        state={"routing_store": 20.0, "uh2_1": 1.5},
        exchange_coefficient=-5.0,
        routing_capacity=20.0,
    )
    assert flux["direct_flow"] == 0.0
    assert flux["groundwater_exchange"] == -6.5
    assert state["uh2_1"] == 0.0


def test_unit_hydrographs_share_out_all_water_for_any_time_base():
    x4 = torch.linspace(0.5, 4.0, 701, dtype=torch.float64)
    for hydrograph, longest in ((unit_hydrograph_1, 1), (unit_hydrograph_2, 2)):
        shares = torch.stack(hydrograph(x4))
        torch.testing.assert_close(shares.sum(0), torch.ones_like(x4), rtol=0.0, atol=1e-15)
        assert bool((shares >= 0).all())
        days = torch.arange(len(shares)).unsqueeze(1)
        assert not shares[days >= longest * x4].any(), "water after the end of the hydrograph"


def test_unit_hydrographs_have_the_published_ordinates():
    # X4 = 2: SH1(1) = (1/2)^2.5; SH2(1) = SH1(1) / 2, SH2(2) = 1/2, SH2(3) = 1 - (1/2)^2.5 / 2
    x4 = torch.tensor([2.0], dtype=torch.float64)
    rise = 0.5**2.5
    first = [float(share) for share in unit_hydrograph_1(x4)]
    second = [float(share) for share in unit_hydrograph_2(x4)]
    assert first == pytest.approx([rise, 1 - rise, 0, 0], abs=1e-15)
    assert second == pytest.approx([rise / 2, 0.5 - rise / 2, 0.5 - rise / 2, rise / 2, *[0] * 4], abs=1e-15)


def test_water_waits_in_the_hydrographs_and_then_leaves():
    # One wet day on a full production store, against none: what it adds follows UH2 with X4 = 4.
    def direct(rain):
        days = [rain] + [0.0] * 8
        result = run(
            find_process("gr4j"),
            {"precipitation": days, "potential_evapotranspiration": [0.0] * 9},
            MEDIAN | {"unit_hydrograph_time": 4.0},
            {"production_store": 350.0},
        )
        return result.fluxes["direct_flow"][:, 0, 0]

    added = direct(50.0) - direct(0.0)
    shares = [curve_2(k + 1, 4.0) - curve_2(k, 4.0) for k in range(9)]
    torch.testing.assert_close(added, 5.0 * torch.tensor(shares, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_capacities_that_fall_in_time_keep_the_balance():
    process = find_process("gr4j")
    generator = torch.Generator().manual_seed(2)
    forcing = weather(process.forcings, 300, 4, torch.float64, generator)
    parameters = {
        item.name: item.lower
        + (item.upper - item.lower) * torch.rand(300, 4, 2, generator=generator, dtype=torch.float64).round()
        for item in process.parameters
    }
    result = simulate(process, forcing, parameters, states=tuple(state.name for state in process.states))
    initial = {s.name: torch.full((4, 2), s.initial, dtype=torch.float64) for s in process.states}
    residual = mass_residual(process, forcing, result.fluxes, initial, result.final)
    assert float(residual.abs().max()) < 1e-9
    for series in (*result.states.values(), result.fluxes["discharge"]):
        assert bool((series >= 0).all())
    assert float(result.fluxes["groundwater_exchange"].max()) <= 6.0


def curve_1(time, x4):
    return 0.0 if time <= 0 else (time / x4) ** 2.5 if time < x4 else 1.0


def curve_2(time, x4):
    if time <= x4:
        return 0.0 if time <= 0 else 0.5 * (time / x4) ** 2.5
    return 1 - 0.5 * (2 - time / x4) ** 2.5 if time < 2 * x4 else 1.0


def reference(forcing, parameter, state):
    """One day by equations 1 to 23 of Perrin et al. (2003), with its branches; eq. 18 taken as a loss
    of no more than is there."""
    x1, x2, x3, x4 = parameter.values()
    rain, demand = forcing["precipitation"], forcing["potential_evapotranspiration"]
    store = state["production_store"]
    if rain >= demand:
        net = math.tanh((rain - demand) / x1)
        wetted = x1 * (1 - (store / x1) ** 2) * net / (1 + store / x1 * net)
        store, evapotranspiration, direct_rain = store + wetted, demand, rain - demand - wetted
    else:
        net = math.tanh((demand - rain) / x1)
        drawn = store * (2 - store / x1) * net / (1 + (1 - store / x1) * net)
        store, evapotranspiration, direct_rain = store - drawn, rain + drawn, 0.0
    percolation = store * (1 - (1 + (4 * store / (9 * x1)) ** 4) ** -0.25)
    state["production_store"] = store - percolation
    effective = percolation + direct_rain

    arrived = []
    for name, share, curve, length in (("uh1", 0.9, curve_1, 4), ("uh2", 0.1, curve_2, 8)):
        waiting = [*(state[f"{name}_{k}"] for k in range(1, length)), 0.0]
        for k in range(length):
            waiting[k] += share * effective * (curve(k + 1, x4) - curve(k, x4))
        arrived.append(waiting[0])
        state.update({f"{name}_{k}": waiting[k] for k in range(1, length)})

    exchange = x2 * (state["routing_store"] / x3) ** 3.5
    routing = max(0.0, state["routing_store"] + arrived[0] + exchange)
    actual = routing - state["routing_store"] - arrived[0]
    routed = routing * (1 - (1 + (routing / x3) ** 4) ** -0.25)
    state["routing_store"] = routing - routed
    direct = max(0.0, arrived[1] + exchange)
    return {
        "discharge": routed + direct,
        "evapotranspiration": evapotranspiration,
        "groundwater_exchange": actual + direct - arrived[1],
        "routed_flow": routed,
        "direct_flow": direct,
        "percolation": percolation,
    }


@pytest.mark.parametrize("fixed", [{}, {"exchange_coefficient": -5.0}, {"unit_hydrograph_time": 2.0}])
def test_two_years_of_random_weather_follow_the_published_equations(fixed):
    assert_follows("gr4j", reference, **fixed)
