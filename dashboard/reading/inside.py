"""What is inside a model: its fluxes, states and parameters at a site, and the balance it declares."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
import xarray as xr

from thalweg.dashboard.reading.cards import Card, Stamp
from thalweg.flows.names import ENSEMBLE
from thalweg.storage.errors import InputError
from thalweg.storage.evaluations import read_table
from thalweg.storage.results import Run

YEAR = 365.25
"""Days."""


@dataclass(frozen=True)
class Terms:
    """The water balance that a process model declares: inflow = outflow + change of what is stored.

    Attributes
    ----------
    inflow, outflow : names of fluxes or forcings (mm/day).
    stored : names of states (mm).
    missing : why there is none; empty where there is one.
    """

    inflow: tuple[str, ...] = ()
    outflow: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Series:
    """Daily series of one site.

    Attributes
    ----------
    table : index time, a column a variable; empty where there is none.
    units : of each column.
    missing : why there is none; empty where there is one.
    """

    table: pd.DataFrame
    units: dict[str, str]
    missing: str = ""


@st.cache_data(max_entries=500, show_spinner="Asking the process model …")
def terms(path: str, stamp: Stamp) -> Terms:
    """The water balance of a run's process model."""
    run = Run(Path(path))
    models = (run.manifest.get("config") or {}).get("models") or {}
    spec = models.get(run.model.removesuffix(ENSEMBLE)) or {}
    if not spec.get("process"):
        return Terms(missing="this model has no process model inside")
    found = _evaluated_terms(path)
    if found is not None:
        return found
    from thalweg.models.processes import find_process  # brings torch with it

    try:
        process = find_process(spec["process"])
    except Exception as error:  # a model of somebody's own that is not installed here
        reason = " ".join(str(error).split())[:160]
        return Terms(missing=f"the process model {spec['process']} cannot be asked here ({reason})")
    units = {item.name: item.units for item in process.states}
    balance = process.balance
    if balance is None or any(units.get(name) != "mm" for name in balance.stored):
        return Terms(missing=f"the process model {spec['process']} declares no water balance")
    return Terms(tuple(balance.inflow), tuple(balance.outflow), tuple(balance.stored))


def _evaluated_terms(path: str) -> Terms | None:
    """The same as `thalweg evaluate` wrote it; None where it did not, or the balance is not of water."""
    try:
        names, balance = read_table(Path(path), "balance_terms"), read_table(Path(path), "balance")
    except InputError:
        return None
    if not isinstance(names, pd.DataFrame) or not isinstance(balance, pd.DataFrame):
        return None
    if set(balance["units"]) != {"mm"}:
        return None
    sides = {str(side): tuple(map(str, own)) for side, own in names.groupby("side")["name"]}
    return Terms(sides.get("inflow", ()), sides.get("outflow", ()), sides.get("stored", ()))


def fluxes_at(run: Card, site: str) -> Series:
    """Fluxes (mm/day) and states (mm) at a site."""
    return _series(run.path, run.stamp, "fluxes", site)


def varying_at(run: Card, site: str) -> Series:
    """Parameters that vary in time, at a site."""
    return _series(run.path, run.stamp, "parameters", site)


@st.cache_data(max_entries=200, show_spinner="Reading fluxes and states …")
def _series(path: str, stamp: Stamp, which: str, site: str) -> Series:
    run = Run(Path(path))
    none = pd.DataFrame()
    dataset = run.fluxes() if which == "fluxes" else run.parameters()
    if dataset is None:
        return Series(none, {}, next(iter(run.problems), f"{run.id} has no {which}"))
    names = [str(name) for name in dataset.data_vars if set(dataset[name].dims) == {"site", "time"}]
    if not names:
        return Series(none, {}, f"no {which} of {run.model} vary in time")
    try:
        found = dataset[names].sel(site=site).load()
    except Exception as error:  # a store cut short fails in as many ways as it has parts
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        return Series(none, {}, f"{run.id}: {which}.zarr: cannot be read at {site} ({reason})")
    units = {name: str(found[name].attrs.get("units", "")) for name in names}
    return Series(found.to_dataframe()[names].sort_index(), units)


@st.cache_data(max_entries=60, show_spinner="Adding up fluxes …")
def yearly_means(path: str, stamp: Stamp, names: tuple[str, ...]) -> pd.DataFrame:
    """Long-term means of fluxes at every site (mm/year): index site, a column a flux that is there."""
    dataset = Run(Path(path)).fluxes()
    if dataset is None:
        return pd.DataFrame()
    there = [name for name in names if name in dataset]
    try:
        # the first day is left out, as in the balance: it has no day before it
        found = dataset[there].isel(time=slice(1, None)).load()
    except Exception:  # what is missing is said by who asks for the site
        return pd.DataFrame()
    columns = {name: YEAR * _mean(found[name]) for name in there}
    sites = [str(site) for site in found["site"].values]
    return pd.DataFrame(columns, index=pd.Index(sites, name="site"))


def _mean(values: xr.DataArray) -> np.ndarray:
    return np.asarray(values.transpose("site", "time").values.mean(axis=1, dtype=np.float64))
