"""HBV with parallel-component parameters and capillary rise ("HBV 1.1p")."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable

# Keeps the slope of a power finite where its base goes to zero. A drier soil counts as this wet: with
# BETA = 1 at least 1e-5 of the infiltration is recharge. Evapotranspiration takes no more than is there.
SMALLEST_BASE = 1e-5


class Hbv(ProcessModel):
    """Snow by degree-days, one soil store, two groundwater boxes; daily, lumped.

    Sources
    -------
    Bergström (1992), SMHI RH 4; Seibert (2005), HBV light version 2, user's manual;
    Beck et al. (2020), 10.1029/2019JD031485, table 2 (equations and ranges);
    Feng et al. (2022), 10.1029/2022WR032404, appendix (shape of evapotranspiration, ranges);
    Song et al. (2025), 10.1029/2024WR038928 (capillary rise).
    """

    forcings = (
        Variable("precipitation", "mm/day"),
        Variable("temperature", "degC", "daily mean, 2 m"),
        Variable("potential_evapotranspiration", "mm/day"),
    )
    states = (
        State("snowpack", "mm", 0.001, "frozen water in the snowpack"),
        State("meltwater", "mm", 0.001, "liquid water held by the snowpack"),
        State("soil_moisture", "mm", 0.001),
        State("upper_zone", "mm", 0.001, "fast groundwater box"),
        State("lower_zone", "mm", 0.001, "slow groundwater box"),
    )
    parameters = (
        Parameter("recharge_exponent", "1", 1.0, 6.0, "BETA: shape of recharge against soil wetness"),
        Parameter("field_capacity", "mm", 50.0, 1000.0, "FC: maximum soil storage"),
        Parameter("quick_recession", "1/day", 0.05, 0.9, "K0: outflow above the threshold"),
        Parameter("interflow_recession", "1/day", 0.01, 0.5, "K1: outflow of the upper box"),
        Parameter("baseflow_recession", "1/day", 0.001, 0.2, "K2: outflow of the lower box"),
        Parameter("evapotranspiration_limit", "1", 0.2, 1.0, "LP: wetness above which ET is potential"),
        Parameter("percolation", "mm/day", 0.0, 10.0, "PERC: largest flow from upper to lower box"),
        Parameter("upper_threshold", "mm", 0.0, 100.0, "UZL: storage above which quick flow starts"),
        Parameter("threshold_temperature", "degC", -2.5, 2.5, "TT: snow below, rain above"),
        Parameter("degree_day_factor", "mm/degC/day", 0.5, 10.0, "CFMAX"),
        Parameter("refreezing", "1", 0.0, 0.1, "CFR: refreezing as a share of melt"),
        Parameter("water_holding", "1", 0.0, 0.2, "CWH: liquid water held, as a share of the snowpack"),
        Parameter("evapotranspiration_exponent", "1", 0.3, 5.0, "BETAET: shape of ET against wetness"),
        Parameter("capillary", "1/day", 0.0, 1.0, "C: capillary rise from the lower box to dry soil"),
    )
    fluxes = (
        Variable("discharge", "mm/day", "quick flow + interflow + baseflow, before routing"),
        Variable("evapotranspiration", "mm/day", "actual"),
        Variable("quick_flow", "mm/day", "Q0"),
        Variable("interflow", "mm/day", "Q1"),
        Variable("baseflow", "mm/day", "Q2"),
        Variable("recharge", "mm/day", "soil to upper box"),
        Variable("capillary_rise", "mm/day", "lower box to soil"),
        Variable("snowmelt", "mm/day", "water that leaves the snowpack"),
    )
    balance = Balance(
        inflow=("precipitation",),
        outflow=("discharge", "evapotranspiration"),
        stored=("snowpack", "meltwater", "soil_moisture", "upper_zone", "lower_zone"),
    )

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one day; see :meth:`ProcessModel.step` for shapes and units."""
        p = parameter
        warmth = forcing.temperature - p.threshold_temperature

        rain = torch.where(warmth >= 0, forcing.precipitation, 0.0)
        snowpack = state.snowpack + (forcing.precipitation - rain)
        melt = torch.minimum(p.degree_day_factor * warmth.clamp(min=0.0), snowpack)
        snowpack = snowpack - melt
        meltwater = state.meltwater + melt
        refrozen = torch.minimum(p.refreezing * p.degree_day_factor * (-warmth).clamp(min=0.0), meltwater)
        snowpack = snowpack + refrozen
        meltwater = meltwater - refrozen
        # Not `meltwater - snowmelt`, which may leave a rounding error above or below what snow holds.
        held = torch.minimum(meltwater, p.water_holding * snowpack)
        snowmelt, meltwater = meltwater - held, held

        wetness = (state.soil_moisture / p.field_capacity).clamp(SMALLEST_BASE, 1.0)
        infiltration = rain + snowmelt
        recharge = infiltration * wetness**p.recharge_exponent
        soil = state.soil_moisture + infiltration - recharge
        held = torch.minimum(soil, p.field_capacity)
        excess, soil = soil - held, held
        stress = (soil / (p.evapotranspiration_limit * p.field_capacity)).clamp(SMALLEST_BASE, 1.0)
        demand = forcing.potential_evapotranspiration * stress**p.evapotranspiration_exponent
        evapotranspiration = torch.minimum(demand, soil)
        soil = soil - evapotranspiration
        dryness = 1.0 - (soil / p.field_capacity).clamp(max=1.0)
        capillary_rise = torch.minimum(
            p.capillary * state.lower_zone * dryness,
            torch.minimum(state.lower_zone, p.field_capacity - soil),
        )
        soil = soil + capillary_rise
        lower = state.lower_zone - capillary_rise

        upper = state.upper_zone + recharge + excess
        percolation = torch.minimum(p.percolation, upper)
        upper = upper - percolation
        quick_flow = p.quick_recession * (upper - p.upper_threshold).clamp(min=0.0)
        upper = upper - quick_flow
        interflow = p.interflow_recession * upper
        upper = upper - interflow
        lower = lower + percolation
        baseflow = p.baseflow_recession * lower
        lower = lower - baseflow

        return (
            self.CurrentState(snowpack, meltwater, soil, upper, lower),
            self.Fluxes(
                discharge=quick_flow + interflow + baseflow,
                evapotranspiration=evapotranspiration,
                quick_flow=quick_flow,
                interflow=interflow,
                baseflow=baseflow,
                recharge=recharge + excess,
                capillary_rise=capillary_rise,
                snowmelt=snowmelt,
            ),
        )
