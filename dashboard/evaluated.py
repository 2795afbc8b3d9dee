"""What `thalweg evaluate` left in the folders of runs, kept until it changes."""

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pandas as pd

from thalweg.dashboard.data import Card
from thalweg.storage.evaluations import FOLDER, RECORD, read_table


def tables(runs: Iterable[Card], name: str) -> pd.DataFrame:
    """A table of every run that has it, with the columns run, model, split and seed; empty without any."""
    found = []
    for run in runs:
        table = _table(run.path, name, _written(run.path))
        if table is not None:
            found.append(table.assign(run=run.id, model=run.model, split=run.split, seed=run.seed))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _written(path: str) -> int:
    try:
        return os.stat(os.path.join(path, FOLDER, RECORD)).st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=500)
def _table(path: str, name: str, written: int) -> pd.DataFrame | None:
    if not written:
        return None
    try:
        table = read_table(Path(path), name)
    except (OSError, ValueError):
        return None
    return table if isinstance(table, pd.DataFrame) else None
