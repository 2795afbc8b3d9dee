"""GR4J: four parameters, two stores, two unit hydrographs and an exchange with the neighbours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable

# Days over which a day's water leaves the unit hydrographs: UH1 lasts X4 and UH2 twice that.
LONGEST = 4
FIRST, SECOND = LONGEST, 2 * LONGEST


class Gr4j(ProcessModel):
    """Two stores, two unit hydrographs and an exchange of groundwater; daily, lumped, without snow.

    All precipitation counts as rain. Nine tenths of the effective rain go through ``UH1`` and the routing
    store, one tenth through ``UH2`` straight to the stream. To both an exchange with deep groundwater or
    neighbouring catchments is added, which may be a loss; it takes no more than is there, and its actual
    value is a flux. The two stores start 100 mm and 20 mm full: the least that their capacities can be.

    Sources
    -------
    Perrin, Michel & Andréassian (2003), 10.1016/S0022-1694(03)00225-7: equations 1 to 23; the ranges are
    its 80 % intervals over 429 catchments, that of X4 widened to 0.5 to 4 days.
    """

    forcings = (
        Variable("precipitation", "mm/day"),
        Variable("potential_evapotranspiration", "mm/day"),
    )
    states = (
        State("production_store", "mm", 100.0, "S"),
        State("routing_store", "mm", 20.0, "R"),
        *(State(f"uh1_{day}", "mm", 0.0, f"leaves UH1 in {day} days") for day in range(1, FIRST)),
        *(State(f"uh2_{day}", "mm", 0.0, f"leaves UH2 in {day} days") for day in range(1, SECOND)),
    )
    parameters = (
        Parameter("production_capacity", "mm", 100.0, 1200.0, "X1: capacity of the production store"),
        Parameter("exchange_coefficient", "mm/day", -5.0, 3.0, "X2: exchange when the routing store is full"),
        Parameter("routing_capacity", "mm", 20.0, 300.0, "X3: capacity of the routing store"),
        Parameter("unit_hydrograph_time", "day", 0.5, float(LONGEST), "X4: time base of UH1"),
    )
    fluxes = (
        Variable("discharge", "mm/day", "Q: routed flow + direct flow"),
        Variable("evapotranspiration", "mm/day", "actual: of rain, and from the production store"),
        Variable("groundwater_exchange", "mm/day", "into the catchment; negative where it is a loss"),
        Variable("routed_flow", "mm/day", "QR: from the routing store"),
        Variable("direct_flow", "mm/day", "QD: from UH2"),
        Variable("percolation", "mm/day", "leaves the production store"),
    )
    routed = True
    balance = Balance(
        inflow=("precipitation", "groundwater_exchange"),
        outflow=("discharge", "evapotranspiration"),
        stored=tuple(state.name for state in states),
    )

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one day; see :meth:`ProcessModel.step` for shapes and units."""
        x1, x2, x3, x4 = parameter
        production, routing, *waiting = state
        rain, demand = forcing.precipitation, forcing.potential_evapotranspiration

        # Interception, eq. 1 and 2; production store, eq. 3 to 8. Of net rain and net demand one is zero.
        intercepted = torch.minimum(rain, demand)
        net_rain, net_demand = rain - intercepted, demand - intercepted
        held = torch.minimum(production, x1)  # spills only where X1 falls in time
        spilt = production - held
        filling, wetting, drying = held / x1, torch.tanh(net_rain / x1), torch.tanh(net_demand / x1)
        infiltration = x1 * (1.0 - filling * filling) * wetting / (1.0 + filling * wetting)
        infiltration = torch.minimum(infiltration, net_rain)
        drawn = held * (2.0 - filling) * drying / (1.0 + (1.0 - filling) * drying)
        drawn = torch.minimum(drawn, held)
        production = held - drawn + infiltration
        percolation = production * _outflow_share(4.0 / 9.0 * (production / x1))
        production = production - percolation
        effective_rain = spilt + percolation + (net_rain - infiltration)

        # Unit hydrographs, eq. 9 to 17.
        slow = 0.9 * effective_rain
        arriving, first = _pass_through(slow, unit_hydrograph_1(x4), waiting[: FIRST - 1])
        direct, second = _pass_through(effective_rain - slow, unit_hydrograph_2(x4), waiting[FIRST - 1 :])

        # Exchange, eq. 18; routing store, eq. 19 to 21; direct branch, eq. 22. With a constant X3 the
        # store never ends a day above it, so that the clamp matters only where X3 falls in time.
        exchange = x2 * (routing / x3).clamp(max=1.0) ** 3.5
        routing = routing + arriving
        routing_exchange = torch.maximum(exchange, -routing)
        routing = routing + routing_exchange
        routed_flow = routing * _outflow_share(routing / x3)
        direct_exchange = torch.maximum(exchange, -direct)
        direct_flow = direct + direct_exchange

        return (
            self.CurrentState(production, routing - routed_flow, *first, *second),
            self.Fluxes(
                discharge=routed_flow + direct_flow,
                evapotranspiration=intercepted + drawn,
                groundwater_exchange=routing_exchange + direct_exchange,
                routed_flow=routed_flow,
                direct_flow=direct_flow,
                percolation=percolation,
            ),
        )


def _outflow_share(filling: Tensor) -> Tensor:
    """Give ``1 - (1 + filling^4)^(-1/4)``, written so that small shares keep all their digits."""
    square = filling * filling
    fourth = square * square
    root = torch.sqrt(1.0 + fourth)
    quarter = torch.sqrt(root)
    return fourth / (quarter * (quarter + 1.0) * (root + 1.0))


def unit_hydrograph_1(x4: Tensor) -> list[Tensor]:
    """Give the shares of a day's water that leave UH1 in 0, 1, ... days; they sum to one."""
    return _differences([(day / x4).clamp(max=1.0) ** 2.5 for day in range(1, FIRST)])


def unit_hydrograph_2(x4: Tensor) -> list[Tensor]:
    """Give the same for UH2."""
    curve = []
    for day in range(1, SECOND):
        rising = 0.5 * (day / x4).clamp(max=1.0) ** 2.5
        falling = 0.5 * (2.0 - day / x4).clamp(0.0, 1.0) ** 2.5
        curve.append(torch.where(x4 >= day, rising, 1.0 - falling))
    return _differences(curve)


def _differences(curve: list[Tensor]) -> list[Tensor]:
    later = [*curve[1:], torch.ones_like(curve[0])]
    return [curve[0], *(after - before for before, after in zip(curve, later, strict=True))]


def _pass_through(water: Tensor, shares: list[Tensor], waiting: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Give what leaves a unit hydrograph today, and what will in 1, 2, ... days."""
    pending = [*waiting, torch.zeros_like(water)]
    today, *later = (stored + share * water for stored, share in zip(pending, shares, strict=True))
    return today, later
