"""Cut the table of all runs' metrics: one row a run and site, as ``collect_metrics`` gives it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from thalweg.storage.errors import InputError

GROUP = ["experiment", "model", "split"]

# With fewer sites even full agreement in sign has a chance of more than one in ten (2 x 0.5^n).
FEWEST_SITES = 5


def site_values(metrics: pd.DataFrame, metric: str) -> pd.Series:
    """Give a metric by site, averaged over seeds and folds; NaN where none of them has a value."""
    need(metrics, "site", metric)
    return metrics.groupby("site", sort=True)[metric].mean()


def groups(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Give the rows of each experiment, model and split, in order."""
    if table.empty:
        return
    need(table, *GROUP)
    for key, rows in table.groupby(GROUP, sort=True):
        yield (str(key[0]), str(key[1]), str(key[2])), rows


def need(table: pd.DataFrame, *columns: str) -> None:
    """Raise ``InputError`` when a table lacks a column."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        there = ", ".join(str(name) for name in table.columns)
        raise InputError(f"the table of metrics has no {', '.join(missing)}; it has {there}")
