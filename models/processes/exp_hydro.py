"""EXP-HYDRO: a snow bucket and a catchment bucket that drains exponentially."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable


class ExpHydro(ProcessModel):
    """Two buckets and six parameters; daily, lumped.

    The equations are differential ones. Here a day is one explicit step, taken in the order of the
    water's way: snow, catchment bucket filled and spilt, evapotranspiration, subsurface flow; each flux
    takes no more than is there, so that the balance is exact.

    Sources
    -------
    Patil & Stieglitz (2014), 10.1002/hyp.9660, equations and ranges (those of the authors' own program);
    in daily steps within a network: Jiang et al. (2020), 10.1029/2020GL088229; as neural differential
    equations: Höge et al. (2022), 10.5194/hess-26-5085-2022. There potential evapotranspiration follows
    Hamon from temperature and day length; here it is a forcing.
    """

    forcings = (
        Variable("precipitation", "mm/day"),
        Variable("temperature", "degC", "daily mean, 2 m"),
        Variable("potential_evapotranspiration", "mm/day"),
    )
    states = (
        State("snowpack", "mm", 0.001, "S0: snow bucket"),
        State("storage", "mm", 50.0, "S1: catchment bucket"),
    )
    parameters = (
        Parameter("subsurface_decline", "1/mm", 0.0, 0.1, "f: fall of subsurface flow with the deficit"),
        Parameter("capacity", "mm", 100.0, 1500.0, "Smax: storage above which water runs off at once"),
        Parameter("maximum_subsurface_flow", "mm/day", 10.0, 50.0, "Qmax: subsurface flow of a full bucket"),
        Parameter("degree_day_factor", "mm/degC/day", 0.0, 5.0, "Df"),
        Parameter("melt_temperature", "degC", 0.0, 3.0, "Tmax: snow melts above"),
        Parameter("snowfall_temperature", "degC", -3.0, 0.0, "Tmin: snow below, rain above"),
    )
    fluxes = (
        Variable("discharge", "mm/day", "subsurface flow + surface runoff, before routing"),
        Variable("evapotranspiration", "mm/day", "actual"),
        Variable("subsurface_flow", "mm/day", "Qsub"),
        Variable("surface_runoff", "mm/day", "Qsurf: what a full bucket cannot hold"),
        Variable("snowmelt", "mm/day"),
    )
    balance = Balance(
        inflow=("precipitation",),
        outflow=("discharge", "evapotranspiration"),
        stored=("snowpack", "storage"),
    )

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one day; see :meth:`ProcessModel.step` for shapes and units."""
        p = parameter
        rain = torch.where(forcing.temperature >= p.snowfall_temperature, forcing.precipitation, 0.0)
        snowpack = state.snowpack + (forcing.precipitation - rain)
        warmth = (forcing.temperature - p.melt_temperature).clamp(min=0.0)
        snowmelt = torch.minimum(p.degree_day_factor * warmth, snowpack)
        snowpack = snowpack - snowmelt

        storage = state.storage + rain + snowmelt
        held = torch.minimum(storage, p.capacity)
        surface_runoff, storage = storage - held, held
        demand = forcing.potential_evapotranspiration * (storage / p.capacity)
        evapotranspiration = torch.minimum(demand, storage)
        storage = storage - evapotranspiration
        drainage = p.maximum_subsurface_flow * torch.exp(-p.subsurface_decline * (p.capacity - storage))
        subsurface_flow = torch.minimum(drainage, storage)

        return (
            self.CurrentState(snowpack, storage - subsurface_flow),
            self.Fluxes(
                discharge=subsurface_flow + surface_runoff,
                evapotranspiration=evapotranspiration,
                subsurface_flow=subsurface_flow,
                surface_runoff=surface_runoff,
                snowmelt=snowmelt,
            ),
        )
