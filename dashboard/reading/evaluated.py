"""What `thalweg evaluate` left in the folders of runs, kept until it changes."""

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import pandas as pd

from thalweg.dashboard.reading.cards import Card, last_written
from thalweg.storage.evaluations import FOLDER, RECORD, read_table

MOST = 85_000_000
"""Bytes of tables kept for all sessions: Extrapolation with 50 runs at 2,000 sites needs 80."""

_Key = tuple[str, tuple[tuple[str, str, str, str, int, int], ...]]
_kept: OrderedDict[_Key, tuple[pd.DataFrame, int]] = OrderedDict()  # the table and its bytes, last used last
_keeping, _reading = Lock(), Lock()


def tables(runs: Iterable[Card], name: str) -> pd.DataFrame:
    """A table of every run that has it, with the columns run, model, split and seed; empty without any."""
    told = tuple(
        (run.path, run.id, run.model, run.split, run.seed, last_written(run.path, FOLDER, RECORD))
        for run in runs
    )
    key = name, told
    table = _found(key)
    if table is None:
        with _reading:  # twenty that come at once would each have it in memory
            table = _found(key)
            if table is None:
                table = _concatenated(name, told)
                _keep(key, table)
    return table.copy(deep=False)  # copied on writing: nobody changes what others see


def _found(key: _Key) -> pd.DataFrame | None:
    with _keeping:
        if key not in _kept:
            return None
        _kept.move_to_end(key)
        return _kept[key][0]


def _concatenated(name: str, told: tuple[tuple[str, str, str, str, int, int], ...]) -> pd.DataFrame:
    found = []
    for path, run, model, split, seed, written in told:
        table = _read(path, name) if written else None
        if table is not None:
            found.append(table.assign(run=run, model=model, split=split, seed=seed))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _keep(key: _Key, table: pd.DataFrame) -> None:
    """Keep a table that fits, and let go those that were used longest ago, down to ``MOST`` bytes."""
    size = int(table.memory_usage(deep=True).sum())
    if size > MOST:
        return
    paths = [run[0] for run in key[1]]
    with _keeping:
        # what the same runs had before they were evaluated again
        gone = [k for k in _kept if k[0] == key[0] and k != key and [run[0] for run in k[1]] == paths]
        for old in gone:
            del _kept[old]
        _kept[key] = table, size
        _kept.move_to_end(key)
        total = sum(size for _, size in _kept.values())
        while total > MOST:
            total -= _kept.popitem(last=False)[1][1]


def _read(path: str, name: str) -> pd.DataFrame | None:
    try:
        table = read_table(Path(path), name)
    except (OSError, ValueError):
        return None
    return table if isinstance(table, pd.DataFrame) else None
