"""Write a run's folder: each file whole or not at all, readable without Thalweg.

============================= ==========================================================
``manifest.json``             all that is needed to make the run again
``status.json``               how far it is
``ledger.json``               what each attempt at it took
``history.csv``               one row an epoch: the training curve
``metrics.parquet``           one row a test site, one column a metric
``validation.parquet``        the same of the validation part, where there is one
``predictions.zarr``          ``(site, time)`` simulated and observed (mm/day), test period
``forecast.zarr``             the distribution of a model that gives one
``validated.zarr``            as ``predictions.zarr``, of the validation part, where there is one
``validated_forecast.zarr``   as ``forecast.zarr``, likewise
``parameters.zarr``           ``(site, component)``, or ``(site, time)`` where they vary in time
``fluxes.zarr``               ``(site, time)`` fluxes and states, mean over components
============================= ==========================================================
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage import atomic

FORMAT = 1
STATES = ("waiting", "running", "done", "failed", "stopped")
HISTORY_COLUMNS = ("epoch", "loss", "validation", "learning_rate", "seconds")
PLACE_COLUMNS = ("site", "latitude", "longitude", "region")
MANIFEST_KEYS = ("experiment", "model", "kind", "split", "fold", "seed")


def run_name(model: str, split: str, fold: str | int, seed: int) -> str:
    """Give the folder name of a run, such as ``hybrid--ungauged_sites--0--s1``.

    Letters other than ``A-Z a-z 0-9 . _ + -`` become ``_``, so that any region can name a fold.
    """
    parts = (re.sub(r"[^\w.+-]", "_", str(part), flags=re.ASCII) for part in (model, split, fold))
    return "--".join((*parts, f"s{seed}"))


def now() -> str:
    """Give the present time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``manifest.json``, with ``format``, ``id`` and ``created`` added where absent.

    Raises
    ------
    ValueError
        When ``experiment``, ``model``, ``kind``, ``split``, ``fold`` or ``seed`` is absent.
    """
    missing = [key for key in MANIFEST_KEYS if key not in manifest]
    if missing:
        raise ValueError(f"{folder}: the manifest lacks {missing}")
    default = {"format": FORMAT, "id": f"{manifest['experiment']}/{folder.name}", "created": now()}
    atomic.write_text(folder / "manifest.json", _json({**default, **manifest}))


def write_status(folder: Path, status: Mapping[str, Any]) -> None:
    """Write ``status.json``; ``updated`` is set to the present time where absent."""
    if status.get("state") not in STATES:
        raise ValueError(f"{folder}: unknown state {status.get('state')!r}; it is one of {STATES}")
    atomic.write_text(folder / "status.json", _json({**status, "updated": status.get("updated") or now()}))


def write_history(folder: Path, history: pd.DataFrame | Sequence[Mapping[str, Any]]) -> None:
    """Write ``history.csv``, one row an epoch, with at least ``HISTORY_COLUMNS``."""
    table = pd.DataFrame(history)
    extra = [name for name in table.columns if name not in HISTORY_COLUMNS]
    table = table.reindex(columns=[*HISTORY_COLUMNS, *extra])
    atomic.write_text(folder / "history.csv", table.to_csv(index=False, lineterminator="\n"))


def append_history(folder: Path, row: Mapping[str, Any]) -> None:
    """Add an epoch to ``history.csv``; rows of this epoch and later ones give way to it.

    A run that goes on from a checkpoint repeats the epochs after it: they are there once.
    """
    path = folder / "history.csv"
    earlier: list[Mapping[str, Any]] = []
    if path.exists():
        with path.open(newline="") as stream:
            earlier = [before for before in csv.DictReader(stream) if float(before["epoch"]) < row["epoch"]]
    write_history(folder, [*earlier, row])


def write_metrics(folder: Path, metrics: xr.Dataset | pd.DataFrame, name: str = "metrics.parquet") -> None:
    """Write ``metrics.parquet``: the place of each site, then one column a metric.

    Parameters
    ----------
    metrics : variables over ``(site,)``, or a table with the column ``site``.
    name : of the file; ``validation.parquet`` is that of the validation part.
    """
    if isinstance(metrics, xr.Dataset):
        metrics = metrics.to_dataframe().reset_index()
    if "site" not in metrics.columns:
        raise ValueError(f"{folder}: metrics have no `site`; they have {list(metrics.columns)}")
    table = metrics.assign(**{name: _absent(name) for name in PLACE_COLUMNS if name not in metrics.columns})
    values = [name for name in metrics.columns if name not in PLACE_COLUMNS]
    table = table[[*PLACE_COLUMNS, *values]].astype({"site": str})
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    atomic.write_bytes(folder / name, buffer.getvalue())


def _absent(name: str) -> Any:
    return "" if name == "region" else np.nan


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(_plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """Give what JSON can hold; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (date, Path)):
        return value.isoformat() if isinstance(value, date) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a JSON file: {value!r}")
