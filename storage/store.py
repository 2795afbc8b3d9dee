"""The store: one Zarr folder that holds what ingestion made of a source.

A store is written beside its place and moved there when it is complete, so that readers see either all
of it or nothing:

=====================================  ================================================================
what happens                           what is there afterwards
=====================================  ================================================================
the source or its check fails          nothing
writing fails, such as no space left   nothing new; the partial folder is removed
the process is killed while writing    a hidden partial folder, which the next ingestion removes
two processes ingest the same source   one store; the slower one's copy is removed
the store is there, of this source     it is left as it is
the store is there, of another source  it is left as it is, and an error says so
=====================================  ================================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from thalweg import __version__
from thalweg.storage.conform import conform
from thalweg.storage.errors import InputError
from thalweg.storage.partial import written_beside
from thalweg.storage.quality import check_quality
from thalweg.storage.snapshot import content_hash
from thalweg.storage.sources import read_source

FORMAT = 1

# 187 kB a chunk: a site's 40 years take three reads, and zarr-python is slow with smaller chunks. A shard
# (one file) holds all time of 64 sites, and one writer owns it.
CHUNK_SITES, CHUNK_DAYS, SHARD_SITES = 8, 4 * 1461, 64


def ingest(store: Path | str, source: Mapping[str, Any]) -> xr.Dataset:
    """Read a source, check it, and write it as a store.

    Parameters
    ----------
    store : path
        The folder to write, such as ``data/caravan.zarr``.
    source : mapping
        As :func:`thalweg.storage.sources.read_source` takes it.

    Returns
    -------
    xarray.Dataset
        The open store. A store that was made from the same source is left as it is.

    Raises
    ------
    InputError
        If the source is wrong, the store was made from another source, or there is no space left.
    """
    store = Path(store)
    if store.exists():
        return _open_same(store, source)
    return write_store(store, read_source(source), source)


def write_store(store: Path | str, dataset: xr.Dataset, source: Mapping[str, Any]) -> xr.Dataset:
    """Check a dataset that was already read or computed, and write it as a store.

    Parameters
    ----------
    store : path
        The folder to write; it must not be there, or be of the same source.
    dataset : xarray.Dataset
        As :func:`thalweg.storage.conform.conform` takes it.
    source : mapping
        What the dataset was made from; kept as JSON, and compared by the next ingestion.

    Returns
    -------
    xarray.Dataset
        The open store.

    Raises
    ------
    InputError
        As :func:`ingest`.
    """
    store = Path(store)
    dataset = conform(dataset, f"dataset for {store}")
    quality = check_quality(dataset)
    dataset.attrs |= {
        "Conventions": "CF-1.11",
        "featureType": "timeSeries",
        "source": source_text(source),
        "snapshot": content_hash(dataset),
        "format": FORMAT,
        "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} made by Thalweg {__version__}",
    }
    with written_beside(store) as partial:
        dataset.to_zarr(partial, mode="w-", encoding=_encoding(dataset), consolidated=False, zarr_format=3)
        _quality_dataset(quality).to_zarr(
            partial, group="quality", mode="a", consolidated=False, zarr_format=3
        )
    return _open_same(store, source)


def open_store(path: Path | str) -> xr.Dataset:
    """Open a store; variables are read when they are used.

    Parameters
    ----------
    path : path
        A folder that :func:`ingest` wrote.

    Returns
    -------
    xarray.Dataset
        Dims ``(site, time)``. ``attrs["snapshot"]`` is the hash of the content, ``attrs["source"]`` the
        JSON of the source.

    Raises
    ------
    InputError
        If there is no store, or it is not one of ours.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"{path}: no such store; run `thalweg ingest`, or give `source` in `data` to make it"
        )
    try:
        dataset = xr.open_zarr(path, consolidated=False, chunks=None)
    except Exception as problem:
        raise InputError(f"{path}: not a Zarr store that can be read: {problem}") from problem
    if "snapshot" not in dataset.attrs or not {"site", "time"} <= set(dataset.dims):
        raise InputError(f"{path}: a Zarr folder, but not a store that `thalweg ingest` made")
    found = dataset.attrs.get("format")
    if found != FORMAT:
        raise InputError(f"{path}: store of format {found}; format {FORMAT} is needed, ingest it again")
    # Small and used everywhere: coordinates and text are read at once, as plain Python strings.
    text = {
        name: _plain_text(values) for name, values in dataset.variables.items() if values.dtype.kind in "OUT"
    }
    # The order of folders differs between file systems, and the order of attributes must not.
    result: xr.Dataset = dataset.assign({**dataset.coords, **text})[sorted(dataset.data_vars, key=str)]
    return result


def quality_report(path: Path | str) -> pd.DataFrame:
    """Return what the checks of :mod:`thalweg.storage.quality` found when a store was made.

    Returns
    -------
    pandas.DataFrame
        Columns ``severity, check, site, variable, first_day, count, message``.
    """
    open_store(path)
    with xr.open_zarr(Path(path), group="quality", consolidated=False, chunks=None) as dataset:
        columns = {
            name: _plain_text(values) if values.dtype.kind in "OUT" else values
            for name, values in dataset.variables.items()
        }
        return pd.DataFrame({name: columns[name].values for name in dataset.attrs["columns"]})


def _plain_text(variable: xr.Variable) -> xr.Variable:
    return variable.copy(data=np.array(variable.values.tolist(), dtype=object).reshape(variable.shape))


def _quality_dataset(report: pd.DataFrame) -> xr.Dataset:
    variables = {str(name): ("finding", column.to_numpy()) for name, column in report.items()}
    return xr.Dataset(variables, attrs={"columns": list(map(str, report.columns))})


def source_text(source: Mapping[str, Any]) -> str:
    """Return a source spec as JSON with sorted keys; options that are None count as not given."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items() if item is not None}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    spec = plain(source)
    if "path" in spec:
        spec["path"] = os.path.normpath(spec["path"])
    return json.dumps(spec, sort_keys=True, default=str)


def _open_same(store: Path, source: Mapping[str, Any]) -> xr.Dataset:
    """Open a store if it was made from this source, else refuse."""
    dataset = open_store(store)
    made_from, wanted = str(dataset.attrs["source"]), source_text(source)
    if made_from != wanted:
        raise InputError(
            f"{store}: made from {made_from}, but {wanted} is asked for; "
            "name another store, or delete this one"
        )
    return dataset


def _encoding(dataset: xr.Dataset) -> dict[Any, dict[str, Any]]:
    """Return chunks, shards and compression for the variables over time."""
    from zarr.codecs import BloscCodec

    sites, days = dataset.sizes["site"], dataset.sizes["time"]
    chunk = (min(CHUNK_SITES, sites), min(CHUNK_DAYS, days))
    shard = tuple(
        min(-(-size // each) * each, most)
        for size, each, most in zip((sites, days), chunk, (SHARD_SITES, 10**9), strict=True)
    )
    layout = {
        "chunks": chunk,
        "shards": shard,
        "compressors": [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")],
    }
    encoding: dict[Any, dict[str, Any]] = {
        name: dict(layout) for name, values in dataset.data_vars.items() if values.ndim == 2
    }
    encoding["time"] = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian", "dtype": "int64"}
    return encoding
