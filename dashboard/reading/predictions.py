"""Flow of runs at one site, from their predictions; kept until the files change."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import pandas as pd
import streamlit as st
import xarray as xr

from thalweg.dashboard.reading.cards import Card, Stamp
from thalweg.storage.results import Run


@st.cache_data(max_entries=500, show_spinner="Reading the hydrograph …")
def series(path: str, stamp: Stamp, site: str) -> tuple[pd.DataFrame | None, list[str]]:
    """`simulated` and `observed` (mm/day) by day at one site; None, with the reason, where there is none.

    Only the chunks of this site are read.
    """
    run, dataset = _predictions(path, stamp)
    if dataset is None:
        return None, [f"{run.id}: {problem}" for problem in run.problems or ["predictions.zarr: missing"]]
    try:
        at_site = dataset[["simulated", "observed"]].sel(site=site).load()
        table = at_site.to_dataframe()[["simulated", "observed"]]
    except Exception as error:  # a store cut short fails in as many ways as it has parts
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return None, [f"{run.id}: predictions.zarr: cannot be read at {site} ({reason})"]
    return table.sort_index(), []


def flows(runs: Mapping[str, Card], site: str) -> tuple[pd.DataFrame, list[str]]:
    """Flow of several runs at one site, and what could not be read of it.

    Parameters
    ----------
    runs : by the name that their columns get.

    Returns
    -------
    Index time, column `observed` and one a run (mm/day); empty where no run can be read.
    """
    columns: dict[str, pd.Series] = {}
    observed, problems = pd.Series(dtype=float), []
    for name, run in runs.items():
        found, trouble = series(run.path, run.stamp, site)
        problems += trouble
        if found is not None:
            columns[name] = found["simulated"]
            observed = observed.combine_first(found["observed"]) if len(observed) else found["observed"]
    if not columns:
        return pd.DataFrame(), problems
    return pd.DataFrame({"observed": observed, **columns}).rename_axis("time"), problems


@lru_cache(maxsize=100)
def _predictions(path: str, stamp: Stamp) -> tuple[Run, xr.Dataset | None]:
    """A run with its predictions opened: their metadata are read once, their values when asked for."""
    run = Run(Path(path))
    return run, run.predictions()
