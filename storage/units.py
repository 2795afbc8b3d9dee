"""Conversion of units, and refusal of what cannot be converted."""

from __future__ import annotations

import re
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


@cache
def _registry() -> Any:
    """Return the unit registry, made at first use because it takes a second."""
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


@cache
def _unit(text: str) -> Any:
    """Return pint's unit for a unit as CF and hydrological files spell it."""
    cleaned = text.strip()
    cleaned = _SPELLINGS.get(cleaned.lower(), cleaned)
    # CF writes powers without a sign: "kg m-2 s-1", "W m-2", "ft3/s".
    cleaned = re.sub(r"(?<=[A-Za-z])(-?\d+)", r"**\1", cleaned)
    try:
        return _registry().Unit(cleaned)
    except Exception as problem:
        raise InputError(f"unknown unit {text!r}; write it as in 'mm/day', 'degC' or 'W m-2'") from problem


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
    if source == target:
        return values
    try:
        given, wanted = _unit(source), _unit(target)
    except InputError as problem:
        raise InputError(f"{where}: {problem}") from None
    if given == wanted:
        return values
    quantity = _registry().Quantity(np.asarray(values), given)
    if given.dimensionality == wanted.dimensionality * _unit("kg/m3").dimensionality:
        quantity = quantity / (WATER_DENSITY * _unit("kg/m3"))
    if quantity.dimensionality != wanted.dimensionality:
        needs = ""
        if given.dimensionality == _unit("m3/s").dimensionality:
            needs = " (a volume needs the basin's area to become a depth)"
        raise InputError(f"{where}: unit {source!r} cannot be converted to {target!r}{needs}")
    converted: NDArray[Any] = quantity.to(wanted).magnitude
    return converted
