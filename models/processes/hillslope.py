"""A hillslope with interception, a fast path and non-linear groundwater."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable
from thalweg.models.processes.hbv import SMALLEST_BASE

REFERENCE_STORAGE = 100.0  # mm, where the groundwater timescale applies


class Hillslope(ProcessModel):
    """Snow, canopy, soil, a saturated area that sheds water fast, one non-linear groundwater store.

    It has three processes that HBV lacks, and so serves as a truth that HBV cannot match.

    Sources
    -------
    Interception bucket: Savenije (2004), 10.1002/hyp.5563. Saturation excess from an area that grows with
    soil wetness: Zhao (1992), 10.1016/0022-1694(92)90096-E. Groundwater as a power law of storage:
    Wittenberg (1999), 10.1002/(SICI)1099-1085(19990415)13:5<715::AID-HYP775>3.0.CO;2-N, eq. 2.
    """

    forcings = (
        Variable("precipitation", "mm/day"),
        Variable("temperature", "degC", "daily mean, 2 m"),
        Variable("potential_evapotranspiration", "mm/day"),
    )
    states = (
        State("snowpack", "mm", 0.001),
        State("canopy", "mm", 0.001, "water held by leaves"),
        State("soil_moisture", "mm", 10.0),
        State("fast_storage", "mm", 0.001),
        State("groundwater", "mm", 10.0),
    )
    parameters = (
        Parameter("threshold_temperature", "degC", -2.0, 2.0, "snow below, rain above"),
        Parameter("degree_day_factor", "mm/degC/day", 1.0, 8.0),
        Parameter("canopy_capacity", "mm", 0.2, 4.0),
        Parameter("field_capacity", "mm", 50.0, 600.0),
        Parameter("saturated_area", "1", 0.02, 0.6, "share of the catchment that sheds rain when wet"),
        Parameter("recharge_exponent", "1", 1.0, 5.0),
        Parameter("evapotranspiration_limit", "1", 0.3, 1.0, "wetness above which ET is potential"),
        Parameter("fast_recession", "1/day", 0.2, 0.9),
        Parameter("groundwater_timescale", "day", 10.0, 300.0, "storage over outflow at 100 mm"),
        Parameter("groundwater_exponent", "1", 1.0, 3.0, "outflow grows with this power of storage"),
    )
    fluxes = (
        Variable("discharge", "mm/day", "fast flow + baseflow, before routing"),
        Variable("evapotranspiration", "mm/day", "actual, canopy and soil"),
        Variable("interception", "mm/day", "evaporation from the canopy"),
        Variable("quick_flow", "mm/day", "from the saturated area"),
        Variable("baseflow", "mm/day", "from groundwater"),
        Variable("snowmelt", "mm/day"),
    )
    balance = Balance(
        inflow=("precipitation",),
        outflow=("discharge", "evapotranspiration"),
        stored=("snowpack", "canopy", "soil_moisture", "fast_storage", "groundwater"),
    )

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one day; see :meth:`ProcessModel.step` for shapes and units."""
        p = parameter
        warmth = forcing.temperature - p.threshold_temperature
        rain = torch.where(warmth >= 0, forcing.precipitation, 0.0)
        snowpack = state.snowpack + (forcing.precipitation - rain)
        snowmelt = torch.minimum(p.degree_day_factor * warmth.clamp(min=0.0), snowpack)
        snowpack = snowpack - snowmelt

        wet = state.canopy + rain
        canopy = torch.minimum(wet, p.canopy_capacity)
        throughfall = wet - canopy
        interception = torch.minimum(canopy, forcing.potential_evapotranspiration)
        canopy = canopy - interception

        water = throughfall + snowmelt
        wetness = (state.soil_moisture / p.field_capacity).clamp(SMALLEST_BASE, 1.0)
        shed = p.saturated_area * wetness * water
        infiltration = water - shed
        recharge = infiltration * wetness**p.recharge_exponent
        soil = state.soil_moisture + infiltration - recharge
        held = torch.minimum(soil, p.field_capacity)
        excess, soil = soil - held, held
        stress = (soil / (p.evapotranspiration_limit * p.field_capacity)).clamp(0.0, 1.0)
        demand = (forcing.potential_evapotranspiration - interception) * stress
        transpiration = torch.minimum(demand, soil)
        soil = soil - transpiration

        fast = state.fast_storage + shed + excess
        quick_flow = p.fast_recession * fast
        groundwater = state.groundwater + recharge
        filling = (groundwater / REFERENCE_STORAGE).clamp(min=SMALLEST_BASE)
        outflow = REFERENCE_STORAGE / p.groundwater_timescale * filling**p.groundwater_exponent
        baseflow = torch.minimum(outflow, groundwater)

        return (
            self.CurrentState(snowpack, canopy, soil, fast - quick_flow, groundwater - baseflow),
            self.Fluxes(
                discharge=quick_flow + baseflow,
                evapotranspiration=interception + transpiration,
                interception=interception,
                quick_flow=quick_flow,
                baseflow=baseflow,
                snowmelt=snowmelt,
            ),
        )
