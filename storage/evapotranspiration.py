"""Potential evapotranspiration from temperature and latitude."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SOLAR_CONSTANT = 0.0820  # MJ m-2 min-1 (FAO-56, eq. 21)
LATENT_HEAT = 2.45  # MJ/kg, of vaporization at 20 degC (FAO-56, eq. 8)


def extraterrestrial_radiation(latitude: ArrayLike, day_of_year: ArrayLike) -> NDArray[np.float64]:
    """Solar radiation on a horizontal surface at the top of the atmosphere.

    FAO-56 (Allen et al. 1998), equations 21 to 25. Sun that does not rise gives 0, and sun that does
    not set a full day.

    Parameters
    ----------
    latitude : array (degrees, north positive)
    day_of_year : array (1 to 366)
        The two are broadcast: ``(site, 1)`` and ``(time,)`` give ``(site, time)``.

    Returns
    -------
    array (MJ m-2 day-1)
    """
    phi = np.radians(np.asarray(latitude, dtype=np.float64))
    angle = 2.0 * np.pi / 365.0 * np.asarray(day_of_year, dtype=np.float64)
    distance = 1.0 + 0.033 * np.cos(angle)
    declination = 0.409 * np.sin(angle - 1.39)
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1.0, 1.0))
    geometry = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    minutes = 24.0 * 60.0
    radiation: NDArray[np.float64] = minutes / np.pi * SOLAR_CONSTANT * distance * geometry
    return np.maximum(radiation, 0.0)


def oudin(temperature: ArrayLike, radiation: ArrayLike) -> NDArray[np.float64]:
    """Potential evapotranspiration of Oudin et al. (2005).

    ``radiation / 2.45 * (temperature + 5) / 100`` where that is positive, else 0
    (J. Hydrol. 303, 290-306, doi:10.1016/j.jhydrol.2004.08.026, eq. 3 with K1 = 100 and K2 = 5).

    Parameters
    ----------
    temperature : array, shape (site, time) (degC)
        Daily mean.
    radiation : array, shape (site, time) (MJ m-2 day-1)
        Extraterrestrial radiation.

    Returns
    -------
    array, shape (site, time) (mm/day)
        NaN where temperature is NaN.
    """
    energy = np.asarray(radiation, dtype=np.float64) / LATENT_HEAT
    warmth = (np.asarray(temperature, dtype=np.float64) + 5.0) / 100.0
    return np.maximum(energy * warmth, 0.0)


def hargreaves_samani(
    temperature_min: ArrayLike,
    temperature_max: ArrayLike,
    radiation: ArrayLike,
    temperature: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Reference evapotranspiration of Hargreaves and Samani (1985).

    ``0.0023 * (mean + 17.8) * sqrt(max - min) * radiation / 2.45`` where that is positive, else 0
    (FAO-56, eq. 52). Where the minimum is above the maximum, the range counts as 0.

    Parameters
    ----------
    temperature_min, temperature_max : array, shape (site, time) (degC)
        Daily extremes.
    radiation : array, shape (site, time) (MJ m-2 day-1)
        Extraterrestrial radiation.
    temperature : array, shape (site, time) (degC), optional
        Daily mean; by default the mean of the extremes, as FAO-56 has it.

    Returns
    -------
    array, shape (site, time) (mm/day)
        NaN where a temperature is NaN.
    """
    low = np.asarray(temperature_min, dtype=np.float64)
    high = np.asarray(temperature_max, dtype=np.float64)
    mean = 0.5 * (low + high) if temperature is None else np.asarray(temperature, dtype=np.float64)
    energy = np.asarray(radiation, dtype=np.float64) / LATENT_HEAT
    spread = np.sqrt(np.maximum(high - low, 0.0))
    return np.maximum(0.0023 * (mean + 17.8) * spread * energy, 0.0)
