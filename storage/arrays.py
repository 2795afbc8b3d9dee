"""Arrays for training, read from a store once per run, or block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.attributes import require_attributes
from thalweg.storage.errors import InputError
from thalweg.storage.periods import as_date, check_period
from thalweg.storage.series import as_slice
from thalweg.storage.sites import neighbours, site_rows
from thalweg.storage.suggestions import refuse_unknown
from thalweg.storage.variables import names_over


@dataclass(frozen=True)
class Arrays:
    """Data of sites and days as float32 arrays, in canonical units.

    In memory every site's series of every variable is one contiguous piece: windows are cut from them.

    Attributes
    ----------
    forcings : array, shape (time, site, variable)
        In the order of `forcing_names`; no missing values.
    attributes : array, shape (site, attribute)
        In the order of `attribute_names`; no missing values.
    target : array, shape (time, site)
        NaN where not observed.
    dates : array of datetime64[D], shape (time,)
    sites, forcing_names, attribute_names : tuple of str
    target_name : str
    """

    forcings: NDArray[np.float32]
    attributes: NDArray[np.float32]
    target: NDArray[np.float32]
    dates: NDArray[np.datetime64]
    sites: tuple[str, ...]
    forcing_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    target_name: str


def to_arrays(
    dataset: xr.Dataset,
    sites: Sequence[str],
    start: date,
    end: date,
    forcings: Sequence[str],
    attributes: Sequence[str],
    target: str,
) -> Arrays:
    """Read sites and days of a store into arrays.

    Parameters
    ----------
    dataset : xarray.Dataset
        A store, dims ``(site, time)``.
    sites : list of str
        The order of the arrays' sites.
    start, end : date
        First and last day, both included.
    forcings, attributes : list of str
        Names; either may be empty.
    target : str
        Name of the variable to be predicted.

    Returns
    -------
    Arrays

    Raises
    ------
    InputError
        If a name is unknown, a day is outside the store, or a forcing or attribute is missing somewhere.
    """
    start, end = as_date(start, "first day"), as_date(end, "last day")
    over_time = names_over(dataset, "site", "time")
    refuse_unknown(forcings, over_time, "forcing")
    refuse_unknown([target], over_time, "target")
    require_attributes(dataset, attributes)
    if not sites:
        raise InputError("no sites are asked for; at least one is needed")
    check_period(dataset, start, end, "period")
    rows = site_rows(dataset, sites)
    window = dataset[[*dict.fromkeys([*forcings, target])]].sel(time=slice(str(start), str(end)))
    dates = window["time"].values.astype("datetime64[D]")
    cube = np.empty((len(rows), len(forcings), dates.size), dtype=np.float32)
    observed = np.empty((len(rows), dates.size), dtype=np.float32)
    for places, block in neighbours(rows):
        within, into, near = as_slice(rows[places] - block.start), as_slice(places), window.isel(site=block)
        for column, name in enumerate(forcings):
            values = near[name].transpose("site", "time").values[within]
            _refuse_missing(values, name, [sites[place] for place in places], dates)
            cube[into, column] = values
        observed[into] = near[target].transpose("site", "time").values[within]
    static = read_attributes(dataset, sites, attributes)
    return Arrays(
        cube.transpose(2, 0, 1),
        static,
        observed.T,
        dates,
        tuple(sites),
        tuple(forcings),
        tuple(attributes),
        target,
    )


def read_attributes(
    dataset: xr.Dataset, sites: Sequence[str], attributes: Sequence[str]
) -> NDArray[np.float32]:
    """Read static attributes of sites, shape ``(site, attribute)``.

    Raises
    ------
    InputError
        If a name is unknown, or a value is missing.
    """
    require_attributes(dataset, attributes)
    rows = site_rows(dataset, sites)
    static = np.empty((len(rows), len(attributes)), dtype=np.float32)
    for column, name in enumerate(attributes):
        values = dataset.variables[name].values[rows]
        missing = np.flatnonzero(~np.isfinite(values))
        if missing.size:
            raise InputError(
                f"attribute {name!r} is missing at {missing.size} of {len(rows)} sites, "
                f"first {sites[missing[0]]}; leave out the attribute or the sites"
            )
        static[:, column] = values
    return static


def _refuse_missing(
    values: NDArray[np.floating], name: str, sites: Sequence[str], dates: NDArray[np.datetime64]
) -> None:
    """Refuse gaps in a forcing, shape (site, time): a simulation cannot step over them."""
    gaps = ~np.isfinite(values)
    if gaps.any():
        site = int(np.flatnonzero(gaps.any(axis=1))[0])
        raise InputError(
            f"forcing {name!r} is missing at site {sites[site]} on {int(gaps[site].sum())} days, first "
            f"{dates[int(np.argmax(gaps[site]))]}; a simulation needs every day"
        )
