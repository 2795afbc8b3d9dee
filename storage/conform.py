"""Brings what a source yields into the form of a store, or says why it cannot."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.units import convert
from thalweg.storage.variables import VARIABLES

ROLES = ("forcing", "target", "attribute", "signature", "truth")


def conform(dataset: xr.Dataset, where: str = "the source") -> xr.Dataset:
    """Give a dataset the dims, types, units and attributes of a store.

    Nothing is filled or corrected: a day that the time axis leaves out becomes NaN.

    Parameters
    ----------
    dataset : xarray.Dataset
        Dims ``site`` and ``time`` (daily, any order). Coordinates ``latitude`` and ``longitude`` over
        ``site`` (degrees). Canonical variables may have any convertible unit; other variables over
        ``(site, time)`` need the attribute ``units`` and are forcings unless their ``role`` says
        otherwise. Variables over ``(site,)`` are static attributes: numbers or strings.
    where : str
        What the dataset is, for errors.

    Returns
    -------
    xarray.Dataset
        Dims ``(site, time)``; float32 variables with ``units``, ``long_name`` and ``role``.

    Raises
    ------
    InputError
        If a dim or coordinate is missing, a name occurs twice, a unit is not convertible, time is not
        daily, or there is no variable over time.
    """
    _check_dims(dataset, where)
    dataset = _daily(dataset.assign_coords(site=dataset["site"].astype(str).astype(object)), where)
    coordinates: dict[Hashable, xr.DataArray] = {"site": dataset["site"], "time": dataset["time"]}
    for name in ("latitude", "longitude"):
        coordinates[name] = _coordinate(dataset, name, where)
    for other in set(dataset.coords) - set(coordinates):
        if dataset[other].dims == ("site",):
            coordinates[other] = _text(dataset[other]) if _is_text(dataset[other]) else dataset[other]
    variables = {
        name: _variable(dataset[name], where).variable for name in sorted(dataset.data_vars, key=str)
    }
    result = xr.Dataset(variables, coords=coordinates, attrs=dict(dataset.attrs))
    if not any(variable.ndim == 2 for variable in variables.values()):
        raise InputError(
            f"{where}: no variable over (site, time); at least one forcing and a target are needed"
        )
    return result


def _check_dims(dataset: xr.Dataset, where: str) -> None:
    for dim in ("site", "time"):
        if dim not in dataset.dims or dim not in dataset.coords:
            found = ", ".join(str(name) for name in dataset.dims) or "none"
            raise InputError(f"{where}: no dimension coordinate {dim!r}; it has {found}")
        if dataset.sizes[dim] == 0:
            raise InputError(f"{where}: empty, there is no {dim}")
    sites = pd.Index(dataset["site"].values.astype(str))
    if sites.has_duplicates:
        raise InputError(f"{where}: site {sites[sites.duplicated()][0]!r} occurs twice")


def _daily(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Put the dataset on a complete axis of days; what is not given is NaN."""
    try:
        days = pd.DatetimeIndex(dataset["time"].values).floor("D").astype("datetime64[ns]")
    except (TypeError, ValueError) as problem:
        raise InputError(f"{where}: time cannot be read as dates of the Gregorian calendar") from problem
    if days.has_duplicates:
        twice = days[days.duplicated()][0].date()
        raise InputError(f"{where}: {twice} occurs twice in time; only daily data can be stored")
    dataset = dataset.assign_coords(time=days)
    complete = pd.date_range(days.min(), days.max(), freq="D", unit="ns")
    return dataset if days.equals(complete) else dataset.reindex(time=complete)


def _coordinate(dataset: xr.Dataset, name: str, where: str) -> xr.DataArray:
    """Return `name` over sites (degrees), float64."""
    if name not in dataset.variables or dataset[name].dims != ("site",):
        raise InputError(f"{where}: no coordinate {name!r} over site (degrees)")
    values = dataset[name].reset_coords(drop=True).astype("float64")
    limit = 90.0 if name == "latitude" else 360.0
    bad = ~(np.abs(values.values) <= limit)
    if bad.any():
        site = str(values["site"].values[bad][0])
        raise InputError(f"{where}: {name} of site {site} is {values.values[bad][0]}; degrees are needed")
    values.attrs = {"units": "degrees_north" if name == "latitude" else "degrees_east", "standard_name": name}
    return values


def _is_text(values: xr.DataArray) -> bool:
    return values.dtype.kind in "OUST"


def _text(values: xr.DataArray) -> xr.DataArray:
    """Return strings as Python objects, which Zarr v3 has a specified type for; missing is empty."""
    missing = pd.isna(values.values.astype(object))
    text = np.where(missing, "", values.values.astype(object))
    result = values.copy(
        data=np.array([str(item) for item in text.ravel()], dtype=object).reshape(text.shape)
    )
    result.encoding = {}
    return result


def _variable(values: xr.DataArray, where: str) -> xr.DataArray:
    """Return one variable in its canonical unit, type and order of dims."""
    name = str(values.name)
    values = values.reset_coords(drop=True)
    if set(values.dims) not in ({"site", "time"}, {"site"}):
        raise InputError(
            f"{where}: variable {name!r} has dims {values.dims}; (site, time) or (site,) are needed"
        )
    over_time = "time" in values.dims
    attributes = dict(values.attrs)
    role = attributes.setdefault("role", "forcing" if over_time else "attribute")
    if role not in ROLES:
        raise InputError(f"{where}: variable {name!r} has role {role!r}; one of {', '.join(ROLES)} is needed")
    attributes.setdefault("long_name", name.replace("_", " "))
    if _is_text(values):
        if over_time:
            raise InputError(f"{where}: variable {name!r} is text over time; numbers are needed")
        result = _text(values)
    else:
        canonical = VARIABLES.get(name) if over_time else None
        if over_time and "units" not in attributes:
            raise InputError(f"{where}: variable {name!r} has no attribute 'units'")
        values = values.transpose("site", "time") if over_time else values
        data = values.values
        if canonical is not None:
            data = convert(data, str(attributes["units"]), canonical.units, f"{where}: variable {name!r}")
            attributes |= canonical.attributes
        result = values.copy(data=np.ascontiguousarray(data, dtype=np.float32))
    result.attrs = {key: str(attributes[key]) for key in sorted(attributes)}
    result.encoding = {}
    return result
