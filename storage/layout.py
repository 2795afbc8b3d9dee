"""How a dataset lies in a store: chunks, types, and growing without rewriting.

A chunk holds 8 years of 64 sites, whatever the size of the store, so that blocks of 64 sites never share
one. Measured with zarr-python: shards with small chunks inside were three times slower to write and to
read than plain chunks of 0.75 MB. Arrays grow at their ends: new sites come after the old ones, in the
order of their arrival, and :func:`thalweg.storage.store.open_store` sorts them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from thalweg.storage.chunks import PACKED, write_chunks
from thalweg.storage.errors import InputError
from thalweg.storage.series import read_when_used

FORMAT = 2
CHUNK_SITES, CHUNK_DAYS = 64, 2922
# Icechunk does not compare checksums of chunks: every array of a store must end in one, which
# thalweg.storage.checked compares. These are for all that is small.
CHECKED = [ZstdCodec(level=3), Crc32cCodec()]
TIME_ENCODING = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian", "dtype": "int64"}


def allocate(store: Any, template: xr.Dataset) -> None:
    """Make or resize the arrays of a store, and write all that is not over time.

    Parameters
    ----------
    store : zarr store, writable.
    template : xarray.Dataset
        Coordinates, static attributes and attributes as they shall be; of variables over
        ``(site, time)`` only the name, the type and the attributes count, never a value. Sites of the
        store that it does not name are kept.

    Raises
    ------
    InputError
        If the template's days begin later or end earlier than the store's.
    """
    root = zarr.open_group(store, mode="a", zarr_format=3)
    series = {str(name): values for name, values in template.data_vars.items() if values.ndim == 2}
    static = template.drop_vars(series)
    if "site" in root:
        static = _merged(read_static(store), static)
        if _begins_earlier(store, template):
            _remove(root, [name for name in series if name in root])
        _remove(root, [name for name in root.array_keys() if name not in series])
    static = static.drop_encoding()
    encoding: dict[Any, dict[str, Any]] = {name: {"compressors": CHECKED} for name in static.variables}
    encoding["time"] |= TIME_ENCODING
    static.to_zarr(store, mode="a", consolidated=False, zarr_format=3, encoding=encoding)
    shape = (static.sizes["site"], static.sizes["time"])
    for name, values in series.items():
        if name in root:
            _array(root, name).resize(shape)
        else:
            _create(root, name, values, shape)
        _array(root, name).update_attributes({str(key): item for key, item in values.attrs.items()})


def write_block(session: Any, block: xr.Dataset) -> None:
    """Write values over time at their sites and days into arrays that are there.

    Writers at the same time must own different chunks: different blocks of 64 sites, counted in the order
    of the store.

    Parameters
    ----------
    session : a writable session or a fork of one.
    block : xarray.Dataset
        Dims ``(site, time)``; days without a gap.
    """
    root = zarr.open_group(session.store, mode="r+", zarr_format=3)
    there = read_index(session.store)
    rows = there["site"].get_indexer(text_index(block["site"].values))
    first, last = there["time"].get_indexer(pd.DatetimeIndex(block["time"].values[[0, -1]]))
    if (rows < 0).any() or min(first, last) < 0 or last - first + 1 != block.sizes["time"]:
        raise ValueError("a block to write must lie within the store, without gaps")
    contiguous = bool((np.diff(rows) == 1).all())
    for name, values in block.data_vars.items():
        if values.ndim == 2:
            data = values.transpose("site", "time").values
            array = _array(root, str(name))
            if contiguous:
                write_chunks(array, (int(rows[0]), int(first)), data)
            else:
                array.oindex[rows, slice(int(first), int(last) + 1)] = data


def read_static(store: Any) -> xr.Dataset:
    """Read all of a store that is not over time: small, and used everywhere."""
    dataset = open_arrays(store)
    return dataset.drop_vars([name for name, values in dataset.data_vars.items() if values.ndim == 2]).load()


def open_arrays(store: Any) -> xr.Dataset:
    """Open the arrays of a store; text is read at once, the rest when it is used."""
    return read_when_used(store, plain_text(xr.open_zarr(store, consolidated=False, chunks=None)))


def read_index(store: Any) -> dict[str, pd.Index]:
    """Read the labels of sites and days, in the order of the store."""
    root = zarr.open_group(store, mode="r", zarr_format=3)
    sites = text_index(_array(root, "site")[:])
    days = np.asarray(_array(root, "time")[:]).astype("datetime64[D]").astype("datetime64[ns]")
    return {"site": sites, "time": pd.DatetimeIndex(days)}


def text_index(values: Any) -> pd.Index:
    """Give labels as an index of Python strings, whatever type of text they came in."""
    return pd.Index([str(item) for item in np.asarray(values).tolist()], dtype=object)


def plain_text(dataset: xr.Dataset) -> xr.Dataset:
    """Give text as Python strings, read at once."""
    text = {
        name: variable.copy(data=np.array(variable.values.tolist(), dtype=object).reshape(variable.shape))
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "OUT"
    }
    return dataset.assign(text)


def _merged(old: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Give the static part of a store that grows: old sites first, with their new attributes."""
    if old["time"].values[-1] > new["time"].values[-1] or old["time"].values[0] < new["time"].values[0]:
        raise InputError(
            f"the new data span {_span(new)}, but the store has {_span(old)}; no day is dropped from a store"
        )
    known = text_index(new["site"].values)
    before = text_index(old["site"].values)
    kept = old.drop_dims("time").isel(site=~before.isin(known))
    order = before.append(known.difference(before, sort=False))
    if kept.sizes["site"] == 0:
        return new.sel(site=order)
    kept = kept.drop_vars([name for name in kept.variables if name not in new.variables])
    both = xr.concat([new.drop_dims("time"), kept], dim="site", join="override", combine_attrs="override")
    return both.sel(site=order).assign_coords(time=new["time"]).assign_attrs(new.attrs)


def _span(dataset: xr.Dataset) -> str:
    first, last = (str(day)[:10] for day in dataset["time"].values[[0, -1]])
    return f"{first} to {last}"


def _begins_earlier(store: Any, template: xr.Dataset) -> bool:
    return bool(template["time"].values[0] < read_index(store)["time"][0].to_datetime64())


def _remove(root: zarr.Group, names: list[str]) -> None:
    for name in names:
        del root[name]


def _create(root: zarr.Group, name: str, values: xr.DataArray, shape: tuple[int, int]) -> None:
    root.create_array(
        name,
        shape=shape,
        chunks=(CHUNK_SITES, CHUNK_DAYS),
        dtype=values.dtype,
        fill_value=np.nan,
        compressors=PACKED,
        dimension_names=("site", "time"),
    )


def _array(root: zarr.Group, name: str) -> zarr.Array:
    found = root[name]
    assert isinstance(found, zarr.Array)
    return found


def chunk_rows(count: int) -> list[NDArray[np.int64]]:
    """Give the rows of each block of sites that owns its chunks."""
    return [np.arange(first, min(first + CHUNK_SITES, count)) for first in range(0, count, CHUNK_SITES)]
