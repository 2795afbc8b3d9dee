"""A version of a store in the making: a branch that only its writer sees, until it is published."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import xarray as xr
import zarr

from thalweg.storage import layout
from thalweg.storage.faults import explained
from thalweg.storage.flush import flush
from thalweg.storage.lock import exclusive
from thalweg.storage.repository import MAIN, PUBLISHED, Repository
from thalweg.storage.snapshot import combined_hash
from thalweg.storage.tables import read_table, write_table

if TYPE_CHECKING:
    import icechunk

PREFIX = "draft-"
HASHES = "hashes"  # the group with the hash of each site's year
ATTEMPTS = 20

Result = TypeVar("Result")


class MovedError(RuntimeError):
    """Another writer published first: what is to be written must be planned again."""


class Draft:
    """A version in the making. Made by :meth:`thalweg.storage.repository.Repository.draft`.

    Attributes
    ----------
    base : the snapshot of ``main`` that it started from.
    notes : partition -> the note that was committed with it.
    """

    def __init__(self, repository: Repository, key: str, base: str) -> None:
        self.repository, self.branch, self.base = repository, PREFIX + key, base
        self.notes: dict[str, Mapping[str, Any]] = {}

    @property
    def mark(self) -> list[str]:
        """What each of its commits carries: the branch and the base."""
        return [self.branch, self.base]

    @classmethod
    def start(cls, repository: Repository, key: str) -> Draft:
        """Start a draft, or resume the one that is there. To be called under the lock."""
        from thalweg.storage.icechunk import icechunk

        raw = repository.raw
        draft = cls(repository, key, raw.lookup_branch(MAIN))
        if draft.branch in raw.list_branches():
            if draft._resume():
                return draft
            raw.delete_branch(draft.branch)
        try:
            raw.create_branch(draft.branch, draft.base)
        except icechunk.IcechunkError:
            # made by another process, or by this one when the answer of an object store got lost
            if draft.branch not in raw.list_branches() or raw.lookup_branch(draft.branch) != draft.base:
                raise
        return draft

    @property
    def done(self) -> frozenset[str]:
        """The partitions that are committed."""
        return frozenset(self.notes)

    def prepare(self, template: xr.Dataset) -> None:
        """Make or resize the arrays, and write all that is not over time: one commit, or none.

        Parameters
        ----------
        template : as :func:`thalweg.storage.layout.allocate` takes it.
        """

        def write(session: icechunk.Session) -> None:
            layout.allocate(session.store, template)

        self._commit("prepare", {"step": "prepare"}, write)

    def fork(self) -> icechunk.ForkSession:
        """Give a writable session that can be pickled, for a thread or a spawned process.

        Raises
        ------
        MovedError
            When another process published or abandoned this draft.
        """
        with self._while_there():
            return self.repository.raw.writable_session(self.branch).fork()

    def commit(
        self,
        partition: str,
        sessions: Iterable[icechunk.ForkSession],
        note: Mapping[str, Any],
        tables: Mapping[str, xr.Dataset] | None = None,
    ) -> None:
        """Commit what the sessions wrote, as one partition.

        Parameters
        ----------
        partition : name.
        sessions : forks of this draft, come back from where they were written to; also of an earlier
            state of it, when no other wrote the same chunks.
        note : JSON, kept with the commit.
        tables : group -> a part of it, as :func:`thalweg.storage.tables.write_table` takes it; the hashes
            of :func:`thalweg.storage.snapshot.year_hashes` belong to the group ``hashes``.

        Raises
        ------
        MovedError
            When another process published or abandoned this draft.
        """
        forks = list(sessions)

        def write(session: icechunk.Session) -> None:
            session.merge(*forks)
            for group, table in (tables or {}).items():
                write_table(session.store, group, table)

        self._commit(partition, {"partition": partition, "note": dict(note)}, write)
        self.notes[partition] = dict(note)

    def publish(
        self,
        message: str,
        properties: Mapping[str, Any],
        tables: Mapping[str, xr.Dataset] | None = None,
    ) -> str:
        """Make the draft the version that readers see, in one step.

        Parameters
        ----------
        message : one line, for the log.
        properties : JSON, kept with the version.
        tables : as :meth:`commit` takes them.

        Returns
        -------
        str : the content's hash.

        Raises
        ------
        MovedError
            When another writer published since this draft was started. The draft is left.
        """
        content = ""
        properties = dict(properties)

        def write(session: icechunk.Session) -> None:
            nonlocal content
            for group, table in (tables or {}).items():
                write_table(session.store, group, table)
            arrays = layout.open_arrays(session.store)
            content = combined_hash(arrays, read_table(session.store, HASHES))
            zarr.open_group(session.store, mode="r+").attrs["snapshot"] = content
            properties["snapshot"] = content

        tip = self._commit(message, {PUBLISHED: True, "properties": properties}, write)
        self._move_main(tip)
        return content

    def read(self, group: str) -> tuple[str, xr.Dataset]:
        """Return the hash of the content that it has now, and a table."""
        with self._while_there():
            store = self.repository.raw.readonly_session(branch=self.branch).store
            content = combined_hash(layout.open_arrays(store), read_table(store, HASHES))
            return content, read_table(store, group)

    def abandon(self) -> None:
        """Remove the draft; what it wrote is garbage for `thalweg data clean`."""
        with explained(self.repository.location), exclusive(self.repository.location):
            if self.branch in self.repository.raw.list_branches():
                self.repository.raw.delete_branch(self.branch)

    def _resume(self) -> bool:
        """Take up what is committed; False when it is of another base."""
        raw = self.repository.raw
        tip = raw.lookup_branch(self.branch)
        for commit in raw.ancestry(snapshot_id=tip):
            if commit.id == self.base:
                return True
            if commit.metadata.get("draft") != self.mark:
                return False
            if commit.metadata.get(PUBLISHED):  # killed before main moved: the version is made anew
                assert commit.parent_id is not None
                raw.reset_branch(self.branch, commit.parent_id, from_snapshot_id=commit.id)
            if partition := commit.metadata.get("partition"):
                self.notes.setdefault(str(partition), commit.metadata["note"])
        return False

    def _commit(
        self,
        message: str,
        metadata: dict[str, Any],
        write: Callable[[icechunk.Session], None],
    ) -> str:
        """Write and commit at the draft's tip; again when another writer of it came first.

        Where nothing was written, nothing is committed.
        """
        from thalweg.storage.icechunk import icechunk

        location, raw = self.repository.location, self.repository.raw
        metadata |= {"draft": self.mark, "mine": uuid.uuid4().hex}
        for _ in range(ATTEMPTS):
            with self._while_there(), exclusive(location):
                session = raw.writable_session(self.branch)
                write(session)
                if not session.has_uncommitted_changes:
                    return session.snapshot_id
                try:
                    return session.commit(message, metadata)
                except icechunk.ConflictError:
                    tip = raw.lookup_snapshot(raw.lookup_branch(self.branch))
                    if tip.metadata.get("mine") == metadata["mine"]:
                        return tip.id  # it was done, and the answer of an object store got lost
        raise MovedError(f"{location}: other processes write the same update")

    @contextmanager
    def _while_there(self) -> Iterator[None]:
        """Explain errors; whatever fails because another process ended this draft is a MovedError."""
        from thalweg.storage.icechunk import icechunk

        location, raw = self.repository.location, self.repository.raw
        with explained(location):
            try:
                yield
            except icechunk.IcechunkError as problem:
                if self.branch in raw.list_branches():
                    raise
                raise MovedError(f"{location}: another process finished this update") from problem

    def _move_main(self, tip: str) -> None:
        from thalweg.storage.icechunk import icechunk

        location, raw = self.repository.location, self.repository.raw
        with explained(location), exclusive(location):
            flush(location)
            try:
                raw.reset_branch(MAIN, tip, from_snapshot_id=self.base)
            except (icechunk.IcechunkError, icechunk.ConflictError) as problem:
                if raw.lookup_branch(MAIN) == tip:  # the answer to a request that was done got lost
                    pass
                elif "conflict" in str(problem):
                    raise MovedError(f"{location}: another writer published a version") from problem
                else:
                    raise
            flush(location)
            if self.branch in raw.list_branches():
                raw.delete_branch(self.branch)
