"""The store: a versioned repository that holds what ingestion made of a source.

Readers see the last published version, whatever writers do; :mod:`thalweg.storage.draft` says how.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from thalweg import __version__
from thalweg.storage import layout
from thalweg.storage.draft import HASHES, MovedError
from thalweg.storage.errors import InputError
from thalweg.storage.faults import explained
from thalweg.storage.location import Location
from thalweg.storage.repository import MAIN, Repository
from thalweg.storage.snapshot import year_hashes

QUALITY = "quality"  # the group with the report of the checks


def ingest(store: Location | Path | str, source: Mapping[str, Any]) -> xr.Dataset:
    """Bring a store up to its source: made where there is none, else only what changed is read.

    Parameters
    ----------
    store : path or location
        Where to write, such as ``data/caravan.zarr`` or ``s3://bucket/caravan``.
    source : mapping
        As :func:`thalweg.storage.sources.find_source` takes it.

    Returns
    -------
    xarray.Dataset
        The open store.

    Raises
    ------
    InputError
        If the source is wrong or got shorter, the store was made from another source, or there is no
        space left.
    """
    from thalweg.storage.ingest.pipeline import ingest_all

    ingest_all(store, source)
    return open_store(store)


def write_store(store: Location | Path | str, dataset: xr.Dataset, source: Mapping[str, Any]) -> xr.Dataset:
    """Check a dataset that was already read or computed, and write it as a store.

    Parameters
    ----------
    store : path or location
        Where to write; nothing must be there, or a store of the same source.
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
    # readers need none of these, and they take longer to import than a store to open
    from thalweg.storage.conform import conform
    from thalweg.storage.quality import check_quality

    location = Location.of(store)
    dataset = conform(dataset, f"dataset for {location}")
    quality = check_quality(dataset)
    repository = Repository.create(location)
    draft = repository.draft(uuid.uuid4().hex)
    try:
        # looked for after the draft has its base: who publishes from now on makes a MovedError
        if has_store(location):
            raise MovedError
        with explained(location):
            draft.prepare(dataset.assign_attrs(store_attributes(source)))
            fork = draft.fork()
            layout.write_block(fork, dataset)
            draft.commit("all", [fork], {}, tables={HASHES: year_hashes(dataset)})
            draft.publish("made", {}, tables={QUALITY: quality_table(quality)})
    except MovedError:
        draft.abandon()  # it is there, or another process made it first
    except BaseException:
        draft.abandon()
        raise
    return _open_same(location, source)


def store_attributes(source: Mapping[str, Any]) -> dict[str, Any]:
    """Give the attributes of a store that do not depend on its values."""
    return {
        "Conventions": "CF-1.11",
        "featureType": "timeSeries",
        "source": source_text(source),
        "format": layout.FORMAT,
        "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} made by Thalweg {__version__}",
    }


def has_store(place: Location | Path | str) -> bool:
    """Tell whether there is anything to open: False also where no ingestion was ever finished."""
    location = Location.of(place)
    if not location.exists():
        return False
    try:
        repository = Repository.open(location)
    except InputError:
        return location.remote or not location.path.is_dir() or any(location.path.iterdir())
    return repository.published


def open_store(place: Location | Path | str, version: str | None = None) -> xr.Dataset:
    """Open a store; variables are read when they are used.

    Parameters
    ----------
    place : path or location
        As :func:`ingest` wrote it.
    version : str
        A tag, the beginning of a content's hash, or an Icechunk snapshot; the newest when None.

    Returns
    -------
    xarray.Dataset
        Dims ``(site, time)``, sites in the order of their names, without those in quarantine.
        ``attrs["snapshot"]`` is the hash of the content, ``attrs["source"]`` the JSON of the source.

    Raises
    ------
    InputError
        If there is no store or no such version, it is not one of ours, or it cannot be reached.
    """
    dataset = Repository.open(place).dataset(version or MAIN)
    rows = np.argsort(dataset["site"].values.astype(str), kind="stable")
    if "quarantined" in dataset:
        rows = rows[dataset["quarantined"].values[rows] == ""]
        dataset = dataset.drop_vars("quarantined")
    whole = rows.size == dataset.sizes["site"] and bool((np.diff(rows) == 1).all())
    return dataset if whole else dataset.isel(site=rows)


def quality_report(place: Location | Path | str, version: str | None = None) -> pd.DataFrame:
    """Return what the checks of :mod:`thalweg.storage.quality` found when a store was made.

    Returns
    -------
    pandas.DataFrame
        Columns ``severity, check, site, variable, first_day, count, message``.
    """
    table = Repository.open(place).table(QUALITY, version or MAIN)
    return pd.DataFrame({name: table[name].values for name in table.attrs["columns"]})


def quality_table(report: pd.DataFrame) -> xr.Dataset:
    """Give a quality report as a table of a store."""
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
    if isinstance(path := spec.get("path"), list):
        spec["path"] = [os.path.normpath(str(each)) for each in path]
    elif path is not None:
        spec["path"] = os.path.normpath(str(path))
    return json.dumps(spec, sort_keys=True, default=str)


def _open_same(store: Location, source: Mapping[str, Any]) -> xr.Dataset:
    """Open a store if it was made from this source, else refuse."""
    dataset = open_store(store)
    made_from, wanted = str(dataset.attrs["source"]), source_text(source)
    if made_from != wanted:
        raise InputError(
            f"{store}: made from {made_from}, but {wanted} is asked for; "
            "name another store, or delete this one"
        )
    return dataset
