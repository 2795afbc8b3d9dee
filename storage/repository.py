"""A store as an Icechunk repository: what is published, and drafts of what comes next.

Readers see the tip of the branch ``main``, which moves in one step from one published snapshot to the
next. Writers work on a branch of their own, a :class:`~thalweg.storage.draft.Draft`.
"""

from __future__ import annotations

import errno
import shutil
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr
from zarr.errors import GroupNotFoundError

from thalweg.storage.checked import CheckedStore
from thalweg.storage.errors import InputError
from thalweg.storage.faults import explained, lasting, no_store
from thalweg.storage.layout import FORMAT, open_arrays
from thalweg.storage.location import Location
from thalweg.storage.lock import LOCK, exclusive
from thalweg.storage.tables import read_table

if TYPE_CHECKING:
    import icechunk

    from thalweg.storage.draft import Draft

MAIN = "main"
PUBLISHED = "published"  # key of the metadata of a published snapshot
CREATING = 10.0  # s that another process may take to make an empty repository


class Repository:
    """A store's repository.

    Attributes
    ----------
    location : where it is.
    raw : Icechunk's own object.
    """

    def __init__(self, location: Location, raw: icechunk.Repository) -> None:
        self.location, self.raw = location, raw

    @classmethod
    def open(cls, place: Location | Path | str) -> Repository:
        """Open a repository.

        Raises
        ------
        InputError
            If there is none, it is no store of ours, or it cannot be reached.
        """
        from thalweg.storage.icechunk import icechunk, open_repository

        location = Location.of(place)
        _refuse_others(location)
        with explained(location):
            storage = location.storage()
            # The first question that Icechunk asks is answered without a reason when it is refused.
            if location.remote and not icechunk.Repository.exists(storage):
                raise InputError(no_store(location))
            return cls(location, open_repository(storage, local=not location.remote))

    @classmethod
    def create(cls, place: Location | Path | str) -> Repository:
        """Open a repository, made first where there is none.

        Raises
        ------
        InputError
            If something else is there, or the place cannot be written or reached.
        """

        location = Location.of(place)
        with explained(location):
            if location.remote:
                _create_objects(location)
            elif not location.path.exists() or _empty(location.path):
                _create_folder(location)
        return cls.open(location)

    def snapshot(self, ref: str = MAIN) -> str:
        """Return the Icechunk snapshot that a reference means.

        Parameters
        ----------
        ref : ``main``, a tag, the beginning of a content's hash, or an Icechunk snapshot.

        Raises
        ------
        InputError
            If it means none, or several.
        """
        from thalweg.storage.versions import resolve

        with explained(self.location):
            return resolve(self, ref)

    @property
    def published(self) -> bool:
        """Whether there is any version to read."""
        with explained(self.location):
            tip = self.raw.lookup_branch(MAIN)
            return bool(self.raw.lookup_snapshot(tip).metadata.get(PUBLISHED))

    def dataset(self, ref: str = MAIN) -> xr.Dataset:
        """Open a version; values over time are read when they are used.

        Returns
        -------
        xarray.Dataset
            Dims ``(site, time)``, sites in the order of their arrival.

        Raises
        ------
        InputError
            If nothing was published there, or it is of another format.
        """
        store = self.store(ref)
        with explained(self.location):
            try:
                dataset = open_arrays(store)
            except GroupNotFoundError as problem:
                if self.published:
                    raise InputError(
                        f"{self.location} is damaged: its description cannot be read"
                    ) from problem
                raise InputError(
                    f"{self.location}: no ingestion into this store was ever finished; "
                    "run `thalweg ingest` again"
                ) from problem
        found = dataset.attrs.get("format")
        if found != FORMAT or "snapshot" not in dataset.attrs:
            raise InputError(
                f"{self.location}: store of format {found}; format {FORMAT} is needed, ingest it again"
            )
        return dataset[sorted(dataset.data_vars, key=str)]

    def table(self, group: str, ref: str = MAIN) -> xr.Dataset:
        """Read a table beside the data, such as ``quality``.

        Raises
        ------
        KeyError
            If that version has none.
        """
        return read_table(self.store(ref), group)

    def store(self, ref: str = MAIN) -> CheckedStore:
        """Give a Zarr store to read a version with; it can be pickled."""
        return CheckedStore(self.session(ref).store, self.location)

    def session(self, ref: str = MAIN) -> icechunk.Session:
        """Give a session to read a version with; it can be pickled."""
        snapshot = self.snapshot(ref)
        with explained(self.location):
            return self.raw.readonly_session(snapshot_id=snapshot)

    def draft(self, key: str) -> Draft:
        """Give the draft of this name, with what it already holds when ``main`` has not moved since.

        Parameters
        ----------
        key : what is to be written, such as the hash of a plan.
        """
        from thalweg.storage.draft import Draft

        with explained(self.location), exclusive(self.location):
            return Draft.start(self, key)


def _create_objects(location: Location) -> None:
    from thalweg.storage.icechunk import create_repository, icechunk

    storage = location.storage()
    if icechunk.Repository.exists(storage):
        return
    try:
        create_repository(storage)
    except icechunk.IcechunkError as problem:
        if lasting(problem):
            raise
        # another process was first, and may still be at it, or the answer got lost
        deadline = time.monotonic() + CREATING
        while not icechunk.Repository.exists(storage):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _create_folder(location: Location) -> None:
    """Make an empty repository beside its place and move it there; one that came first stays."""
    from thalweg.storage.icechunk import create_repository

    path = location.path
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        part.mkdir(parents=True)
        create_repository(Location(str(part)).storage())
        (part / LOCK).touch()
        part.rename(path)
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _refuse_others(location: Location) -> None:
    """Say what is at a place that holds no repository."""
    if location.remote:
        return
    path = location.path
    if (path / "refs").is_dir():
        return
    if not path.exists() or _empty(path):
        raise InputError(no_store(location))
    if (path / "zarr.json").is_file() and (path / "quality").is_dir():
        raise InputError(f"{location}: store of format 1; format {FORMAT} is needed, ingest it again")
    raise InputError(f"{location}: not a store that `thalweg ingest` made")
