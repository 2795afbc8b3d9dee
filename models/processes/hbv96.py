"""HBV-96: a non-linear upper zone, capillary flux and a mixture of rain and snow."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable


class Hbv96(ProcessModel):
    """Snow by degree-days, one soil store, a non-linear upper and a linear lower zone; daily, lumped.

    It differs from ``hbv`` where HBV-96 does: the upper zone empties by ``K UZ^(1 + ALFA)`` rather than
    through two linear outlets and a threshold; water rises to dry soil from the upper zone, at most
    ``CFLUX`` a day; evapotranspiration is linear in soil wetness below ``LP``; and within an interval
    of temperature, rain and snow fall together. Melt starts at the same temperature, in the middle of
    that interval. Corrections of the gauges' catch are left to the forcing and the triangular
    transformation MAXBAS to routing.

    Sources
    -------
    Lindström et al. (1997), 10.1016/S0022-1694(97)00041-3 (equations). Ranges: Beck et al. (2020),
    10.1029/2019JD031485, table 2, for what HBV-96 shares with ``hbv``; the others within those of
    Knoben et al. (2019), 10.5194/gmd-12-2463-2019, model 37.
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
        State("upper_zone", "mm", 0.001),
        State("lower_zone", "mm", 0.001),
    )
    parameters = (
        Parameter("threshold_temperature", "degC", -2.5, 2.5, "TT: half rain and half snow; melt above"),
        Parameter("rain_snow_interval", "degC", 0.1, 5.0, "TTI: width of the mixture around TT"),
        Parameter("degree_day_factor", "mm/degC/day", 0.5, 10.0, "CFMAX"),
        Parameter("refreezing", "1", 0.0, 0.1, "CFR: refreezing as a share of melt"),
        Parameter("water_holding", "1", 0.0, 0.2, "WHC: liquid water held, as a share of the snowpack"),
        Parameter("field_capacity", "mm", 50.0, 1000.0, "FC: maximum soil storage"),
        Parameter("evapotranspiration_limit", "1", 0.2, 1.0, "LP: wetness above which ET is potential"),
        Parameter("recharge_exponent", "1", 1.0, 6.0, "BETA: shape of recharge against soil wetness"),
        Parameter("capillary_flux", "mm/day", 0.0, 4.0, "CFLUX: rise from the upper zone to empty soil"),
        Parameter("quick_recession", "mm^-ALFA/day", 0.001, 0.5, "K: outflow of the upper zone at 1 mm"),
        Parameter("response_exponent", "1", 0.0, 2.0, "ALFA: non-linearity of the upper zone"),
        Parameter("percolation", "mm/day", 0.0, 10.0, "PERC: largest flow from upper to lower zone"),
        Parameter("baseflow_recession", "1/day", 0.001, 0.2, "K4: outflow of the lower zone"),
    )
    fluxes = (
        Variable("discharge", "mm/day", "quick flow + baseflow, before routing"),
        Variable("evapotranspiration", "mm/day", "actual"),
        Variable("quick_flow", "mm/day", "Q0: from the upper zone"),
        Variable("baseflow", "mm/day", "Q1: from the lower zone"),
        Variable("recharge", "mm/day", "soil to upper zone"),
        Variable("capillary_rise", "mm/day", "upper zone to soil"),
        Variable("infiltration", "mm/day", "rain and snowmelt that reach the soil"),
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

        rain = forcing.precipitation * (warmth / p.rain_snow_interval + 0.5).clamp(0.0, 1.0)
        snowpack = state.snowpack + (forcing.precipitation - rain)
        melt = torch.minimum(p.degree_day_factor * warmth.clamp(min=0.0), snowpack)
        snowpack = snowpack - melt
        # Rain on snow fills its pores first; without snow it runs through.
        meltwater = state.meltwater + melt + rain
        refrozen = torch.minimum(p.refreezing * p.degree_day_factor * (-warmth).clamp(min=0.0), meltwater)
        snowpack = snowpack + refrozen
        meltwater = meltwater - refrozen
        held = torch.minimum(meltwater, p.water_holding * snowpack)
        infiltration, meltwater = meltwater - held, held

        wetness = (state.soil_moisture / p.field_capacity).clamp(max=1.0)
        recharge = infiltration * wetness**p.recharge_exponent
        soil = state.soil_moisture + infiltration - recharge
        held = torch.minimum(soil, p.field_capacity)
        excess, soil = soil - held, held
        stress = (soil / (p.evapotranspiration_limit * p.field_capacity)).clamp(max=1.0)
        evapotranspiration = torch.minimum(forcing.potential_evapotranspiration * stress, soil)
        soil = soil - evapotranspiration

        upper = state.upper_zone + recharge + excess
        dryness = 1.0 - soil / p.field_capacity
        room = torch.minimum(upper, p.field_capacity - soil)
        capillary_rise = torch.minimum(p.capillary_flux * dryness, room)
        soil = soil + capillary_rise
        upper = upper - capillary_rise
        percolation = torch.minimum(p.percolation, upper)
        upper = upper - percolation
        outflow = p.quick_recession * upper ** (1.0 + p.response_exponent)
        quick_flow = torch.minimum(outflow, upper)
        lower = state.lower_zone + percolation
        baseflow = p.baseflow_recession * lower

        return (
            self.CurrentState(snowpack, meltwater, soil, upper - quick_flow, lower - baseflow),
            self.Fluxes(
                discharge=quick_flow + baseflow,
                evapotranspiration=evapotranspiration,
                quick_flow=quick_flow,
                baseflow=baseflow,
                recharge=recharge + excess,
                capillary_rise=capillary_rise,
                infiltration=infiltration,
            ),
        )
