"""Conversion of units, and refusal of what cannot be converted."""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.storage.errors import InputError

WATER_DENSITY = 1000.0  # kg/m3: 1 kg of water over 1 m2 is 1 mm deep

# Spellings found in hydrological files that pint reads differently or not at all.
_SPELLINGS = {
    "": "dimensionless",
    "-": "dimensionless",
    "1": "dimensionless",
    "none": "dimensionless",
    "%": "percent",
    "c": "degC",
    "°c": "degC",
    "deg c": "degC",
    "celsius": "degC",
    "degrees_celsius": "degC",
    "degree_celsius": "degC",
    "degrees celsius": "degC",
    "degree celsius": "degC",
    "k": "kelvin",
    "f": "degF",
    "°f": "degF",
}


_LOCK = threading.Lock()  # files are read on threads, and pint's registry is not made for them


@cache
def _registry() -> Any:
    """Return the unit registry, made at first use because it takes a second."""
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


def _cleaned(text: str) -> str:
    cleaned = text.strip()
    return _SPELLINGS.get(cleaned.lower(), cleaned)


def _unit(text: str) -> Any:
    """Return pint's unit for a unit as CF and hydrological files spell it."""
    # CF writes powers without a sign: "kg m-2 s-1", "W m-2", "ft3/s".
    cleaned = re.sub(r"(?<=[A-Za-z])\^?(-?\d+)", r"**\1", _cleaned(text))
    try:
        return _registry().Unit(cleaned)
    except Exception as problem:
        raise InputError(f"unknown unit {text!r}; write it as in 'mm/day', 'degC' or 'W m-2'") from problem


@cache
def _scale_and_offset(source: str, target: str) -> tuple[float, float]:
    """Return factor and offset of a linear conversion.

    Raises
    ------
    InputError
        If a unit is unknown, or one is not convertible to the other.
    """
    given, wanted = _unit(source), _unit(target)
    if given == wanted:
        return 1.0, 0.0
    density = _unit("kg/m3")
    mass_flux = given.dimensionality == wanted.dimensionality * density.dimensionality

    def converted(value: float) -> float:
        quantity = _registry().Quantity(value, given)
        quantity = quantity / (WATER_DENSITY * density) if mass_flux else quantity
        return float(quantity.to(wanted).magnitude)

    if not mass_flux and given.dimensionality != wanted.dimensionality:
        needs = ""
        if given.dimensionality == _unit("m3/s").dimensionality:
            needs = " (a volume needs the basin's area to become a depth)"
        raise InputError(f"unit {source!r} cannot be converted to {target!r}{needs}")
    offset, one, ten = converted(0.0), converted(1.0), converted(10.0)
    if not np.isclose(ten - offset, 10.0 * (one - offset), rtol=1e-9):
        raise InputError(f"unit {source!r} cannot be converted to {target!r}: its scale is not linear")
    return one - offset, offset


def convert(values: NDArray[Any], source: str, target: str, where: str = "values") -> NDArray[Any]:
    """Convert values from one unit to another.

    Fluxes of mass (such as kg m-2 s-1) become depths (such as mm/day) with the density of water,
    1000 kg/m3. A volume per time (such as ft3/s) is refused: it needs the basin's area.

    Parameters
    ----------
    values : array, any shape (in `source`)
        Returned as it is where the units are the same.
    source, target : str
        Units as CF spells them: ``mm/day``, ``mm d-1``, ``degC``, ``K``, ``W m-2``.
    where : str
        What the values are and where they come from, for the error.

    Returns
    -------
    array, same shape (in `target`)

    Raises
    ------
    InputError
        If the unit is unknown or not convertible.
    """
    if _cleaned(source) == _cleaned(target):
        return values
    try:
        with _LOCK:
            scale, offset = _scale_and_offset(source, target)
    except InputError as problem:
        raise InputError(f"{where}: {problem}") from None
    if (scale, offset) == (1.0, 0.0):
        return values
    converted: NDArray[Any] = np.asarray(values) * scale + offset
    return converted


def is_convertible(source: str, target: str) -> bool:
    """Whether values of one unit can be converted to another. An unknown unit is not."""
    try:
        convert(np.zeros(1), source, target)
    except InputError:
        return False
    return True
