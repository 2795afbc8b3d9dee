"""The tables that an evaluation adds to a run's folder, each whole or not at all.

They lie in ``evaluation/``: ``<table>.parquet``, or ``<table>.zarr`` where they are over sites and days.
``made.json`` tells from what each product was made, so that it is made again only when that changed.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage import atomic, run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.run_folder import now

FOLDER, RECORD = "evaluation", "made.json"


def write_product(
    folder: Path, name: str, tables: Mapping[str, pd.DataFrame | xr.Dataset], made_from: str
) -> None:
    """Write the tables of a product, then that they were made; those of an earlier one that are gone go.

    Parameters
    ----------
    folder : of the run.
    made_from : what :func:`is_made` compares: a hash of all that the tables depend on.
    """
    place = folder / FOLDER
    files = [_write(place, table, content) for table, content in tables.items()]
    record = read_record(folder)
    for file in record.get(name, {}).get("files", ()):
        if file not in files:
            _remove(place / file)
    record[name] = {"made": now(), "from": made_from, "files": files}
    atomic.write_text(place / RECORD, json.dumps(record, indent=2) + "\n")


def is_made(folder: Path, name: str, made_from: str) -> bool:
    """Tell whether a product is there, made from the same."""
    entry = read_record(folder).get(name, {})
    there = all((folder / FOLDER / file).exists() for file in entry.get("files", ()))
    return entry.get("from") == made_from and there


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """Give what was made of a run, by product; nothing where that cannot be read."""
    try:
        content = json.loads((folder / FOLDER / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_table(folder: Path, table: str) -> pd.DataFrame | xr.Dataset | None:
    """Give a table by its name, of xarray read when used; None where it was not made.

    Raises
    ------
    InputError
        Where it is damaged.
    """
    parquet, zarr = (folder / FOLDER / f"{table}.{ending}" for ending in ("parquet", "zarr"))
    if not parquet.exists():
        run_sharing.fetch(zarr)
    path = parquet if parquet.exists() else zarr
    if not path.exists():
        return None
    try:
        return pd.read_parquet(path) if path == parquet else xr.open_zarr(path, chunks=None)
    except (OSError, ValueError) as error:
        again = f"make it again with `thalweg evaluate {folder.parent.name}/{folder.name} --force`"
        raise InputError(f"{path}: is damaged; {again}") from error


def _write(place: Path, name: str, content: pd.DataFrame | xr.Dataset) -> str:
    if isinstance(content, pd.DataFrame):
        buffer = io.BytesIO()
        content.to_parquet(buffer, index=False)
        atomic.write_bytes(place / f"{name}.parquet", buffer.getvalue())
        return f"{name}.parquet"
    plain = content.drop_encoding()
    for variable, values in plain.variables.items():
        if values.dtype.kind in "UTO":
            plain[variable] = plain[variable].astype(object)
        elif variable in plain.data_vars and values.dtype == np.float64:
            plain[variable] = plain[variable].astype(np.float32)
    with atomic.new_path(place / f"{name}.zarr") as part, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        plain.to_zarr(part, mode="w", zarr_format=3, consolidated=True)
    return f"{name}.zarr"


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
