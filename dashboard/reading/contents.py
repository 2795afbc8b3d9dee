"""What is in a version of a store: its sites, how complete each variable is, and one site's series."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
import xarray as xr

from thalweg.dashboard.reading.attributes import Names, described
from thalweg.flows.data_commands import years_text
from thalweg.storage.difference import Difference, difference
from thalweg.storage.repository import Repository
from thalweg.storage.sites import site_rows
from thalweg.storage.statistics import stored_statistics
from thalweg.storage.variables import names_over

PLACE = ("latitude", "longitude", "region")
FIRST = ("discharge", "precipitation", "temperature", "potential_evapotranspiration")
"""Variables that come before the others."""


@dataclass(frozen=True)
class Contents:
    """What a version holds.

    Attributes
    ----------
    places : index site; latitude, longitude (degrees), region.
    series : units of each variable over time.
    attributes : units of each static number.
    known : what both are called.
    first, last : days.
    """

    places: pd.DataFrame
    series: dict[str, str]
    attributes: dict[str, str]
    known: Names
    first: str
    last: str


@st.cache_data(max_entries=20, show_spinner="Opening the store …")
def contents(store: str, version: str) -> Contents:
    """What a version holds, without reading its series.

    Raises
    ------
    InputError
        If there is no such store or version.
    """
    dataset = _opened(store, version)
    sites = pd.Index([str(site) for site in dataset["site"].values], name="site")
    places = pd.DataFrame({name: _over_sites(dataset, name) for name in PLACE}, index=sites)
    units = {str(name): str(array.attrs.get("units", "")) for name, array in dataset.data_vars.items()}
    timed = {name for name in units if "time" in dataset[name].dims}
    plain = {name for name in units if dataset[name].dims == ("site",) and dataset[name].dtype.kind in "fiu"}
    first, last = (str(day)[:10] for day in dataset["time"].values[[0, -1]])
    return Contents(
        places,
        {name: units[name] for name in sorted(timed, key=lambda name: (_rank(name), name))},
        {name: units[name] for name in sorted(plain)},
        described(dataset),
        first,
        last,
    )


@st.cache_data(max_entries=50, show_spinner="Counting days …")
def completeness(store: str, version: str) -> pd.DataFrame:
    """Days with a value: columns site, variable, year, days and mean; empty where the store kept no count."""
    found = stored_statistics(store, version)
    if found is None:
        return pd.DataFrame(columns=["site", "variable", "year", "days", "mean"])
    read = found[["count", "mean"]].load()
    table = read.to_dataframe().reset_index().rename(columns={"count": "days"})
    return table[["site", "variable", "year", "days", "mean"]]


def by_site(counted: pd.DataFrame, held: Contents, variable: str) -> pd.DataFrame:
    """Share of the store's days with a value, and the mean of those: index site, columns share (%), mean."""
    own = counted[(counted["variable"] == variable) & (counted["days"] > 0)]
    total = own["days"].groupby(own["site"]).sum()
    summed = (own["days"] * own["mean"]).groupby(own["site"]).sum()
    days = (pd.Timestamp(held.last) - pd.Timestamp(held.first)).days + 1
    table = pd.DataFrame({"share": 100.0 * total / days, "mean": summed / total})
    return table.reindex(held.places.index).fillna({"share": 0.0})


@st.cache_data(max_entries=50, show_spinner=False)
def attribute(store: str, version: str, name: str) -> pd.Series:
    """A static attribute by site."""
    values = _opened(store, version)[name].values
    return pd.Series(values, contents(store, version).places.index, dtype=float, name=name)


@st.cache_data(max_entries=200, show_spinner=False)
def attributes_at(store: str, version: str, site: str) -> pd.DataFrame:
    """What is known of a site that does not vary in time.

    Returns
    -------
    Columns ``attribute`` (in words), ``value`` (text), ``units``, and ``below``: the share of all sites with
    a smaller value (%), missing for what is no number.
    """
    table, known = _attributes(store, version), contents(store, version).known
    rows = []
    for name in table:
        value: Any = table.at[site, name]
        if pd.isna(value) or value == "":
            continue
        numeric = pd.api.types.is_numeric_dtype(table[name])
        below = 100.0 * float((table[name] < value).sum()) / max(int(table[name].count()), 1)
        about = known[str(name)]
        told = f"{value:,.4g}" if numeric else str(value)
        rows.append((about.title, told, about.unit, below if numeric else np.nan))
    return pd.DataFrame(rows, columns=["attribute", "value", "units", "below"])


@st.cache_resource(max_entries=4, show_spinner="Reading the attributes …")
def _attributes(store: str, version: str) -> pd.DataFrame:
    """All that is over sites alone, a column each."""
    dataset = _opened(store, version)
    names = [str(name) for name in names_over(dataset, "site") if name not in PLACE]
    sites = contents(store, version).places.index
    return pd.DataFrame({name: dataset[name].values for name in names}, index=sites)


@st.cache_data(max_entries=200, show_spinner="Reading the series …")
def series(store: str, version: str, site: str) -> pd.DataFrame:
    """All variables at one site by day: index time."""
    dataset = _opened(store, version)
    row = int(site_rows(dataset, [site])[0])
    names = list(contents(store, version).series)
    return dataset[names].isel(site=row).load().to_dataframe()[names]


def gaps(values: pd.Series) -> list[tuple[pd.Timestamp, pd.Timestamp, int]]:
    """Days without a value, as first day, last day and their number, the longest first."""
    missing = values.isna().to_numpy()
    edges = np.flatnonzero(np.diff(np.r_[False, missing, False].astype(np.int8)))
    spans = [(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    found = [(values.index[first], values.index[last - 1], last - first) for first, last in spans]
    return sorted(found, key=lambda span: -span[2])


@st.cache_data(max_entries=50, show_spinner="Comparing the versions …")
def differs(store: str, before: str, after: str) -> Difference:
    """What differs between two versions: see :func:`thalweg.storage.difference.difference`."""
    return difference(Repository.open(store), before, after)


def revised(found: Difference) -> pd.DataFrame:
    """Sites whose values differ: columns site, years (of the calendar) and how many they are."""
    rows = [(site, years_text(years), len(years)) for site, years in found.revised.items()]
    return pd.DataFrame(rows, columns=["site", "years", "number"])


def _rank(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


@st.cache_resource(max_entries=8, show_spinner=False)
def _opened(store: str, version: str) -> xr.Dataset:
    """A version, which never changes; its data are read when they are used."""
    return Repository.open(store).dataset(version)


def _over_sites(dataset: xr.Dataset, name: str) -> object:
    return dataset[name].values if name in dataset.variables else ("" if name == "region" else np.nan)
