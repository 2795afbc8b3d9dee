"""Small tables beside the data of a store: quality, bookkeeping, hashes, statistics.

A table whose first dim is ``site`` lies along the sites of the store, and a part of it is merged by its
labels; any other table is replaced as a whole. One process writes them, with its commit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from thalweg.storage.layout import CHECKED, CHUNK_SITES, plain_text, read_index, text_index

CHUNK_LABELS = 16  # of a year or another dim that grows


def write_table(store: Any, group: str, table: xr.Dataset) -> None:
    """Merge a table into a group, or replace it when it has no dim ``site``.

    Parameters
    ----------
    store : zarr store, writable.
    table : xarray.Dataset
        With ``site``: its other dims grow by labels where they have coordinates, and keep their length
        where they have none.
    """
    if "site" not in table.dims:
        _replace(store, group, table)
        return
    root = zarr.open_group(store, path=group, mode="a", zarr_format=3)
    labels = _grown_labels(store, root, table)
    places: dict[str, Any] = {
        dim: values.get_indexer(_index(table[dim].values))
        for dim, values in labels.items()
        if dim in table.dims
    }
    for name, values in table.data_vars.items():
        dims = ("site", *(str(dim) for dim in values.dims if dim != "site"))
        shape = tuple(len(labels[dim]) if dim in labels else table.sizes[dim] for dim in dims)
        array = _array(root, str(name), values, dims, shape)
        where = tuple(places.get(dim, slice(None)) for dim in dims)
        array.oindex[where] = values.transpose(*dims).values
    root.attrs.update({str(key): value for key, value in table.attrs.items()})


def read_table(store: Any, group: str) -> xr.Dataset:
    """Read a whole table; labels that grew are in order, sites in the order of the store.

    Raises
    ------
    KeyError
        When there is no such group.
    """
    if group not in zarr.open_group(store, mode="r", zarr_format=3):
        raise KeyError(group)
    with xr.open_zarr(store, group=group, consolidated=False, chunks=None) as found:
        table = plain_text(found.load())
    grown = [dim for dim in table.dims if dim != "site" and dim in table.coords]
    return table.sortby(grown) if grown else table


def _replace(store: Any, group: str, table: xr.Dataset) -> None:
    root = zarr.open_group(store, mode="a", zarr_format=3)
    if group in root:
        del root[group]
    encoding = {name: {"compressors": CHECKED} for name in table.variables}
    plain = table.drop_encoding()
    plain.to_zarr(store, group=group, mode="a", consolidated=False, zarr_format=3, encoding=encoding)


def _grown_labels(store: Any, root: zarr.Group, table: xr.Dataset) -> dict[str, pd.Index]:
    """Write the labels of a group so that those of a table are among them, and give them all."""
    labels = {"site": read_index(store)["site"]}
    for dim in table.dims:
        if dim != "site" and dim in table.coords:
            wanted = _index(table[dim].values)
            old = _index(np.asarray(root[str(dim)])) if str(dim) in root else wanted[:0]
            labels[str(dim)] = old.append(wanted.difference(old, sort=False))
    for dim, values in labels.items():
        data = values.to_numpy()
        _array(root, dim, xr.DataArray(data, dims=dim), (dim,), data.shape)[:] = data
    return labels


def _index(values: NDArray[Any]) -> pd.Index:
    return text_index(values) if values.dtype.kind in "OUT" else pd.Index(values)


def _array(
    root: zarr.Group, name: str, values: xr.DataArray, dims: tuple[str, ...], shape: tuple[int, ...]
) -> zarr.Array:
    """Give an array of the group, made or resized as needed."""
    if name in root:
        array = root[name]
        assert isinstance(array, zarr.Array)
        if array.shape != shape:
            array.resize(shape)
        return array
    text = values.dtype.kind in "OUT"
    # most of a sketch is zeros: four times as fast as the default
    fast = [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()]
    grown = {"site": CHUNK_SITES, **{dim: CHUNK_LABELS for dim in values.coords if dim != "site"}}
    one_dim = len(dims) == 1
    array = root.create_array(
        name,
        shape=shape,
        chunks=tuple(
            4096 if one_dim else grown.get(dim, size) for dim, size in zip(dims, shape, strict=True)
        ),
        dtype=str if text else values.dtype,
        compressors=CHECKED if text else fast,
        fill_value="" if text else np.nan if values.dtype.kind == "f" else 0,
        dimension_names=dims,
    )
    array.update_attributes({str(key): value for key, value in values.attrs.items()})
    return array
