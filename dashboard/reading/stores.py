"""What the page Data reads: the stores that runs were made from, their versions, and what checks found."""

import time
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import streamlit as st

from thalweg.dashboard.reading.cards import Card, root
from thalweg.storage import versions
from thalweg.storage.location import Location
from thalweg.storage.repository import Repository
from thalweg.storage.store import quality_report

QUARANTINE = "quarantine"  # the group with the sites that are kept out; absent where no ingest made the store
_REMOTE_SECONDS = 60  # how old the log of a store in an object store may be


def stores(runs: Iterable[Card]) -> dict[str, list[Card]]:
    """The runs of each store, the store that was read last first."""
    newest = sorted(runs, key=lambda run: -run.updated.timestamp() if run.updated is not None else 0.0)
    found: dict[str, list[Card]] = {}
    for run in newest:
        if run.store:
            found.setdefault(place(run.store), []).append(run)
    return found


def place(store: str) -> str:
    """Where a store is that a run names: a path of the folder it was run in is most likely one of ours."""
    if "://" in store or Path(store).is_absolute():
        return store
    here = [(folder / store).resolve() for folder in (Path.cwd(), root().resolve().parent)]
    return str(next((path for path in here if path.exists()), here[0]))


def shown(store: str) -> str:
    """A store for reading: as short as it is clear."""
    if "://" in store:
        return store
    path, here, home = Path(store), Path.cwd(), Path.home()
    if path.is_relative_to(here):
        return str(path.relative_to(here))
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def log(store: str) -> pd.DataFrame:
    """Published versions, the newest first.

    Returns
    -------
    Columns ``id, snapshot, written (UTC), message, current, tags, first, last, sites, quarantined, changed``;
    what a version does not tell is missing.

    Raises
    ------
    InputError
        If there is no store any more, or it cannot be reached.
    """
    return _log(store, _stamp(store))


@st.cache_data(max_entries=50, show_spinner="Reading the quality report …")
def report(store: str, version: str) -> pd.DataFrame:
    """What the checks found: columns ``severity, check, site, variable, first_day, count, message``."""
    return quality_report(store, version)


@st.cache_data(max_entries=50, show_spinner=False)
def kept_out(store: str, version: str) -> pd.DataFrame:
    """The sites that are not in the dataset: columns ``site, check, variable, reason``."""
    try:
        table = Repository.open(store).table(QUARANTINE, version)
    except KeyError:
        return pd.DataFrame(columns=["site", "check", "variable", "reason"])
    return pd.DataFrame({name: table[name].values for name in table.attrs["columns"]})


def _stamp(store: str) -> int:
    """A number that changes when versions or tags do."""
    location = Location.of(store)
    if location.remote:
        return int(time.time() / _REMOTE_SECONDS)
    refs = location.path / "refs"
    try:
        return max(path.stat().st_mtime_ns for path in (refs, *refs.glob("branch.main*/*")))
    except OSError:  # gone, or in the middle of a change
        return time.time_ns()


@st.cache_data(max_entries=50, show_spinner="Reading the versions …")
def _log(store: str, stamp: int) -> pd.DataFrame:
    rows = [
        {
            "id": version.id,
            "snapshot": version.snapshot,
            "written": version.written,
            "message": version.message,
            "current": version.current,
            "tags": [name for name in version.tags if not name.startswith(versions.ROLLED_BACK)],
            **{
                name: version.properties.get(name)
                for name in ("first", "last", "sites", "quarantined", "changed")
            },
        }
        for version in versions.log(Repository.open(store))
    ]
    return pd.DataFrame(rows)
