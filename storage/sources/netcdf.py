"""Series of one site in a small netCDF-4 file, read through h5py: xarray takes four times as long."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from xarray.coding.times import decode_cf_datetime

from thalweg.storage.errors import InputError


def columns_and_days(file: Path, time: str) -> tuple[list[str], NDArray[np.datetime64]]:
    """Return names of the variables over time and the days (datetime64[D]) of a file.

    Raises
    ------
    InputError
        If there is no coordinate `time`, or it is not one of the Gregorian calendar.
    """
    with h5py.File(file) as content:
        names = [name for name in content if name != time]
        return names, _days(content, time, file)


def read_columns(
    file: Path, time: str, wanted: Iterable[str]
) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]], dict[str, str]]:
    """Return days, values by name and units by name of those of `wanted` that are there.

    Packed values are unpacked (CF: ``scale_factor``, ``add_offset``); ``_FillValue`` and
    ``missing_value`` become NaN.
    """
    values, units = {}, {}
    with h5py.File(file) as content:
        days = _days(content, time, file)
        for name in wanted:
            if name in content:
                values[name] = _unpacked(content[name])
                units[name] = _text(content[name].attrs.get("units", ""))
    return days, values, units


def _days(content: h5py.File, time: str, file: Path) -> NDArray[np.datetime64]:
    if time not in content:
        raise InputError(f"{file}: no coordinate {time!r}; it has {', '.join(content)}")
    axis = content[time]
    units, calendar = _text(axis.attrs.get("units", "")), _text(axis.attrs.get("calendar", "standard"))
    try:
        start, step = _origin(units, calendar)
    except Exception as problem:
        raise InputError(
            f"{file}: {time} in {units!r}, calendar {calendar!r}, cannot be read as dates"
        ) from problem
    raw = np.asarray(axis[:])
    offsets = (
        np.round(raw.astype(np.float64) * step).astype(np.int64) if raw.dtype.kind == "f" else raw * step
    )
    days: NDArray[np.datetime64] = (start + offsets.astype("timedelta64[s]")).astype("datetime64[D]")
    return days


@lru_cache(maxsize=64)
def _origin(units: str, calendar: str) -> tuple[np.datetime64, int]:
    """Return what 0 means, and the seconds of a step."""
    start, then = np.asarray(decode_cf_datetime(np.array([0, 1]), units, calendar)).astype("datetime64[s]")
    return start, int((then - start).astype(int))


def _unpacked(variable: h5py.Dataset) -> NDArray[np.float64]:
    attributes = variable.attrs
    raw = np.asarray(variable[:])
    values: NDArray[np.float64] = raw.astype(np.float64)
    for key in ("_FillValue", "missing_value"):
        if key in attributes:
            values[raw == np.asarray(attributes[key]).ravel()[0]] = np.nan
    scale, offset = (
        _number(attributes.get(key, default)) for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    if scale != 1.0:
        values *= scale
    if offset != 0.0:
        values += offset
    return values


def _number(value: Any) -> float:
    return float(np.asarray(value).ravel()[0])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
