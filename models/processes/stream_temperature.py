"""Stream temperature by the energy balance of well-mixed water."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable

WATT = 0.0864  # MJ/day for a W
HEAT_CAPACITY = 4.18  # MJ/m3/degC, of water
ALBEDO = 0.06  # of water under a daily mean sun
EMISSIVITY = 0.97  # of water, banks and leaves
STEFAN_BOLTZMANN = 5.67e-8  # W/m2/K4
PSYCHROMETRIC = 0.627  # hPa/degC: Bowen's ratio, 0.47 mmHg/degC
KELVIN = 273.15
SMALLEST_PRESSURE = 1.0  # Pa; keeps the slope of the sky's emissivity finite


class StreamTemperature(ProcessModel):
    """Stream temperature by an energy balance: radiation, evaporation, air, groundwater, freezing.

    Flows of heat are given as the rate at which they warm the water (degC/day; times 4.18 ``depth``:
    MJ/m2/day) and add up to the change of its temperature. The day is taken in ``increments`` equal
    parts; in each, the net flow is linear in the temperature about its start, and the temperature relaxes
    exponentially to where that is zero: stable for any depth. Water does not cool below 0 degC; the heat of
    the ice that forms instead is ``freezing``, and ice is not kept. Radiation that a source gives as the
    mean over daylight must be brought to the mean over the day first, or ``openness`` takes it up.

    Sources
    -------
    Edinger, Duttweiler and Geyer (1968), 10.1029/WR004i005p01137 (surface exchange, relaxation to an
    equilibrium temperature); Sinokrot and Stefan (1993), 10.1029/93WR00540 (terms, shade); Brutsaert
    (1975), 10.1029/WR011i005p00742, eq. 11 (clear sky); Bras (1990), Hydrology (clouds); Allen et
    al. (1998), FAO-56, eq. 11 and 13 (vapour pressure of water, its slope). Range of
    ``wind_function``: Brady, Graves and Geyer (1969), 6.9 + 0.345 w2 for a wind w of 0 to 5 m/s, and less in
    the lee of banks and trees; the other ranges are ours.
    """

    increments = 4

    forcings = (
        Variable("temperature", "degC", "daily mean of the air, 2 m"),
        Variable("shortwave_radiation", "W/m2", "incoming, mean over the day"),
        Variable("vapor_pressure", "Pa", "of the air"),
    )
    states = (State("midnight_temperature", "degC", 0.0, "of the water, at the end of the day"),)
    parameters = (
        Parameter("depth", "m", 0.1, 5.0, "mean depth of the water"),
        Parameter("openness", "1", 0.1, 1.0, "share of the sky that is not hidden by banks and trees"),
        Parameter("cloudiness", "1", 0.0, 1.0, "mean share of the sky under clouds"),
        Parameter("wind_function", "W/m2/hPa", 2.0, 16.0, "latent heat per difference of vapour pressure"),
        Parameter("groundwater_rate", "1/day", 0.0, 1.0, "share of the water replaced by groundwater"),
        Parameter("groundwater_temperature", "degC", 0.0, 20.0),
    )
    fluxes = (
        Variable("water_temperature", "degC", "mean over the day"),
        Variable("shortwave", "degC/day", "taken up from the sun"),
        Variable("longwave_in", "degC/day", "taken up from the sky, banks and trees"),
        Variable("longwave_out", "degC/day", "given off"),
        Variable("evaporation", "degC/day", "latent heat given off; negative: dew"),
        Variable("convection", "degC/day", "sensible heat taken from the air; negative: given to it"),
        Variable("groundwater", "degC/day", "brought by groundwater; negative: the water was warmer"),
        Variable("freezing", "degC/day", "set free by ice"),
    )
    balance = Balance(
        inflow=("shortwave", "longwave_in", "convection", "groundwater", "freezing"),
        outflow=("longwave_out", "evaporation"),
        stored=("midnight_temperature",),
    )

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one day; see :meth:`ProcessModel.step` for shapes and units."""
        p = parameter
        air, vapour = forcing.temperature, forcing.vapor_pressure
        per_watt = WATT / (HEAT_CAPACITY * p.depth)  # degC/day for a W/m2
        shortwave = per_watt * (1.0 - ALBEDO) * p.openness * forcing.shortwave_radiation
        longwave_in = per_watt * _longwave_in(air, vapour, p)
        air_slope = per_watt * PSYCHROMETRIC * p.wind_function
        part = 1.0 / self.increments

        water = state.midnight_temperature
        mean = longwave_out = evaporation = convection = groundwater = freezing = torch.zeros_like(water)
        for _ in range(self.increments):
            out, out_slope = (per_watt * term for term in _linear_radiation(water))
            latent, latent_slope = (per_watt * term for term in _linear_evaporation(water, vapour, p))
            sensible = air_slope * (air - water)
            inflow = p.groundwater_rate * (p.groundwater_temperature - water)
            net = shortwave + longwave_in + sensible + inflow - out - latent
            slope = out_slope + latent_slope + air_slope + p.groundwater_rate
            # With dT/dt = net - slope (T - water): the mean of T - water over the increment.
            warming = net / slope * (1.0 + torch.expm1(-slope * part) / (slope * part))

            out = out + out_slope * warming
            latent = latent + latent_slope * warming
            sensible = sensible - air_slope * warming
            inflow = inflow - p.groundwater_rate * warming
            mean = mean + part * (water + warming)
            unfrozen = water + part * (shortwave + longwave_in + sensible + inflow - out - latent)
            water = unfrozen.clamp(min=0.0)
            freezing = freezing + (water - unfrozen)
            longwave_out = longwave_out + part * out
            evaporation = evaporation + part * latent
            convection = convection + part * sensible
            groundwater = groundwater + part * inflow

        return self.CurrentState(water), self.Fluxes(
            water_temperature=mean.clamp(min=0.0),
            shortwave=shortwave,
            longwave_in=longwave_in,
            longwave_out=longwave_out,
            evaporation=evaporation,
            convection=convection,
            groundwater=groundwater,
            freezing=freezing,
        )


def _longwave_in(air: Tensor, vapour: Tensor, p: Any) -> Tensor:
    """Give what the water takes up (W/m2) of the radiation of the sky, the banks and the trees."""
    warm = air + KELVIN
    clear = 1.24 * (0.01 * vapour.clamp(min=SMALLEST_PRESSURE) / warm) ** (1 / 7)
    sky = clear * (1.0 + 0.17 * p.cloudiness**2)
    around: Tensor = p.openness * sky + (1.0 - p.openness) * EMISSIVITY
    return EMISSIVITY * STEFAN_BOLTZMANN * around * warm**4


def _linear_radiation(water: Tensor) -> tuple[Tensor, Tensor]:
    """Give what water of this temperature (degC) radiates (W/m2), and the slope (W/m2/degC)."""
    warm = water + KELVIN
    cube = EMISSIVITY * STEFAN_BOLTZMANN * warm**3
    return cube * warm, 4.0 * cube


def _linear_evaporation(water: Tensor, vapour: Tensor, p: Any) -> tuple[Tensor, Tensor]:
    """Give the latent heat (W/m2) that water of this temperature (degC) loses, and the slope."""
    shifted = water + 237.3
    saturated = 6.108 * torch.exp(17.27 * water / shifted)  # hPa
    slope = p.wind_function * saturated * (17.27 * 237.3) / shifted**2
    return p.wind_function * (saturated - 0.01 * vapour), slope
