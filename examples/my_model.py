"""A process model of your own: a soil bucket that spills into a linear reservoir.

Run it with ``thalweg run examples/my_model.yaml``.
"""

import torch

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable


class Bucket(ProcessModel):
    """Manabe's bucket (1969) above a linear reservoir; no snow."""

    forcings = (
        Variable("precipitation", "mm/day"),
        Variable("potential_evapotranspiration", "mm/day"),
    )
    states = (State("soil_moisture", "mm", initial=50.0), State("groundwater", "mm", initial=20.0))
    parameters = (
        Parameter("capacity", "mm", 20.0, 800.0, "soil storage above which water spills"),
        Parameter("recession", "1/day", 0.005, 0.6, "share of groundwater that flows out each day"),
        Parameter("bypass", "1", 0.0, 0.8, "share of rain that never enters the soil"),
    )
    fluxes = (
        Variable("discharge", "mm/day"),
        Variable("evapotranspiration", "mm/day"),
        Variable("baseflow", "mm/day"),
    )
    balance = Balance(
        inflow=("precipitation",),
        outflow=("discharge", "evapotranspiration"),
        stored=("soil_moisture", "groundwater"),
    )

    def step(self, forcing, state, parameter):
        quick = parameter.bypass * forcing.precipitation
        soil = state.soil_moisture + forcing.precipitation - quick
        spill = (soil - parameter.capacity).clamp(min=0.0)
        soil = soil - spill
        wetness = (soil / parameter.capacity).clamp(max=1.0)
        evapotranspiration = torch.minimum(forcing.potential_evapotranspiration * wetness, soil)
        groundwater = state.groundwater + spill
        baseflow = parameter.recession * groundwater
        return (
            self.CurrentState(soil - evapotranspiration, groundwater - baseflow),
            self.Fluxes(quick + baseflow, evapotranspiration, baseflow),
        )
