"""The steps of an ingest, for whoever runs them: a plain call, or a Prefect flow."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.conform import conform
from thalweg.storage.draft import Draft, MovedError
from thalweg.storage.errors import InputError
from thalweg.storage.ingest.failures import may_pass
from thalweg.storage.ingest.lock import only_ingest
from thalweg.storage.ingest.partition import Common, Outcome, described, ingest_partition
from thalweg.storage.ingest.plan import (
    STAMPS,
    Options,
    Partition,
    Plan,
    digest,
    make_plan,
    read_known,
    stamps_of,
)
from thalweg.storage.ingest.report import QUARANTINE, merged_report, rules_text, write_quarantined
from thalweg.storage.ingest.statistics import allocate_statistics
from thalweg.storage.ingest.update import Known, kept_attributes
from thalweg.storage.ingest.workers import Here, Processes, Workers
from thalweg.storage.location import Location
from thalweg.storage.quality import quarantine, refuse_too_many
from thalweg.storage.repository import Repository
from thalweg.storage.sources import find_source
from thalweg.storage.store import (
    QUALITY,
    has_store,
    quality_report,
    quality_table,
    source_text,
    store_attributes,
)

PREPARED = "prepared"  # the commit of a draft that comes before its partitions
FIRST_PAUSE = 1.0  # s before a partition is tried again; doubled each time
REPLANS = 5  # where there is no lock, another writer may publish first: then there is a new plan


@dataclass(frozen=True)
class Result:
    """What came of an ingest.

    Attributes
    ----------
    plan : Plan
    snapshot : str
        Hash of the store's content.
    changed : int
        Sites of which any value over time differs from before.
    quarantined : int
        Sites that are kept out.
    """

    plan: Plan
    snapshot: str
    changed: int
    quarantined: int


class Ingest:
    """One update of a store, step by step: ``start``, ``run`` for each partition, ``finish``.

    A context that ends its processes. Making it makes the plan and changes nothing.

    Attributes
    ----------
    plan : Plan
    known : Known or None
        What the store held before.
    before : str
        Hash of its content.
    pending : tuple of Partition
        Those that are not committed yet; known after ``start``.
    on_commit : function or None
        Called with each partition that is committed.
    """

    def __init__(self, store: Location | Path | str, spec: Mapping[str, Any], options: Options) -> None:
        self.location, self.spec = Location.of(store), spec
        self.source = find_source(spec)
        self.where = f"source {spec.get('kind')}"
        self.repository = Repository.open(self.location) if has_store(self.location) else None
        self.known: Known | None = None
        self.before = ""
        if self.repository is not None:
            dataset = self.repository.dataset()
            _refuse_other(self.location, dataset, spec)
            self.known = read_known(self.repository, dataset)
            self.before = str(dataset.attrs["snapshot"])
        self.plan: Plan = make_plan(self.location, self.source, self.where, options, self.known)
        self.pending = self.plan.partitions
        self.on_commit: Callable[[Partition], None] | None = None
        self._workers: Workers | None = None
        self._committing = threading.Lock()

    @property
    def key(self) -> str:
        """The draft's name: what was read as another spec says, such as in other units, is not taken up."""
        return digest([self.plan.key, source_text(self.spec)])

    def start(self) -> None:
        """Start the processes, and make the draft with its arrays in their new size.

        A draft that a killed ingest left is taken up, unless its files have changed since.
        """
        if not self.plan.partitions and self.repository is not None:  # other rules alone
            self.draft = self._draft(self.repository)
            return
        base, moved = None, False
        attributes = self.source.attributes().load()
        if self.repository is not None:
            before = self.repository.dataset()
            attributes = kept_attributes(before, attributes, self.plan.unreadable, self.where)
            base = self.repository.session()
            moved = self.known is not None and self.plan.first < self.known.first
        template = self._template(attributes)
        static = template.drop_dims("time")
        common = Common(
            self.location, self.source, self.where, static, self.plan.first, self.plan.last, base, moved
        )
        self._workers = self._start_workers(common)
        self.draft = self._draft(self.repository or Repository.create(self.location))
        self.pending = tuple(each for each in self.plan.partitions if each.name not in self.draft.done)
        if PREPARED not in self.draft.done:
            self.draft.prepare(template)
            fork = self.draft.fork()
            years = (self.plan.first.year, self.plan.last.year)
            allocate_statistics(fork.store, self.plan.variables, *years)
            self.draft.commit(PREPARED, [fork], {})

    def run(self, partition: Partition) -> None:
        """Read a partition and commit it; threads may do so with several partitions at once."""
        assert self._workers is not None
        outcome: Outcome = self._workers.call(ingest_partition, partition, self.draft.fork())
        with self._committing:
            self.draft.commit(partition.name, [outcome.session], outcome.note, outcome.tables)
            if self.on_commit is not None:
                self.on_commit(partition)

    def run_patiently(self, partition: Partition) -> None:
        """Read a partition and commit it; again after a pause when the error may pass."""
        for attempt in range(self.plan.options.retries + 1):
            try:
                self.run(partition)
                return
            except Exception as error:
                if attempt == self.plan.options.retries or not may_pass(error):
                    raise
                time.sleep(FIRST_PAUSE * 2**attempt)

    def finish(self) -> Result:
        """Publish what the partitions made: readers see all of it from now on.

        Raises
        ------
        InputError
            If too many sites are in quarantine. The draft stays, so that nothing is read again.
        MovedError
            If another writer published first.
        """
        plan, rules = self.plan, self.plan.options.rules
        notes = [self.draft.notes[partition.name] for partition in plan.partitions]
        before = quality_report(self.location) if self.repository else None
        report = merged_report(before, notes)
        bad = quarantine(report, plan.days, rules)
        refuse_too_many(bad, len(plan.sites), rules)
        changed = sum(int(note["changed"]) for note in notes)
        if changed == 0 and self._as_before() and report.equals(merged_report(before, [])):
            self.draft.abandon()  # the log has no use for a version that is as the one before
            return Result(plan, self.before, 0, len(bad))
        fork = self.draft.fork()
        write_quarantined(fork.store, bad)
        if fork.has_uncommitted_changes:
            self.draft.commit(QUARANTINE, [fork], {})
        properties = {
            "sites": len(plan.sites),
            "quarantined": len(bad),
            "first": str(plan.first),
            "last": str(plan.last),
            "changed": changed,
            "reasons": plan.reasons,
        }
        kept_out = quality_table(bad).assign_attrs(rules=rules_text(rules))
        snapshot = self.draft.publish(
            ", ".join(f"{count} {reason}" for reason, count in plan.reasons.items()),
            properties,
            tables={QUALITY: quality_table(report), QUARANTINE: kept_out},
        )
        return Result(plan, snapshot, changed, len(bad))

    def unchanged(self) -> Result | None:
        """Return what there is, where nothing is to be read and sites are kept out by the same rules."""
        if self.repository is None or self.plan.partitions or not self._same_rules():
            return None
        table = self.repository.table(QUARANTINE)
        return Result(self.plan, self.before, 0, table.sizes.get("finding", 0))

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._workers is not None:
            self._workers.__exit__(*error)

    def _as_before(self) -> bool:
        """Tell whether the draft holds what is published, from the same files and by the same rules."""
        if self.known is None or not self._same_rules():
            return False
        content, table = self.draft.read(STAMPS)
        return content == self.before and stamps_of(table) == self.known.stamps

    def _same_rules(self) -> bool:
        """Tell whether the published version keeps sites out by the rules of this plan."""
        assert self.repository is not None
        try:
            table = self.repository.table(QUARANTINE)
        except KeyError:
            return False
        return bool(table.attrs["rules"] == rules_text(self.plan.options.rules))

    def _start_workers(self, common: Common) -> Workers:
        count = self.plan.workers
        if count == 0:
            return Here(common)
        # The last partitions may leave a processor idle: two threads each keep both busy.
        return Processes(common, count, threads=max(2, (os.cpu_count() or 1) // count))

    def _draft(self, repository: Repository) -> Draft:
        draft = repository.draft(self.key)
        if draft.done <= {PREPARED, QUARANTINE, *(partition.name for partition in self.plan.partitions)}:
            return draft
        draft.abandon()
        return repository.draft(self.key)

    def _template(self, static: xr.Dataset) -> xr.Dataset:
        """Return the store to come, without its values."""
        sample = self.plan.sample
        assert sample is not None
        day = sample.reindex(site=static["site"].values)
        day = conform(described(static, day, tuple(static["site"].values.astype(str))), self.where)
        days = pd.date_range(self.plan.first, self.plan.last, freq="D", unit="ns")
        shape = (day.sizes["site"], len(days))
        series = {
            name: (("site", "time"), np.broadcast_to(np.float32(np.nan), shape), values.attrs)
            for name, values in day.data_vars.items()
            if values.ndim == 2
        }
        whole = day.drop_dims("time").assign_coords(time=days).assign(series)
        return whole.assign_attrs({**static.attrs, **store_attributes(self.spec)})


def ingest_all(
    store: Location | Path | str,
    spec: Mapping[str, Any],
    options: Options | None = None,
    on_wait: Callable[[], None] | None = None,
    run: Callable[[Ingest], Result] | None = None,
) -> Result:
    """Bring a store up to its source.

    Parameters
    ----------
    store : path or location
    spec : mapping
        The source, as :func:`thalweg.storage.sources.find_source` takes it.
    options : Options, optional
    on_wait : function, optional
        Called when another ingest of the store is running on this machine, which is waited for.
    run : function, optional
        Does the work of a plan that has some; :func:`run_here` when None.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        If the source is wrong or got shorter, the store is of another source, or there is no space left.
    """
    location = Location.of(store)
    for attempt in range(REPLANS):
        with only_ingest(location, on_wait), Ingest(location, spec, options or Options()) as ingest:
            if (same := ingest.unchanged()) is not None:
                return same
            try:
                return (run or run_here)(ingest)
            except MovedError:
                if attempt == REPLANS - 1:
                    raise
    raise AssertionError


def run_here(ingest: Ingest) -> Result:
    """Run all partitions of a plan, as many at a time as it has processes, and publish.

    At most one partition for each process is under way that is not committed.
    """
    ingest.start()
    with ThreadPoolExecutor(max(ingest.plan.workers, 1)) as pool:
        futures = [pool.submit(ingest.run_patiently, partition) for partition in ingest.pending]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return ingest.finish()


def _refuse_other(location: Location, dataset: xr.Dataset, spec: Mapping[str, Any]) -> None:
    """Refuse a store of another source; one of fewer sites or files of this source may grow."""
    made_from, wanted = str(dataset.attrs["source"]), source_text(spec)
    before, now = json.loads(made_from), json.loads(wanted)
    few, many = before.pop("sites", None), now.pop("sites", None)
    grown = isinstance(few, list) and (many is None or (isinstance(many, list) and set(few) <= set(many)))
    old, new = (each.pop("path", None) for each in (before, now))
    longer = isinstance(new, list) and set(old if isinstance(old, list) else [old]) <= set(new)
    if before != now or not (few == many or grown) or not (old == new or longer):
        raise InputError(
            f"{location}: made from {made_from}, but {wanted} is asked for; "
            "name another store, or delete this one"
        )
