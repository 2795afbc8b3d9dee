"""Which static attributes of a store may be fed to a network, and which are by default."""

from __future__ import annotations

from collections.abc import Iterable

import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.suggestions import refuse_unknown
from thalweg.storage.variables import names_over


def attribute_names(dataset: xr.Dataset) -> list[str]:
    """Return all numeric static attributes of a store.

    Streamflow signatures (role ``signature``) are not among them: they come from the target.
    """
    found = {name: dataset.variables[name] for name in names_over(dataset, "site")}
    return [
        name
        for name, values in found.items()
        if values.attrs.get("role") == "attribute" and values.dtype.kind == "f"
    ]


def default_attributes(dataset: xr.Dataset) -> list[str]:
    """Return the static attributes that a network is fed when none are named.

    For Caravan and CAMELS-US about thirty of topography, climate, land cover, soil and geology, without
    coordinates and without anything derived from streamflow (for CAMELS-US the 27 of Kratzert et al.
    2019, doi:10.5194/hess-23-5089-2019). For other data all that :func:`attribute_names` gives. One that a
    site lacks stays among them: leaving it out at all sites unasked would hide the gap.
    """
    names = attribute_names(dataset)
    usual = [name for name in names if dataset.variables[name].attrs.get("usual_input") == "yes"]
    return usual or names


def require_attributes(dataset: xr.Dataset, names: Iterable[str]) -> None:
    """Refuse names that are not numeric static attributes of a store.

    Raises
    ------
    InputError
        Naming the nearest attribute, or saying why one cannot be fed to a network.
    """
    names = list(names)
    refuse_unknown(names, names_over(dataset, "site"), "attribute")
    for name in names:
        if dataset.variables[name].attrs.get("role") == "signature":
            raise InputError(f"attribute {name!r} is derived from observed streamflow; it cannot be an input")
        if dataset.variables[name].dtype.kind != "f":
            raise InputError(f"attribute {name!r} is text; only numbers can be fed to a network")
