"""Intervals around predictions at a site: conformal ones of `thalweg evaluate`, and a model's own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
import xarray as xr

from thalweg.dashboard.reading.cards import Card, last_written
from thalweg.storage.evaluations import FOLDER, read_table
from thalweg.storage.results import Run, forecast_of

LEVEL = 0.9
"""Share of days that a model's own interval is to hold."""
CONFORMAL, OWN = "conformal", "own"
_TABLE = "intervals"


@dataclass(frozen=True)
class Interval:
    """An interval at one site.

    Attributes
    ----------
    table : index time; ``lower`` and ``upper`` (mm/day); empty where there is none to draw.
    level : share of days that it is to hold.
    kind : ``conformal`` or ``own``.
    missing : why there is none; empty where there is one.
    """

    table: pd.DataFrame
    level: float
    kind: str
    missing: str = ""


def kinds(run: Card) -> list[str]:
    """Which intervals a run has, the calibrated one first."""
    found = []
    if last_written(run.path, FOLDER, f"{_TABLE}.zarr"):
        found.append(CONFORMAL)
    if last_written(run.path, "forecast.zarr"):
        found.append(OWN)
    return found


def interval(run: Card, kind: str, site: str) -> Interval:
    """An interval of a run at a site."""
    parts = (FOLDER, f"{_TABLE}.zarr") if kind == CONFORMAL else ("forecast.zarr",)
    return _interval(run.path, last_written(run.path, *parts), kind, site)


@st.cache_data(max_entries=500, show_spinner="Reading the interval …")
def _interval(path: str, written: int, kind: str, site: str) -> Interval:
    none = pd.DataFrame()
    try:
        found, level = _conformal(path, site) if kind == CONFORMAL else _own(path, site)
    except Exception as error:  # stores cut short fail in as many ways as they have parts
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return Interval(none, LEVEL, kind, f"the {kind} interval cannot be read ({reason})")
    if found is None:
        return Interval(none, level, kind, f"members or quantiles do not reach an interval of {level:.0%}")
    table = found[["lower", "upper"]].isel(site=0).to_dataframe()[["lower", "upper"]].sort_index()
    if np.isinf(table.to_numpy()).any():
        return Interval(none, level, kind, "the conformal interval is infinite: too few sites to calibrate")
    return Interval(table, level, kind)


def _conformal(path: str, site: str) -> tuple[xr.Dataset | None, float]:
    dataset = read_table(Path(path), _TABLE)
    assert isinstance(dataset, xr.Dataset)
    return dataset.sel(site=[site]).load(), float(dataset.attrs.get("level", LEVEL))


def _own(path: str, site: str) -> tuple[xr.Dataset | None, float]:
    from thalweg.evaluation.uncertainty.probabilistic import central_interval  # brings torch with it

    run = Run(Path(path))
    dataset = run.forecast()
    if dataset is None:
        raise ValueError("; ".join(run.problems) or "forecast.zarr: missing")
    return central_interval(forecast_of(dataset.sel(site=[site]).load()), LEVEL), LEVEL
