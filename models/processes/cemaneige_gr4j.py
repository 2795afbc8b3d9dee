"""CemaNeige before GR4J: snow by degree-days with a cold pack and a shrinking cover."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable
from thalweg.models.processes.gr4j import Gr4j

ALL_SNOW, ALL_RAIN = -1.0, 3.0  # degC, daily mean: between them rain and snow fall together
COVERING_SHARE = 0.9  # of a mean year's snowfall covers all ground
LEAST_MELT = 0.1  # share of the potential melt, on ground that is almost bare

SNOW_STATES = (
    State("snowpack", "mm", 0.0, "G"),
    State("thermal_state", "degC", 0.0, "eTG: weighted temperature of the snowpack, never above 0"),
)
SNOW_PARAMETERS = (
    Parameter("thermal_weighting", "1", 0.0, 1.0, "theta_G1: share of yesterday's thermal state in today's"),
    Parameter("degree_day_factor", "mm/degC/day", 0.5, 10.0, "theta_G2, Kf"),
    Parameter("mean_annual_snowfall", "mm", 1.0, 1000.0, "0.9 of it, Gthreshold, covers all ground"),
)


class CemaneigeGr4j(ProcessModel):
    """CemaNeige with a single layer, and its rain and melt as the precipitation of :class:`Gr4j`; daily.

    A snowpack melts on days above 0 degC once its thermal state has risen to 0 degC. Melt is proportional
    to the covered share of the ground, except for a tenth that is always there.

    The paper takes the mean annual snowfall from the site's own precipitation. A step sees one day and
    knows no climatology: here it is a parameter, to be learned or to be given. Whether a day melts is a
    yes or no in the thermal state, as published: no gradient reaches ``thermal_weighting``.

    Sources
    -------
    Valéry, Andréassian & Perrin (2014), 10.1016/j.jhydrol.2014.04.059 (snow); USACE (1956), Snow
    Hydrology (rain and snow by the daily mean alone); Perrin et al. (2003), see :class:`Gr4j`. Ranges:
    ``degree_day_factor`` as in ``hbv``; ``mean_annual_snowfall`` is ours.
    """

    forcings = (
        Variable("precipitation", "mm/day"),
        Variable("temperature", "degC", "daily mean, 2 m"),
        Variable("potential_evapotranspiration", "mm/day"),
    )
    states = (*SNOW_STATES, *Gr4j.states)
    parameters = (*SNOW_PARAMETERS, *Gr4j.parameters)
    fluxes = (
        *Gr4j.fluxes,
        Variable("snowfall", "mm/day"),
        Variable("snowmelt", "mm/day"),
        Variable("snow_cover", "1", "share of the ground under snow, at the end of the day"),
    )
    routed = True
    balance = Balance(
        inflow=("precipitation", "groundwater_exchange"),
        outflow=("discharge", "evapotranspiration"),
        stored=("snowpack", *(state.name for state in Gr4j.states)),
    )

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one day; see :meth:`ProcessModel.step` for shapes and units."""
        p = parameter
        temperature = forcing.temperature

        solid = ((ALL_RAIN - temperature) / (ALL_RAIN - ALL_SNOW)).clamp(0.0, 1.0)
        snowfall = forcing.precipitation * solid
        rain = forcing.precipitation - snowfall
        snowpack = state.snowpack + snowfall

        weighted = p.thermal_weighting * state.thermal_state + (1.0 - p.thermal_weighting) * temperature
        thermal_state = weighted.clamp(max=0.0)
        potential = torch.where(thermal_state == 0.0, p.degree_day_factor * temperature.clamp(min=0.0), 0.0)
        covering = COVERING_SHARE * p.mean_annual_snowfall
        bare = 1.0 - (snowpack / covering).clamp(max=1.0)
        # At most the potential, so that no more melts than is there.
        melt = (1.0 - (1.0 - LEAST_MELT) * bare) * torch.minimum(potential, snowpack)
        snowpack = snowpack - melt

        below, fluxes = Gr4j().step(
            Gr4j.Forcing(rain + melt, forcing.potential_evapotranspiration),
            Gr4j.CurrentState(*state[len(SNOW_STATES) :]),
            Gr4j.Parameters(*parameter[len(SNOW_PARAMETERS) :]),
        )
        return (
            self.CurrentState(snowpack, thermal_state, *below),
            self.Fluxes(
                *fluxes,
                snowfall=snowfall,
                snowmelt=melt,
                snow_cover=(snowpack / covering).clamp(max=1.0),
            ),
        )
