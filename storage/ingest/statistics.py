"""The group `statistics` of a store: allocated once for an update, then written by whoever reads a block.

See :mod:`thalweg.storage.moments` for what is in it. A chunk belongs to one block of sites, so that
processes write their blocks at the same time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray

from thalweg.storage.chunks import PACKED, write_chunks
from thalweg.storage.layout import CHECKED, CHUNK_SITES, read_index
from thalweg.storage.moments import BINS

GROUP = "statistics"
CHUNK_YEARS = 16
DIMS = ("site", "variable", "year")
TYPES = {
    "count": np.int32,
    "mean": np.float64,
    "m2": np.float64,
    "minimum": np.float32,
    "maximum": np.float32,
    "sketch": np.uint16,
}


def allocate_statistics(store: Any, variables: tuple[str, ...], first: int, last: int) -> None:
    """Make or resize the group for all sites of a store.

    Parameters
    ----------
    store : zarr store, writable.
    variables : tuple of str
        Sorted.
    first, last : int
        Calendar years, both included.
    """
    sites = read_index(store)["site"].to_numpy(dtype=object)
    labels: dict[str, NDArray] = {
        "site": sites,
        "variable": np.array(variables, dtype=object),
        "year": np.arange(first, last + 1, dtype=np.int64),
    }
    root = zarr.open_group(store, mode="a", zarr_format=3)
    if GROUP in root and not _fits(root[GROUP], labels):
        del root[GROUP]  # all of it is written anew
    group = root.require_group(GROUP)
    shape: tuple[int, ...] = tuple(values.size for values in labels.values())
    for dim, values in labels.items():
        kind: Any = str if values.dtype == object else values.dtype
        array = _array(group, dim, values.shape, (4096,), kind, (dim,))
        array[:] = values
    for name, kind in TYPES.items():
        if name == "sketch":
            chunks: tuple[int, ...] = (CHUNK_SITES, 1, CHUNK_YEARS, BINS)
            _array(group, name, (*shape, BINS), chunks, kind, (*DIMS, "bin"))
        else:
            _array(group, name, shape, (CHUNK_SITES, shape[1], CHUNK_YEARS), kind, DIMS)


def write_statistics(store: Any, statistics: xr.Dataset) -> None:
    """Write the statistics of some sites, in all of their years.

    Parameters
    ----------
    store : zarr store, writable.
    statistics : xarray.Dataset
        As :func:`thalweg.storage.moments.block_statistics` gives it, of every variable and year of the
        group.
    """
    group = zarr.open_group(store, path=GROUP, mode="r+", zarr_format=3)
    rows = read_index(store)["site"].get_indexer(pd.Index(statistics["site"].values))
    contiguous = bool((np.diff(rows) == 1).all())
    for name in TYPES:
        array, values = group[name], statistics[name].transpose(*DIMS, ...).values
        assert isinstance(array, zarr.Array)
        if contiguous:
            write_chunks(array, (int(rows[0]), *(0 for _ in values.shape[1:])), values)
        else:
            for place in range(values.shape[1]):  # one variable at a time: little is copied at once
                array.oindex[rows, place] = values[:, place]


def _fits(group: Any, labels: dict[str, NDArray]) -> bool:
    """Tell whether a group grows into new labels at its ends."""
    found = {dim: np.asarray(group[dim][:]) for dim in ("variable", "year")}
    return bool(
        np.array_equal(found["variable"].astype(object), labels["variable"])
        and np.array_equal(found["year"], labels["year"][: found["year"].size])
    )


def _array(
    group: zarr.Group, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], kind: Any, dims: Any
) -> zarr.Array:
    """Give an array in its new size."""
    if name in group:
        found = group[name]
        assert isinstance(found, zarr.Array)
        if found.shape != shape:
            found.resize(shape)
        return found
    number = kind is not str
    fill: Any = "" if not number else np.nan if name in ("minimum", "maximum") else 0
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=kind,
        fill_value=fill,
        compressors=PACKED if number else CHECKED,
        dimension_names=dims,
    )
