"""The weather at a site as a run was given it, from the store that the run names."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st
import xarray as xr

from thalweg.dashboard.reading.cards import Card, Stamp
from thalweg.dashboard.reading.stores import place, shown
from thalweg.storage.location import Location
from thalweg.storage.results import Run
from thalweg.storage.sites import site_rows
from thalweg.storage.store import open_store

_WANTED = ("precipitation", "temperature", "temperature_min", "temperature_max")
_NAME = "gauge_name"
_REMOTE_SECONDS = 60  # how long an object store that did not answer is left alone


@dataclass(frozen=True)
class Weather:
    """Weather at one site.

    Attributes
    ----------
    table : index time; ``precipitation`` and ``temperature``, as far as the store has them.
    units : of each column, as the store says.
    missing : why there is none; empty where there is some.
    name : of the gauge, and
    area : of its catchment (km2), where the store tells them.
    """

    table: pd.DataFrame
    units: dict[str, str]
    missing: str = ""
    name: str = ""
    area: float = math.nan


def weather(run: Card, site: str) -> Weather:
    """Weather at a site over the test period of a run."""
    store, version = source(run)
    if not store:
        return _none("the run does not name its store")
    return _weather(store, version, reached(store), site, run.test_start, run.test_end)


def source(run: Card) -> tuple[str, str]:
    """Where the store is that the test part of a run is in, and its version; empty where it names none."""
    store, version = _source(run.path, run.stamp)
    return (place(store) if store else ""), version


@st.cache_data(max_entries=500, show_spinner="Reading the weather …")
def _weather(store: str, version: str, reached: int, site: str, start: str, end: str) -> Weather:
    if not reached:
        return _none(f"the store {shown(store)} is not there any more")
    try:
        dataset = opened(store, version)
        names = [name for name in _WANTED if name in dataset and "time" in dataset[name].dims]
        if not names:
            return _none(f"the store {shown(store)} has neither precipitation nor temperature")
        row = int(site_rows(dataset, [site])[0])
        found = dataset[names].isel(site=row).sel(time=slice(start or None, end or None)).load()
        name = str(dataset[_NAME].values[row]) if _NAME in dataset else ""
        area = float(dataset["area"].values[row]) if "area" in dataset else math.nan
    except Exception as error:  # a store that is gone, moved or damaged fails in as many ways as it has parts
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return _none(f"the store cannot be read ({reason})")
    table = found.to_dataframe()[names]
    units = {name: str(found[name].attrs.get("units", "")) for name in names}
    if "temperature" not in table and {"temperature_min", "temperature_max"} <= set(names):
        table["temperature"] = table[["temperature_min", "temperature_max"]].mean(axis=1)
        units["temperature"] = units["temperature_max"]
    kept = table.drop(columns=["temperature_min", "temperature_max"], errors="ignore")
    return Weather(kept, units, name=name, area=area)


@st.cache_resource(max_entries=8, show_spinner=False)
def opened(store: str, version: str) -> xr.Dataset:
    """A version of a store, which never changes; its data are read when they are used."""
    return open_store(store, version or None)


@st.cache_data(max_entries=5000, show_spinner=False)
def _source(path: str, stamp: Stamp) -> tuple[str, str]:
    """The store that the test part of a run is in, and its version."""
    manifest = Run(Path(path)).manifest
    test = manifest.get("test")
    if isinstance(test, dict) and test.get("store"):
        return str(test["store"]), str(test.get("version") or "")
    return str(manifest.get("store") or ""), str(manifest.get("snapshot") or "")


def reached(store: str) -> int:
    """Whether a store may be there, told anew when that may have changed; 0 where it is gone."""
    try:
        location = Location.of(store)
        return int(time.time() / _REMOTE_SECONDS) if location.remote else int(location.path.exists())
    except Exception:  # no place that we know
        return 0


def _none(reason: str) -> Weather:
    return Weather(pd.DataFrame(), {}, reason)
