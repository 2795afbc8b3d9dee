"""One partition: read, compared with the store, checked, hashed, summed up, and written to a fork."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.checked import CheckedStore
from thalweg.storage.checks import NO_DAY, Finding
from thalweg.storage.conform import conform
from thalweg.storage.draft import HASHES
from thalweg.storage.errors import InputError
from thalweg.storage.faults import explained
from thalweg.storage.ingest.plan import STAMPS, Partition, series_of
from thalweg.storage.ingest.report import as_columns
from thalweg.storage.ingest.statistics import write_statistics
from thalweg.storage.ingest.update import SHORTER
from thalweg.storage.layout import CHUNK_DAYS, read_index, write_block
from thalweg.storage.location import Location
from thalweg.storage.moments import block_statistics
from thalweg.storage.quality import COLUMNS, check_quality, merge_reports
from thalweg.storage.series import as_slice
from thalweg.storage.snapshot import year_hashes
from thalweg.storage.sources.problems import PROBLEMS, problems_of

if TYPE_CHECKING:
    import icechunk

    from thalweg.storage.sources.catalog import Source


@dataclass(frozen=True)
class Common:
    """What all partitions of an ingest share: sent to a worker once.

    Attributes
    ----------
    location : Location
        Of the store.
    source : Source
    where : str
        The source's name, for errors.
    static : xarray.Dataset
        Coordinates and attributes of all sites, in the form of a store.
    first, last : date
        Of the store as it will be.
    base : icechunk.Session or None
        The published version that the update starts from.
    moved : bool
        Whether days begin earlier than in that version, so that every value has a new place.
    """

    location: Location
    source: Source
    where: str
    static: xr.Dataset
    first: date
    last: date
    base: icechunk.Session | None
    moved: bool


@dataclass(frozen=True)
class Outcome:
    """What came of a partition: all that is committed with it.

    Attributes
    ----------
    session : icechunk.ForkSession
        What was written.
    tables : mapping
        Group -> the rows of the sites that were read.
    note : mapping
        ``findings``: the quality report of these sites, as columns; ``sites``; ``changed``: how many of
        them differ from the store.
    """

    session: icechunk.ForkSession
    tables: Mapping[str, xr.Dataset]
    note: Mapping[str, Any]


def ingest_partition(common: Common, partition: Partition, session: icechunk.ForkSession) -> Outcome:
    """Read a partition and write what differs from the store.

    Parameters
    ----------
    common : Common
    partition : Partition
    session : icechunk.ForkSession
        Of the draft, with its arrays in their new size.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        If a site's record got shorter, or cannot be read.
    SourceChanged
        If a file was replaced since the plan was made.
    """
    days = pd.date_range(common.first, common.last, freq="D", unit="ns")
    with explained(common.location):
        old = _held(common, partition, days)
    new, problems = _read(common, partition, days, old)
    kept = {problem["site"] for problem in problems if problem["check"] == "unreadable"} & _known(old)
    if old is not None:
        _refuse_shorter(old, new, partition, kept, common.where)
    changed = _differs(old, new)
    written = _differs(None, new) if common.moved else changed
    read = [site for site in partition.sites if site in partition.stamps]
    fresh = new if len(read) == len(partition.sites) else new.sel(site=read)
    with explained(common.location):
        for part in _chunks(np.any(written, axis=0)):
            write_block(session, new.isel(time=part))
        write_statistics(session.store, block_statistics(fresh))
    report = _checked(common, fresh, problems, kept)
    rows = [site for site in read if site not in kept]
    return Outcome(
        session,
        {
            HASHES: year_hashes(fresh),
            STAMPS: _stamps({site: partition.stamps[site] for site in rows}),
        },
        {
            "sites": read,
            "changed": int(changed.any(axis=1).sum()),
            "findings": as_columns(report),
        },
    )


def _held(common: Common, partition: Partition, days: pd.DatetimeIndex) -> xr.Dataset | None:
    """Return what the published version holds of the partition's sites, on the days to come."""
    if common.base is None:
        return None
    index = read_index(common.base.store)
    rows = slice(*partition.rows)
    if partition.rows[0] >= len(index["site"]):
        return None
    held = CheckedStore(common.base.store, common.location)
    with xr.open_zarr(held, consolidated=False, chunks=None) as dataset:
        block = dataset[list(series_of(dataset))].isel(site=rows).drop_vars(["latitude", "longitude"])
        block = block.reset_coords(drop=True).load()
    block = block.assign_coords(site=np.array([str(site) for site in block["site"].values], dtype=object))
    grown: xr.Dataset = block.reindex(site=list(partition.sites), time=days)
    return grown


def _known(old: xr.Dataset | None) -> set[str]:
    """Return the sites of which the published version holds any value."""
    if old is None:
        return set()
    known = np.zeros(old.sizes["site"], dtype=bool)
    for values in old.data_vars.values():
        known |= np.isfinite(values.values).any(axis=1)
    return set(old["site"].values[known])


def _read(
    common: Common, partition: Partition, days: pd.DatetimeIndex, old: xr.Dataset | None
) -> tuple[xr.Dataset, list[dict[str, Any]]]:
    """Return the partition as it will be, and what the source noted as wrong with single sites."""
    rows = pd.Index(partition.sites)
    places = common.static.drop_vars(common.static.data_vars)
    arrays: dict[str, NDArray[np.float32]] = {}
    attributes: dict[str, dict[str, Any]] = {}
    problems: list[dict[str, Any]] = []
    for part in partition.reads:
        found = common.source.read(part.sites, part.first, part.last)
        noted = problems_of(found)
        problems += [vars(problem) for problem in noted]
        bad = {problem.site for problem in noted if problem.check == "unreadable"}
        placed = described(places, found.drop_attrs(deep=False), part.sites)
        block = conform(placed, common.where)
        block = block.sel(time=slice(str(part.first), str(part.last)))
        found_sites = block["site"].values.astype(str)
        kept = np.array([site not in bad or old is None for site in found_sites])
        keep = as_slice(np.flatnonzero(kept))
        into = as_slice(rows.get_indexer(pd.Index(found_sites[kept])))
        begin, end = days.get_indexer(pd.DatetimeIndex([part.first, part.last]))
        place = int(days.get_indexer(block.indexes["time"][:1])[0])
        for name in series_of(block):
            if name not in arrays:
                arrays[name] = _canvas(old, name, (len(rows), len(days)))
                attributes[name] = dict(block[name].attrs)
            values = _canonical(block[name].transpose("site", "time").values)
            arrays[name][into, begin : end + 1] = np.nan
            arrays[name][into, place : place + values.shape[1]] = values[keep]
    if old is not None:
        problems = [_held_back(problem, old, arrays, rows, days) for problem in problems]
    variables = {name: (("site", "time"), values, attributes[name]) for name, values in arrays.items()}
    coordinates = {"site": np.array(partition.sites, dtype=object), "time": days}
    return xr.Dataset(variables, coordinates), problems


def _held_back(
    problem: dict[str, Any],
    old: xr.Dataset,
    arrays: Mapping[str, NDArray[np.float32]],
    rows: pd.Index,
    days: pd.DatetimeIndex,
) -> dict[str, Any]:
    """Leave the last day of a file that may be cut off as it was in the store, and say so.

    A number that was cut off looks like any other. A site that is new is taken as it is: files that nobody
    goes on with may well have no end of the last line.
    """
    if problem["check"] != "unfinished" or problem["site"] not in _known(old):
        return problem
    row = int(rows.get_indexer(pd.Index([problem["site"]]))[0])
    day = int(days.get_indexer(pd.DatetimeIndex([problem["first_day"]]))[0])
    for name, values in arrays.items():
        values[row, day] = old[name].transpose("site", "time").values[row, day] if name in old else np.nan
    return {**problem, "message": f"{problem['message']}; the day is taken when the file goes on"}


def described(static: xr.Dataset, found: xr.Dataset, sites: tuple[str, ...]) -> xr.Dataset:
    """Return the series of some sites with their static attributes, in this order of sites."""
    static = static.sel(site=list(sites))
    series = found[list(series_of(found))].reset_coords(drop=True)
    if list(series["site"].values) != list(sites):
        series = series.sel(site=list(sites))
    # As plain variables: what is along the same sites need not be aligned, one by one.
    return series.assign_coords(static.coords).assign(
        {name: static.variables[name] for name in static.data_vars}
    )


def _checked(
    common: Common, block: xr.Dataset, problems: list[dict[str, Any]], kept: set[str]
) -> pd.DataFrame:
    """Check whole records; a site that cannot be read now, but was before, keeps its values."""
    whole = described(common.static, block, tuple(block["site"].values.astype(str)))
    whole.attrs[PROBLEMS] = [problem for problem in problems if problem["site"] not in kept]
    notices = [
        Finding(
            "warning",
            problem["check"],
            problem["site"],
            problem["variable"],
            NO_DAY,
            problem["count"],
            f"{problem['message']}; its values are those of the version before",
        )
        for problem in problems
        if problem["site"] in kept
    ]
    return merge_reports([check_quality(whole), pd.DataFrame(notices, columns=list(COLUMNS))])


def _canvas(old: xr.Dataset | None, name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    if old is None or name not in old:
        return np.full(shape, np.nan, dtype=np.float32)
    return np.array(old[name].transpose("site", "time").values)


def _canonical(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return float32 with one NaN and one zero: equal values have equal bits."""
    plain = values.astype(np.float32)
    plain += np.float32(0.0)
    plain[np.isnan(plain)] = np.nan
    return plain


def _differs(old: xr.Dataset | None, new: xr.Dataset) -> NDArray[np.bool_]:
    """Return which values differ in any variable, shape (site, time)."""
    differs = np.zeros((new.sizes["site"], new.sizes["time"]), dtype=bool)
    for name, values in new.data_vars.items():
        now = values.values
        if old is None or name not in old:
            differs |= ~np.isnan(now)
        else:
            before = old[name].transpose("site", "time").values
            differs |= (before != now) & ~(np.isnan(before) & np.isnan(now))
    return differs


def _chunks(days: NDArray[np.bool_]) -> Iterator[slice]:
    """Give runs of whole chunks of days in which anything is marked."""
    starts = np.arange(0, days.size, CHUNK_DAYS)
    marked = np.logical_or.reduceat(days, starts)
    run: slice | None = None
    for start, wanted in zip(starts.tolist(), marked.tolist(), strict=True):
        stop = min(start + CHUNK_DAYS, days.size)
        if wanted:
            run = slice(run.start if run else start, stop)
        elif run:
            yield run
            run = None
    if run:
        yield run


def _refuse_shorter(
    old: xr.Dataset, new: xr.Dataset, partition: Partition, kept: set[str], where: str
) -> None:
    """Refuse a record that begins later or ends earlier than that of the store."""
    read = np.array([site in partition.stamps and site not in kept for site in partition.sites])
    for name, values in old.data_vars.items():
        before = np.isfinite(values.transpose("site", "time").values) & read[:, None]
        if name not in new:
            if before.any():
                raise InputError(f"{where}: got shorter: there is no {name} any more; {SHORTER}")
            continue
        now = np.isfinite(new[name].values)
        for end, step in (("ends", -1), ("begins", 1)):
            was, is_now = _first(before[:, ::step]), _first(now[:, ::step])
            for row in np.flatnonzero(is_now > was):
                day = values["time"].values[::step].astype("datetime64[D]")
                found = f"{end} on {day[is_now[row]]}" if is_now[row] < day.size else "is gone"
                raise InputError(
                    f"{where}: got shorter: {name} of site {partition.sites[row]} {found}, "
                    f"in the store it {end} on {day[was[row]]}; {SHORTER}"
                )


def _first(marks: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the place of the first mark in each row, or the row's length; no mark was or is there."""
    places: NDArray[np.intp] = marks.argmax(axis=1)
    places[~marks.any(axis=1)] = marks.shape[1]
    return places


def _stamps(stamps: Mapping[str, str]) -> xr.Dataset:
    text = np.array(list(stamps.values()), dtype=object)
    return xr.Dataset({"stamp": ("site", text)}, {"site": np.array(list(stamps), dtype=object)})
