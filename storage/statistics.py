"""Scaling statistics, from the training part alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.attributes import require_attributes
from thalweg.storage.errors import InputError
from thalweg.storage.layout import plain_text
from thalweg.storage.location import Location
from thalweg.storage.moments import block_statistics, deviation, pool
from thalweg.storage.periods import check_period
from thalweg.storage.repository import MAIN, Repository
from thalweg.storage.series import as_slice
from thalweg.storage.sites import neighbours, site_names, site_rows
from thalweg.storage.splits import Part
from thalweg.storage.suggestions import refuse_unknown
from thalweg.storage.variables import names_over

GROUP = "statistics"  # of a store
MOMENTS = ("count", "mean", "m2", "minimum", "maximum")
SCALED_AT_ONCE = 8


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of variables, in the variables' units.

    Attributes
    ----------
    mean, deviation : mapping
        By name of forcing or attribute. A deviation is never zero.
    """

    mean: Mapping[str, float]
    deviation: Mapping[str, float]

    @property
    def hash(self) -> str:
        """SHA-256 of names and values, as 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return all values as JSON text; :meth:`from_json` gives exactly the same back."""
        return json.dumps(
            {"mean": dict(self.mean), "deviation": dict(self.deviation)}, sort_keys=True, indent=1
        )

    @classmethod
    def from_json(cls, text: str) -> Statistics:
        """Return the statistics that :meth:`to_json` wrote."""
        try:
            content = json.loads(text)
            return cls(
                {str(name): float(value) for name, value in content["mean"].items()},
                {str(name): float(value) for name, value in content["deviation"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise InputError(f"statistics: not the JSON of means and deviations: {problem}") from problem

    def scale(self, values: NDArray[np.floating], names: Sequence[str]) -> NDArray[np.float32]:
        """Standardize values: subtract the mean and divide by the deviation.

        Parameters
        ----------
        values : array, shape (..., len(names)) (each in its variable's units)
        names : list of str
            What the last axis holds.

        Returns
        -------
        array, same shape (1)
        """
        refuse_unknown(names, self.mean, "variable in statistics")
        scaled = np.empty(values.shape, np.float32)
        for first in range(0, len(values), SCALED_AT_ONCE):  # in float64, of which little is held at once
            rows = slice(first, first + SCALED_AT_ONCE)
            for place, name in enumerate(names):
                wide = values[rows, ..., place] - np.float64(self.mean[name])
                wide /= self.deviation[name]
                scaled[rows, ..., place] = wide
        return scaled


def fit_statistics(
    dataset: xr.Dataset,
    part: Part,
    variables: Iterable[str],
    attributes: Iterable[str],
    stored: xr.Dataset | None = None,
) -> Statistics:
    """Fit means and standard deviations to the training part.

    Forcings count the part's sites and days, attributes the part's sites. Nothing else of the dataset
    is read, so that held-out sites and days cannot change a value or the hash.

    Parameters
    ----------
    dataset : xarray.Dataset
        A store, dims ``(site, time)``.
    part : Part
        The training part.
    variables : list of str
        Forcings.
    attributes : list of str
        Numeric static attributes.
    stored : xarray.Dataset, optional
        What :func:`stored_statistics` gives of the same store: whole years are then not read again. The
        result is the same to the last bit.

    Returns
    -------
    Statistics
        In float64; the deviation is that of the population (ddof = 0), or 1 where it is zero.

    Raises
    ------
    InputError
        If a name or site is unknown, or there is no value.
    """
    variables, attributes = list(variables), list(attributes)
    require_attributes(dataset, attributes)
    check_period(dataset, part.start, part.end, "training period")
    # Sorted: sums of floating-point numbers depend on their order, and the hash must not.
    sites = sorted(part.sites)
    by_site = site_statistics(dataset, sites, part.start, part.end, variables, stored, part)
    over_time = pool(by_site, ["site"])
    mean, spread = {}, {}
    for name in variables:
        one = over_time.sel(variable=name)
        mean[name], spread[name] = _usable(int(one["count"]), float(one["mean"]), float(deviation(one)), name)
    rows = site_rows(dataset, sites)
    for name in attributes:
        values = dataset.variables[name].values[rows]
        known = values[np.isfinite(values)].astype(np.float64)
        found = (float(known.mean()), float(known.std())) if known.size else (0.0, 0.0)
        mean[name], spread[name] = _usable(known.size, *found, name)
    return Statistics(mean, spread)


def site_statistics(
    dataset: xr.Dataset,
    sites: Sequence[str],
    start: date,
    end: date,
    variables: Sequence[str],
    stored: xr.Dataset | None = None,
    part: Part | None = None,
) -> xr.Dataset:
    """Return count, mean, deviation and extremes of each site over some days.

    Parameters
    ----------
    dataset : xarray.Dataset
        A store, dims ``(site, time)``; read some hundred sites at a time, so that memory stays flat.
    sites : list of str
    start, end : date
        First and last day, both included.
    variables : list of str
        Over ``(site, time)``.
    stored : xarray.Dataset, optional
        As :func:`fit_statistics` takes it: only the days of years that are partly asked for are read.
    part : Part, optional
        Of whose days alone those count that are asked for; all of them if absent.

    Returns
    -------
    xarray.Dataset
        Dims ``(variable, site)``, as :func:`thalweg.storage.moments.pool` gives it.

    Raises
    ------
    InputError
        If a name or site is unknown.
    """
    refuse_unknown(variables, names_over(dataset, "site", "time"), "variable")
    rows = site_rows(dataset, sites)
    variables = sorted(variables)
    years = dataset["time"].values.astype("datetime64[Y]")
    asked = (dataset["time"].values >= np.datetime64(start)) & (
        dataset["time"].values < np.datetime64(end) + np.timedelta64(1, "D")
    )
    whole = np.setdiff1d(years[asked], years[~asked]).astype(np.int64) + 1970
    blocks = []
    if part is not None and not part.periods:
        part = None  # from its first to its last day all count
    if part is None and stored is not None and set(variables) <= set(stored["variable"].values.tolist()):
        there = np.intersect1d(whole, stored["year"].values)
        labels = {"variable": variables, "site": list(sites), "year": there}
        blocks.append(stored[list(MOMENTS)].sel(labels).transpose("variable", "site", "year").load())
        asked &= ~np.isin(years.astype(np.int64) + 1970, there)
    blocks += [_read(dataset[variables].isel(time=days), rows, part) for days in _runs(asked)]
    ordered = xr.concat(blocks, "year", join="override").sortby("year")
    return pool(ordered, ["year"])


def stored_statistics(store: Location | Path | str, version: str | None = None) -> xr.Dataset | None:
    """Return the statistics that ingestion left in a store, dims ``(variable, site, year)``.

    Values are read when they are used. None where the store has none.

    Raises
    ------
    InputError
        If there is no store or no such version.
    """
    store_of_version = Repository.open(store).store(version or MAIN)
    try:
        found = xr.open_zarr(store_of_version, group=GROUP, consolidated=False, chunks=None)
    except (FileNotFoundError, KeyError):
        return None
    return plain_text(found)


def _read(dataset: xr.Dataset, rows: NDArray[np.intp], part: Part | None) -> xr.Dataset:
    """Compute the statistics of some rows, over the days of a part alone where it is given."""
    found = []
    for places, block in neighbours(rows):
        values = dataset.isel(site=block).load().isel(site=as_slice(rows[places] - block.start))
        if part is not None:
            counted = part.counted(values["time"].values, site_names(values))
            values = values.where(xr.DataArray(counted.T, dims=("site", "time")))
        found.append(block_statistics(values, sketch=False))
    return xr.concat(found, "site", join="override").sel(
        site=[str(site) for site in dataset["site"].values[rows]]
    )


def _runs(chosen: NDArray[np.bool_]) -> list[slice]:
    """Return the runs of neighbours that are chosen."""
    ends = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    return [slice(int(first), int(last)) for first, last in ends.reshape(-1, 2)]


def _usable(count: int, mean: float, spread: float, name: str) -> tuple[float, float]:
    if count == 0:
        raise InputError(
            f"variable {name!r}: no value at the training sites and days; no statistics can be fitted"
        )
    # Rounding leaves a tiny deviation where all values are equal.
    return mean, 1.0 if spread <= 1e-7 * max(abs(mean), 1e-30) else spread
