"""The plan of an ingest: which partitions are read, why, and what it takes."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.ingest.update import REASONS, SHORTER, Change, Known, changes, order
from thalweg.storage.layout import CHUNK_SITES
from thalweg.storage.location import Location
from thalweg.storage.quality import QualityRules
from thalweg.storage.sources.catalog import refuse_far

if TYPE_CHECKING:
    from thalweg.storage.repository import Repository
    from thalweg.storage.sources.catalog import Catalog, Source

# Measured: a process with its libraries, and the most arrays of a partition that are there at one time.
PROCESS_BYTES, COPIES = 200e6, 8
# Below this, starting processes takes longer than reading in this one.
LITTLE_BYTES = 24e6
STAMPS = "partitions"  # the table of what each site was read from


@dataclass(frozen=True)
class Options:
    """How to ingest.

    Attributes
    ----------
    workers : int or None
        Processes that read; None for one a CPU.
    late_days : int
        Days at the end of the store that are read again although their files look the same.
    full : bool
        Read everything again.
    rules : QualityRules
        Which sites are kept out, and when nothing is published.
    retries : int
        How often a partition is tried again after an error that may pass.
    """

    workers: int | None = None
    late_days: int = 0
    full: bool = False
    rules: QualityRules = field(default_factory=QualityRules)
    retries: int = 3


@dataclass(frozen=True)
class Read:
    """Sites that are read together, from day `first` to day `last`."""

    sites: tuple[str, ...]
    first: date
    last: date


@dataclass(frozen=True)
class Partition:
    """A block of sites that is read, checked and committed as one.

    Attributes
    ----------
    name : str
        The same for the same block read from the same files.
    rows : (int, int)
        First row of the block and the row after its last, in the store's order; a block owns its chunks.
    sites : tuple of str
        Of all these rows.
    reads : tuple of Read
        What is read from the source.
    reasons : mapping
        Reason -> number of sites.
    stamps : mapping
        Of the sites that are read.
    """

    name: str
    rows: tuple[int, int]
    sites: tuple[str, ...]
    reads: tuple[Read, ...]
    reasons: Mapping[str, int]
    stamps: Mapping[str, str]

    @property
    def count(self) -> int:
        """Number of sites that are read."""
        return len(self.stamps)

    @property
    def site_days(self) -> int:
        """Number of days of all sites that are read."""
        return sum(len(read.sites) * ((read.last - read.first).days + 1) for read in self.reads)


@dataclass(frozen=True)
class Plan:
    """What an ingest would do.

    Attributes
    ----------
    sites : tuple of str
        Of the store as it will be, in its order.
    first, last : date
        Of the store as it will be.
    partitions : tuple of Partition
        What is read; empty where the store is as the source is.
    bytes : int
        Of the source, as far as it is read.
    sample : xarray.Dataset or None
        One day of one site, with the names and units of all series; None where nothing is read.
    workers : int
        Processes that read; 0 for this one alone.
    attributes : str
        A hash of all sites' attributes.
    unreadable : frozenset of str
        Sites whose files cannot be read, as far as that is known without reading.
    """

    location: Location
    sites: tuple[str, ...]
    first: date
    last: date
    partitions: tuple[Partition, ...]
    bytes: int
    sample: xr.Dataset | None = None
    workers: int = 0
    options: Options = field(default_factory=Options)
    attributes: str = ""
    unreadable: frozenset[str] = frozenset()

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the series that are read."""
        return () if self.sample is None else series_of(self.sample)

    @property
    def days(self) -> int:
        """Days of the store as it will be."""
        return (self.last - self.first).days + 1

    @property
    def reasons(self) -> dict[str, int]:
        """Sites for each reason to read them, those that stay as they are last."""
        total: Counter[str] = Counter()
        for partition in self.partitions:
            total.update(partition.reasons)
        found: dict[str, int] = {reason: total[reason] for reason in REASONS if total[reason]}
        same = len(self.sites) - sum(found.values())
        return {**found, "same": same} if same else found

    @property
    def partition_bytes(self) -> int:
        """Size in memory of the largest partition's series, as float32."""
        most = max((len(partition.sites) for partition in self.partitions), default=0)
        return most * self.days * 4 * len(self.variables)

    @property
    def memory(self) -> int:
        """Memory that all processes take together (bytes), about."""
        return int(PROCESS_BYTES + max(self.workers, 1) * (PROCESS_BYTES + COPIES * self.partition_bytes))

    @property
    def key(self) -> str:
        """A name: equal where partitions have the same places in the store, and sites the same attributes."""
        return digest([*self.sites, self.first, self.last, *self.variables, self.attributes])


def make_plan(location: Location, source: Source, where: str, options: Options, known: Known | None) -> Plan:
    """Compare a source with a store.

    Parameters
    ----------
    location : Location
        Of the store.
    source : Source
    where : str
        The source's name, for errors.
    options : Options
    known : Known or None
        What the store holds, if there is anything published in it.

    Returns
    -------
    Plan
        Nothing is read but the catalog, attributes and, where there is something to do, one day of one
        site.

    Raises
    ------
    InputError
        If the source is wrong, or got shorter.
    """
    catalog = source.catalog()
    refuse_far(catalog.first, catalog.last, where)
    stamps = _stamps(catalog, source.attributes())
    catalog = replace(catalog, stamps=stamps)
    late = max(options.late_days, int(getattr(source, "late_days", 0)))
    found = changes(catalog, known, late_days=late, full=options.full, where=where)
    sites = order(catalog.sites, known)
    attributes = digest([stamps[site].rpartition(" | ")[2] for site in catalog.sites])
    plan = Plan(location, sites, catalog.first, catalog.last, (), 0, options=options, attributes=attributes)
    if not found:
        return plan
    sample = source.read(catalog.sites[:1], catalog.last, catalog.last).load()
    if known is not None and (gone := set(known.variables) - set(series_of(sample))):
        raise InputError(f"{where}: got shorter: there is no {', '.join(sorted(gone))} any more; {SHORTER}")
    if known is not None and set(known.variables) != set(series_of(sample)):  # a new one, of all sites
        found = changes(catalog, known, full=True, where=where)
    partitions = _partitions(sites, found, stamps)
    share = sum(partition.count for partition in partitions) / len(sites)
    unreadable = frozenset(set(catalog.sites) - set(catalog.periods) if catalog.periods else ())
    plan = replace(plan, sample=sample, unreadable=unreadable)
    return _sized(plan, partitions, int(catalog.bytes * share))


def read_known(repository: Repository, dataset: xr.Dataset) -> Known:
    """Return what a store holds; `dataset` is its published version."""
    sites = tuple(map(str, dataset["site"].values))
    days = pd.DatetimeIndex(dataset["time"].values)
    try:
        stamps = stamps_of(repository.table(STAMPS))
    except KeyError:
        stamps = {}
    return Known(sites, days[0].date(), days[-1].date(), stamps, series_of(dataset))


def stamps_of(table: xr.Dataset) -> dict[str, str]:
    """Return what each site was read from, of the table ``partitions``."""
    return dict(zip(map(str, table["site"].values), map(str, table["stamp"].values), strict=True))


def series_of(dataset: xr.Dataset) -> tuple[str, ...]:
    """Return the names of the variables over time, sorted."""
    return tuple(sorted(str(name) for name, values in dataset.data_vars.items() if "time" in values.dims))


def _stamps(catalog: Catalog, attributes: xr.Dataset) -> dict[str, str]:
    """Add to each site's stamp one of its attributes: those that are revised count as well."""
    sites = attributes["site"].values.astype(str)
    static = attributes.drop_dims("time", errors="ignore").reset_coords()
    table = pd.DataFrame({str(name): static[name].values for name in sorted(static.data_vars, key=str)})
    for name in table.columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = table[name].astype(str)
    digests = dict(zip(sites, pd.util.hash_pandas_object(table, index=False), strict=True))
    names = np.uint64(int(digest(list(table.columns))[:16], 16))
    return {site: f"{catalog.stamps[site]} | {digests[site] ^ names:016x}" for site in catalog.sites}


def _partitions(
    sites: Sequence[str], found: Sequence[Change], stamps: Mapping[str, str]
) -> tuple[Partition, ...]:
    row = {site: number for number, site in enumerate(sites)}
    blocks: dict[int, list[Change]] = {}
    for change in found:
        blocks.setdefault(row[change.site] // CHUNK_SITES, []).append(change)
    made = []
    for block, members in sorted(blocks.items()):
        start, stop = block * CHUNK_SITES, min((block + 1) * CHUNK_SITES, len(sites))
        spans: dict[tuple[date, date], list[str]] = {}
        for change in members:
            spans.setdefault((change.first, change.last), []).append(change.site)
        read = {change.site: stamps[change.site] for change in members}
        content = digest([*sites[start:stop], *read.items(), *spans])
        made.append(
            Partition(
                f"{start:06d}-{content[:12]}",
                (start, stop),
                tuple(sites[start:stop]),
                tuple(Read(tuple(names), *span) for span, names in spans.items()),
                Counter(change.reason for change in members),
                read,
            )
        )
    return tuple(made)


def _sized(plan: Plan, partitions: tuple[Partition, ...], size: int) -> Plan:
    values = sum(partition.site_days for partition in partitions) * 4 * len(plan.variables)
    wanted = plan.options.workers or os.cpu_count() or 1
    workers = 0 if max(values, size) < LITTLE_BYTES else min(wanted, len(partitions))
    return replace(plan, partitions=partitions, bytes=size, workers=workers)


def digest(items: Sequence[Any]) -> str:
    """Return a hash of the items' text."""
    return hashlib.sha256("\x1f".join(map(str, items)).encode()).hexdigest()[:32]
