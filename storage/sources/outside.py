"""A source of one's own: a function that returns a whole dataset, or an object that reads blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr

from thalweg.storage.conform import conform
from thalweg.storage.errors import InputError
from thalweg.storage.sources.catalog import Catalog, Source


class Outside:
    """A function ``package.module:name``, called once in each process that reads from it.

    Parameters
    ----------
    kind : str
        The dotted path. The function returns an :class:`xarray.Dataset` as
        :func:`thalweg.storage.conform.conform` takes it, or an object with the methods of
        :class:`~thalweg.storage.sources.catalog.Source`.
    options : mapping
        Its arguments.
    """

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        self.kind, self.options = kind, dict(options)

    def __getstate__(self) -> dict[str, Any]:
        # The whole dataset is not sent to other processes: they call the function.
        return {"kind": self.kind, "options": self.options}

    @cached_property
    def _found(self) -> Source | _Whole:
        module, _, name = self.kind.partition(":")
        result = getattr(import_module(module), name)(**self.options)
        if isinstance(result, xr.Dataset):
            return _Whole(conform(result, f"source {self.kind}"))
        if isinstance(result, Source):
            return result
        raise InputError(
            f"source {self.kind}: gave a {type(result).__name__}, not an xarray.Dataset or an object with "
            "catalog, attributes and read"
        )

    def catalog(self) -> Catalog:
        """Return what the function gave; stamps are hashes of each site's values."""
        return self._found.catalog()

    def attributes(self) -> xr.Dataset:
        """Return what the dataset has over ``(site,)``."""
        return self._found.attributes()

    def read(self, sites: Sequence[str], first: date, last: date) -> xr.Dataset:
        """Return a block of the dataset."""
        return self._found.read(sites, first, last)


class _Whole:
    """A dataset in memory as a source."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self.dataset = dataset.sortby("site")
        self.over_time = [name for name, values in self.dataset.data_vars.items() if values.ndim == 2]

    def catalog(self) -> Catalog:
        days = self.dataset.indexes["time"]
        sites = tuple(str(site) for site in self.dataset["site"].values)
        return Catalog(
            sites=sites,
            first=days[0].date(),
            last=days[-1].date(),
            bytes=int(self.dataset.nbytes),
            stamps={site: self._hash(row) for row, site in enumerate(sites)},
        )

    def attributes(self) -> xr.Dataset:
        return self.dataset.drop_vars(self.over_time).drop_dims("time", errors="ignore")

    def read(self, sites: Sequence[str], first: date, last: date) -> xr.Dataset:
        from thalweg.storage.sources.blocks import day_axis

        block = self.dataset[self.over_time].sel(site=list(sites)).reindex(time=day_axis(first, last))
        block.attrs = {}
        return block.drop_vars([name for name in block.coords if name not in ("site", "time")])

    def _hash(self, row: int) -> str:
        total = hashlib.sha256()
        for name, values in sorted(self.dataset.variables.items()):
            if "site" in values.dims:
                part = np.asarray(values.isel(site=row).values)
                total.update(f"{name} {values.attrs.get('units', '')} ".encode())
                total.update(str(part).encode() if part.dtype.kind == "O" else part.tobytes())
        first, last = self.dataset.indexes["time"][[0, -1]]
        total.update(f"{first} {last}".encode())
        return total.hexdigest()
