"""The Sacramento soil moisture accounting model (SAC-SMA) under Snow-17, daily, lumped."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable
from thalweg.models.processes import snow17

SMALLEST = 1e-6  # keeps divisions, and the slope of a power, finite where their base goes to zero


class Stores(NamedTuple):
    """Contents or capacities (mm over the whole catchment)."""

    upper_tension: Tensor
    upper_free: Tensor
    lower_tension: Tensor
    supplemental: Tensor
    primary: Tensor
    variable_area: Tensor


class SacSma(ProcessModel):
    """Sacramento soil moisture under Snow-17: tension and free water in two zones, areas that seal.

    A day's percolation, interflow and baseflow are computed in ``increments`` equal parts. The National
    Weather Service's program takes one part for every 5 mm of upper free water, a number that cannot
    differ between sites here. Contents are depths over the whole catchment, not over the area that
    has them, so that water is conserved while areas vary. Left out: frozen ground; the limits of 0.01 mm
    and less below which the program skips a flow; and its last line, which makes water where the variable
    area is drier than the upper zone.

    Sources
    -------
    Burnash, Ferral and McGuire (1973), A generalized streamflow simulation system; Burnash (1995), in
    Singh (ed.), Computer models of watershed hydrology; NWSRFS user manual II.3-SAC-SMA (equations).
    Ranges: Koren et al. (2000), as in Yilmaz et al. (2008), 10.1029/2007WR006716; areas: Vrugt et
    al. (2003), 10.1029/2002WR001642, and Anderson (2002); ``deep_recharge`` and ``reserved`` (0 and 0.3 in
    most uses) are ours. Snow: :class:`thalweg.models.processes.snow17.Snow17`.
    """

    increments = 5

    forcings = (*snow17.FORCINGS, Variable("potential_evapotranspiration", "mm/day"))
    states = (
        *snow17.STATES,
        State("upper_tension", "mm", 5.0, "UZTWC: held by the upper soil"),
        State("upper_free", "mm", 0.001, "UZFWC: free to flow and percolate"),
        State("lower_tension", "mm", 10.0, "LZTWC: held by the lower soil"),
        State("supplemental", "mm", 0.001, "LZFSC: faster groundwater"),
        State("primary", "mm", 10.0, "LZFPC: slower groundwater"),
        State("variable_area", "mm", 1.0, "ADIMC: soil of the area that may seal"),
    )
    parameters = (
        *snow17.PARAMETERS,
        Parameter("upper_tension_capacity", "mm", 10.0, 300.0, "UZTWM"),
        Parameter("upper_free_capacity", "mm", 5.0, 150.0, "UZFWM"),
        Parameter("lower_tension_capacity", "mm", 10.0, 500.0, "LZTWM"),
        Parameter("supplemental_capacity", "mm", 5.0, 400.0, "LZFSM"),
        Parameter("primary_capacity", "mm", 10.0, 1000.0, "LZFPM"),
        Parameter("upper_recession", "1/day", 0.1, 0.75, "UZK: share of upper free water to interflow"),
        Parameter("supplemental_recession", "1/day", 0.01, 0.35, "LZSK"),
        Parameter("primary_recession", "1/day", 0.001, 0.05, "LZPK"),
        Parameter("percolation_increase", "1", 5.0, 350.0, "ZPERC: of percolation, wet to dry lower zone"),
        Parameter("percolation_exponent", "1", 1.0, 5.0, "REXP: shape of percolation against dryness"),
        Parameter("percolation_to_free", "1", 0.0, 0.8, "PFREE: share of percolation past tension water"),
        Parameter("impervious_area", "1", 0.0, 0.1, "PCTIM: share of the catchment that is always sealed"),
        Parameter("variable_impervious_area", "1", 0.0, 0.4, "ADIMP: further share that seals when wet"),
        Parameter("riparian_area", "1", 0.0, 0.2, "RIVA: share where plants drink from the stream"),
        Parameter("deep_recharge", "1", 0.0, 0.5, "SIDE: baseflow past the gauge over baseflow in it"),
        Parameter("reserved", "1", 0.0, 0.4, "RSERV: share of lower free water that cannot become tension"),
    )
    fluxes = (
        Variable("discharge", "mm/day", "all runoff less riparian ET, before routing"),
        Variable("evapotranspiration", "mm/day", "actual"),
        Variable("direct_runoff", "mm/day", "from sealed areas"),
        Variable("surface_runoff", "mm/day", "where upper free water is full"),
        Variable("interflow", "mm/day", "from upper free water"),
        Variable("baseflow", "mm/day", "from lower free water, into the channel"),
        Variable("recharge", "mm/day", "baseflow that passes the gauge below ground"),
        Variable("percolation", "mm/day", "upper to lower zone"),
        Variable("rain_plus_melt", "mm/day", "water that reaches the soil"),
        Variable("rainfall", "mm/day"),
        Variable("snowfall", "mm/day", "corrected by SCF"),
        Variable("snow_water_equivalent", "mm", "frozen and liquid, at the end of the day"),
    )
    balance = Balance(
        inflow=("rainfall", "snowfall"),
        outflow=("discharge", "evapotranspiration", "recharge"),
        stored=("snowpack", "meltwater", *Stores._fields),
    )

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one day; see :meth:`ProcessModel.step` for shapes and units."""
        p = parameter
        snow = snow17.snow_day(forcing, state, p)
        water, demand = snow.rain_plus_melt, forcing.potential_evapotranspiration
        pervious = 1.0 - p.impervious_area - p.variable_impervious_area
        share = p.variable_impervious_area / pervious
        capacity = _capacities(pervious, share, p)
        stores = Stores(*(getattr(state, name) for name in Stores._fields))

        stores, spilled = _spill(stores, capacity)
        exhausted = demand > p.upper_tension_capacity
        stores, used, used_by_variable = _evaporate(stores, capacity, pervious * demand, exhausted, share, p)
        stores, runoff = self._drain(stores, capacity, pervious * water, share, p)

        baseflow = runoff.baseflow / (1.0 + p.deep_recharge)
        direct = p.impervious_area * water + runoff.direct
        surface = spilled + runoff.surface
        in_channel = direct + surface + runoff.interflow + baseflow
        thirst = p.riparian_area * (demand - used / pervious).clamp(min=0.0)
        drunk = torch.minimum(thirst, in_channel)
        return (
            self.CurrentState(*snow[: len(snow17.STATES)], *stores),
            self.Fluxes(
                discharge=in_channel - drunk,
                evapotranspiration=used + used_by_variable + drunk,
                direct_runoff=direct,
                surface_runoff=surface,
                interflow=runoff.interflow,
                baseflow=baseflow,
                recharge=runoff.baseflow - baseflow,
                percolation=runoff.percolation,
                rain_plus_melt=water,
                rainfall=snow.rainfall,
                snowfall=snow.snowfall,
                snow_water_equivalent=snow.snowpack + snow.meltwater,
            ),
        )

    def _drain(
        self, stores: Stores, capacity: Stores, water: Tensor, share: Tensor, p: Any
    ) -> tuple[Stores, Runoff]:
        """Let ``water`` (mm, on the pervious area) wet the soil, and the free water flow for a day."""
        wet = stores.upper_tension + water
        tension = torch.minimum(wet, capacity.upper_tension)
        excess = wet - tension
        stores = stores._replace(
            upper_tension=tension, variable_area=stores.variable_area + share * (water - excess)
        )
        part = 1.0 / self.increments
        drained = _Shares(
            *(
                1.0 - (1.0 - rate) ** part
                for rate in (p.upper_recession, p.supplemental_recession, p.primary_recession)
            )
        )
        total = None
        for _ in range(self.increments):
            stores, runoff = _increment(stores, capacity, drained, excess * part, share, p)
            total = runoff if total is None else Runoff(*map(torch.add, total, runoff))
        assert total is not None
        return stores, total


class Runoff(NamedTuple):
    """What flows during some time (mm over the whole catchment)."""

    direct: Tensor
    surface: Tensor
    interflow: Tensor
    baseflow: Tensor
    percolation: Tensor


class _Shares(NamedTuple):
    """Shares of the free water that leave in one increment (1)."""

    upper_free: Tensor
    supplemental: Tensor
    primary: Tensor


def _capacities(pervious: Tensor, share: Tensor, p: Any) -> Stores:
    upper = pervious * p.upper_tension_capacity
    lower = pervious * p.lower_tension_capacity
    return Stores(
        upper_tension=upper,
        upper_free=pervious * p.upper_free_capacity,
        lower_tension=lower,
        supplemental=pervious * p.supplemental_capacity,
        primary=pervious * p.primary_capacity,
        variable_area=share * (upper + lower),
    )


def _spill(s: Stores, capacity: Stores) -> tuple[Stores, Tensor]:
    """Let what is above the upper zone's capacities, when those vary in time, flow off (mm)."""
    tension = torch.minimum(s.upper_tension, capacity.upper_tension)
    wet = s.upper_free + (s.upper_tension - tension)
    free = torch.minimum(wet, capacity.upper_free)
    return s._replace(upper_tension=tension, upper_free=free), wet - free


def _evaporate(
    s: Stores, capacity: Stores, demand: Tensor, exhausted: Tensor, share: Tensor, p: Any
) -> tuple[Stores, Tensor, Tensor]:
    """Take the day's demand (mm), then move free water to drier tension water.

    Returns
    -------
    The stores, and what evaporated from the pervious and from the variable area (mm).
    """
    tension_capacity = capacity.upper_tension + capacity.lower_tension
    # A share of the content, not the smaller of two amounts: those are equal where a store is empty.
    from_upper = s.upper_tension * (demand / capacity.upper_tension).clamp(max=1.0)
    upper_tension = s.upper_tension - from_upper
    rest = demand - from_upper
    from_free = torch.where(exhausted, torch.minimum(rest, s.upper_free), 0.0)
    upper_free = s.upper_free - from_free
    still = rest - from_free
    filling = (upper_tension + upper_free) / (capacity.upper_tension + capacity.upper_free)
    moved = (capacity.upper_tension * filling - upper_tension).clamp(min=0.0)
    moved = torch.where(exhausted, 0.0, torch.minimum(moved, upper_free))
    upper_tension = upper_tension + moved
    upper_free = upper_free - moved

    from_lower = s.lower_tension * (still / tension_capacity).clamp(max=1.0)
    lower_tension = s.lower_tension - from_lower
    free_capacity = capacity.supplemental + capacity.primary
    kept = p.reserved * free_capacity
    filling = (lower_tension + s.supplemental + s.primary - kept) / (
        capacity.lower_tension + free_capacity - kept
    )
    wanted = (capacity.lower_tension * filling - lower_tension).clamp(min=0.0)
    from_supplemental = torch.minimum(wanted, s.supplemental)
    from_primary = torch.minimum(wanted - from_supplemental, s.primary)

    wetter = s.variable_area - share * (from_upper + upper_tension)
    from_variable = (share * from_upper + rest * (wetter / tension_capacity)).clamp(min=0.0)
    from_variable = torch.minimum(from_variable, s.variable_area)
    stores = Stores(
        upper_tension=upper_tension,
        upper_free=upper_free,
        lower_tension=lower_tension + from_supplemental + from_primary,
        supplemental=s.supplemental - from_supplemental,
        primary=s.primary - from_primary,
        variable_area=s.variable_area - from_variable,
    )
    return stores, from_upper + from_free + from_lower, from_variable


def _increment(
    s: Stores, capacity: Stores, drained: _Shares, excess: Tensor, share: Tensor, p: Any
) -> tuple[Stores, Runoff]:
    """Drain free water, percolate, and add ``excess`` (mm) of the tension water to what is free."""
    relative = (s.variable_area - share * s.upper_tension) / (share * capacity.lower_tension).clamp(
        min=SMALLEST
    )
    sealed = relative.clamp(0.0, 1.0) ** 2

    from_primary = s.primary * drained.primary
    primary = s.primary - from_primary
    from_supplemental = s.supplemental * drained.supplemental
    supplemental = s.supplemental - from_supplemental

    lower = s.lower_tension + supplemental + primary
    lower_capacity = capacity.lower_tension + capacity.supplemental + capacity.primary
    room = (lower_capacity - lower).clamp(min=0.0)
    dryness = (room / lower_capacity).clamp(min=SMALLEST)
    base = capacity.primary * drained.primary + capacity.supplemental * drained.supplemental
    demand = base * (1.0 + p.percolation_increase * dryness**p.percolation_exponent)
    percolation = s.upper_free * (demand / capacity.upper_free).clamp(max=1.0)
    percolation = torch.minimum(percolation, room)
    upper_free = s.upper_free - percolation
    interflow = upper_free * drained.upper_free
    upper_free = upper_free - interflow

    past_tension = percolation * p.percolation_to_free
    wet = s.lower_tension + (percolation - past_tension)
    lower_tension = torch.minimum(wet, capacity.lower_tension)
    free = (wet - lower_tension) + past_tension
    primary_room = (1.0 - primary / capacity.primary).clamp(min=0.0)
    supplemental_room = (1.0 - supplemental / capacity.supplemental).clamp(min=0.0)
    size = 2.0 * capacity.primary / (capacity.primary + capacity.supplemental)
    to_primary = size * primary_room / (primary_room + supplemental_room).clamp(min=SMALLEST)
    to_primary = free * to_primary.clamp(max=1.0)
    wet = supplemental + (free - to_primary)
    supplemental = torch.minimum(wet, capacity.supplemental)
    wet = primary + to_primary + (wet - supplemental)
    primary = torch.minimum(wet, capacity.primary)
    lower_tension = lower_tension + (wet - primary)

    wet = upper_free + excess
    upper_free = torch.minimum(wet, capacity.upper_free)
    surface = wet - upper_free
    open_share = share * (1.0 - sealed)
    wet = s.variable_area + open_share * (excess - surface)
    variable_area = torch.minimum(wet, capacity.variable_area)
    return (
        Stores(s.upper_tension, upper_free, lower_tension, supplemental, primary, variable_area),
        Runoff(
            direct=share * sealed * excess + (wet - variable_area),
            surface=surface + open_share * surface,
            interflow=interflow,
            baseflow=from_primary + from_supplemental,
            percolation=percolation,
        ),
    )
