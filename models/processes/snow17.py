"""Snow-17: the snow model of the United States' National Weather Service, daily."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable

HEAVY_SNOW = 36.0  # mm/day (1.5 mm/h): from here on the pack's surface is as cold as the new snow
HEAVY_RAIN = 6.0  # mm/day (0.25 mm/h): above, melt follows the rain-on-snow equation
RAIN_HEAT = 0.0125  # 1/degC: melt by the heat of a millimetre of rain
ICE_HEAT = 1 / 160  # 1/degC: specific heat of ice over its heat of fusion
COLDEST = 0.33  # mm of heat deficit per mm of snow, at -52.8 degC
AIR_PRESSURE = 33.86 * 29.9  # hPa, at sea level: sensible heat in rain grows with it
SMALLEST_PACK = 1e-5  # mm; keeps divisions finite where there is no snow
# Share of the ground under snow, for 0, 10, ... 100 % of the snow at which it is fully covered.
DEPLETION = (0.05, 0.09, 0.16, 0.31, 0.54, 0.74, 0.84, 0.89, 0.93, 0.97, 1.0)

FORCINGS = (
    Variable("precipitation", "mm/day"),
    Variable("temperature", "degC", "daily mean, 2 m"),
    Variable("day_of_year", "1", "1 on the first of January"),
)
STATES = (
    State("snowpack", "mm", 0.001, "WE: frozen water in the snowpack"),
    State("meltwater", "mm", 0.001, "LIQW: liquid water held by the snowpack"),
    State("heat_deficit", "mm", 0.0, "NEGHS: water that must freeze before the pack is at 0 degC"),
    State("antecedent_cold", "degC", 0.0, "-TINDEX: degrees below 0 of the pack near its surface"),
    State("greatest_snow", "mm", 0.002, "ACCMAX: the most snow, with its liquid, since the ground was bare"),
)
PARAMETERS = (
    Parameter("snowfall_correction", "1", 0.7, 1.4, "SCF: true snowfall over measured snowfall"),
    Parameter("snowfall_temperature", "degC", -2.0, 2.0, "PXTEMP: snow up to it, rain above"),
    Parameter("melt_factor_summer", "mm/degC/day", 2.0, 8.0, "MFMAX, on 21 June"),
    Parameter("melt_factor_winter", "mm/degC/day", 0.2, 1.96, "MFMIN, on 21 December"),
    Parameter("melt_temperature", "degC", 0.0, 1.0, "MBASE: no melt below"),
    Parameter("wind_function", "mm/hPa/day", 0.12, 0.76, "UADJ: turbulent exchange in rain"),
    Parameter("cooling_factor", "mm/degC/day", 0.2, 2.0, "NMF: heat exchange without melt, in June"),
    Parameter("antecedent_weight", "1", 0.05, 0.5, "TIPM: share of the last 6 hours in antecedent_cold"),
    Parameter("snow_water_holding", "1", 0.02, 0.3, "PLWHC: liquid water held, as a share of the snowpack"),
    Parameter("ground_melt", "mm/day", 0.0, 0.3, "DAYGM: melt by the heat of the ground"),
    Parameter("full_cover_snow", "mm", 1.0, 3500.0, "SI: snow above which all ground is covered"),
)


class SnowDay(NamedTuple):
    """States at the end of a day, and what came of it during the day (mm)."""

    snowpack: Tensor
    meltwater: Tensor
    heat_deficit: Tensor
    antecedent_cold: Tensor
    greatest_snow: Tensor
    rain_plus_melt: Tensor
    rainfall: Tensor
    snowfall: Tensor
    snow_cover: Tensor


class Snow17(ProcessModel):
    """Snow by a heat index: seasonal melt factors, rain on snow, heat deficit, partial snow cover.

    Where it differs from the National Weather Service's program: on ground that was partly bare, new snow
    raises the cover along the depletion curve instead of at once; the hours that water takes through
    the pack are left out (water leaves it on the day it is set free); the air pressure is that of sea level;
    the melt factor has the one sinusoid used south of 54 degrees north. The depletion curve is fixed.

    Sources
    -------
    Anderson (1973), NOAA Tech. Memo. NWS HYDRO-17; Anderson (2006), Snow Accumulation and Ablation
    Model - SNOW-17, NWSRFS user manual II.2 (equations). Ranges: Anderson (2002), calibration of
    conceptual hydrologic models, and He et al. (2011), 10.1016/j.advwatres.2010.10.002, per day
    instead of per six hours; ``full_cover_snow``: Newman et al. (2015), 10.5194/hess-19-209-2015.
    """

    forcings = FORCINGS
    states = STATES
    parameters = PARAMETERS
    fluxes = (
        Variable("rain_plus_melt", "mm/day", "water that reaches the soil"),
        Variable("rainfall", "mm/day"),
        Variable("snowfall", "mm/day", "corrected by SCF"),
        Variable("snow_water_equivalent", "mm", "frozen and liquid, at the end of the day"),
        Variable("snow_cover", "1", "share of the ground under snow"),
    )
    balance = Balance(
        inflow=("rainfall", "snowfall"), outflow=("rain_plus_melt",), stored=("snowpack", "meltwater")
    )

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one day; see :meth:`ProcessModel.step` for shapes and units."""
        day = snow_day(forcing, state, parameter)
        return (
            self.CurrentState(*day[: len(self.states)]),
            self.Fluxes(
                rain_plus_melt=day.rain_plus_melt,
                rainfall=day.rainfall,
                snowfall=day.snowfall,
                snow_water_equivalent=day.snowpack + day.meltwater,
                snow_cover=day.snow_cover,
            ),
        )


def snow_day(forcing: Any, state: Any, p: Any) -> SnowDay:
    """Advance a snowpack by one day.

    Parameters
    ----------
    forcing, state, p : named tuples that have (at least) :data:`FORCINGS`, :data:`STATES` and
        :data:`PARAMETERS`, tensors of one shape.
    """
    snows = forcing.temperature <= p.snowfall_temperature
    rain = torch.where(snows, 0.0, forcing.precipitation)
    snowfall = torch.where(snows, forcing.precipitation, 0.0) * p.snowfall_correction
    frost = (-forcing.temperature).clamp(min=0.0)
    pack = state.snowpack + snowfall
    there = state.snowpack + state.meltwater
    greatest = _greatest(state.greatest_snow, there, pack + state.meltwater, snowfall > 0.0)
    full = torch.minimum(greatest, p.full_cover_snow).clamp(min=SMALLEST_PACK)
    cover = _cover(((pack + state.meltwater) / full).clamp(max=1.0))

    factor = _melt_factor(forcing.day_of_year, p)
    melt = cover * _surface_melt(forcing.temperature, rain, factor, p)
    ground = cover * p.ground_melt
    above = pack - torch.minimum(ground, pack)
    gone = (pack <= p.ground_melt) | (melt >= above)
    # Ground melt takes its share of the liquid. A pack that holds all it can then still does, exactly:
    # rounding must not decide whether the next drop stays. The gradient is that of the share, for new snow
    # would hold more.
    left = state.meltwater * (above / pack.clamp(min=SMALLEST_PACK)).clamp(max=1.0)
    capacity = p.snow_water_holding * pack
    full_pack = _no_less(state.meltwater, capacity) & _no_less(capacity, state.meltwater)
    left = left + torch.where(full_pack, p.snow_water_holding * above - left, 0.0).detach()
    lost = state.meltwater - left

    cold = torch.where(snowfall > HEAVY_SNOW, frost, state.antecedent_cold)
    cooling = cover * (factor / p.melt_factor_summer) * p.cooling_factor * (frost - cold)
    pack_left = above - torch.minimum(melt, above)
    deficit = (state.heat_deficit + cooling).clamp(min=0.0) + ICE_HEAT * frost * snowfall
    deficit = torch.minimum(deficit, COLDEST * pack_left)
    cold = cold - (1.0 - (1.0 - p.antecedent_weight) ** 4) * (cold + forcing.temperature)

    on_snow = cover * rain
    water = melt + on_snow
    liquid = water + left
    ripe = liquid >= p.snow_water_holding * pack_left + deficit + p.snow_water_holding * deficit
    frozen = torch.where(ripe, deficit, torch.minimum(water, deficit))
    deficit = deficit - frozen
    pack_left = pack_left + frozen
    liquid = liquid - frozen
    held = torch.where(ripe, torch.minimum(liquid, p.snow_water_holding * pack_left), liquid)

    leaving = ground + lost + (liquid - held)
    greatest = _greatest(greatest, pack + state.meltwater, pack_left + held, on_snow > leaving)
    outflow = (rain - on_snow) + leaving
    everything = rain + pack + state.meltwater
    return SnowDay(
        snowpack=torch.where(gone, 0.0, pack_left),
        meltwater=torch.where(gone, 0.0, held),
        heat_deficit=torch.where(gone, 0.0, deficit),
        antecedent_cold=torch.where(gone | (deficit == 0.0), 0.0, cold.clamp(min=0.0)),
        greatest_snow=torch.where(gone, 0.0, greatest),
        rain_plus_melt=torch.where(gone, everything, outflow),
        rainfall=rain,
        snowfall=snowfall,
        snow_cover=torch.where(gone, 0.0, cover),
    )


def _greatest(greatest: Tensor, before: Tensor, after: Tensor, grew: Tensor) -> Tensor:
    """Give the most snow there has been (mm), when ``before`` becomes ``after``, which is more where it grew.

    Water that freezes in the pack leaves as much as before, up to rounding, and a drizzle may be less than
    that. So what came in decides whether there is more than ever, where there was as much as ever.
    """
    most = torch.where(_no_less(before, greatest), after, torch.maximum(greatest, after))
    return torch.where(grew, most, greatest)


def _no_less(amount: Tensor, other: Tensor) -> Tensor:
    """Tell whether an amount is no less than another, up to rounding."""
    return amount >= other * (1.0 - 16 * torch.finfo(other.dtype).eps)


def _melt_factor(day_of_year: Tensor, p: Any) -> Tensor:
    """Give the melt factor without rain (mm/degC/day), greatest on 21 June."""
    season = torch.sin((day_of_year - 80.0) * (2 * math.pi / 365.0))
    factor: Tensor = p.melt_factor_winter + (0.5 + 0.5 * season) * (
        p.melt_factor_summer - p.melt_factor_winter
    )
    return factor


def _surface_melt(temperature: Tensor, rain: Tensor, factor: Tensor, p: Any) -> Tensor:
    """Give the melt (mm/day) of ground that is fully covered."""
    by_rain = RAIN_HEAT * rain * temperature.clamp(min=0.0)
    dry = factor * (temperature - p.melt_temperature).clamp(min=0.0)
    # Long-wave radiation, latent heat at 90 % humidity and sensible heat; air of 0 degC has 6.11 hPa.
    radiation = 0.0612 * 24 * (((temperature + 273.0) * 0.01) ** 4 - 55.55)
    vapour = 0.9 * 2.7489e8 * torch.exp(-4278.63 / (temperature + 242.792))
    turbulent = p.wind_function * (8.5 * (vapour - 6.11) + (7.5 * 0.000646 * AIR_PRESSURE) * temperature)
    wet = (radiation + turbulent + by_rain).clamp(min=0.0)
    return torch.where(rain > HEAVY_RAIN, wet, dry + by_rain)


def _cover(share: Tensor) -> Tensor:
    """Give the share of the ground under snow: straight lines between the points of :data:`DEPLETION`."""
    slopes = [10 * (b - a) for a, b in pairwise(DEPLETION)]
    cover = DEPLETION[0] + slopes[0] * share
    for i in range(1, len(slopes)):
        cover = cover + (slopes[i] - slopes[i - 1]) * (share - i / 10).clamp(min=0.0)
    return cover.clamp(max=1.0)
