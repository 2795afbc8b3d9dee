"""Runs in an object store: a folder of runs here that is a copy of them, brought up to date either way.

All that reads and writes runs does so in the folder, by the rules of :mod:`thalweg.storage.run_folder`. Under
the prefix in the object store lie the same files by the same names. What changed here since is sent, what
changed there is taken; nothing is sent or taken twice. ``status.json`` goes last either way: a run that is
``done`` is all there.

The folder is in ``THALWEG_SCRATCH``, else in the user's cache. It may be removed when nothing runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from thalweg.storage import atomic
from thalweg.storage.bucket import Bucket, ConflictError, Entry
from thalweg.storage.location import Location
from thalweg.storage.run_index import HASHED_BYTES, Index, Synced, digest, hashed

HOME = ".mirror"  # in the folder: where it is a copy of, and what of it is the same
STATUS, MANIFEST = "status.json", "manifest.json"
AT_ONCE = 16  # requests
LOCK_SECONDS = 10.0  # to wait for another process of this machine that writes in the same run

PASSING = (".partial", ".part", "checkpoint.previous.pt")  # the object store replaces objects in one step
SHORT_LIVED = ("checkpoint", "evaluation/", "error.txt")  # files of a run that are removed

Wanted = Callable[[str], bool]
Result = TypeVar("Result")


def light(inner: str) -> bool:
    """Tell whether a file of a run is small and told of everywhere, by its place in the run's folder."""
    return "/" not in inner and not inner.endswith(".pt")


def tables(inner: str) -> bool:
    """Tell whether a file is light or a table of the run's evaluation."""
    return light(inner) or (inner.startswith("evaluation/") and inner.count("/") == 1)


def resumed(inner: str) -> bool:
    """Tell whether a file is what a run goes on from."""
    return light(inner) or inner.startswith("checkpoint")


def results(inner: str) -> bool:
    """Tell whether a file is any but a checkpoint."""
    return not inner.startswith("checkpoint")


class Mirror:
    """A folder that is a copy of runs in an object store.

    Parameters
    ----------
    location : of the runs.
    folder : the copy, which is made where it is not there.
    """

    def __init__(self, location: Location, folder: Path) -> None:
        self.location, self.folder = location, folder
        home = folder / HOME
        if not (home / "location.json").exists():
            (home / "locks").mkdir(parents=True, exist_ok=True)
            atomic.write_text(home / "location.json", json.dumps({"location": str(location)}) + "\n")
        self.bucket, self.index = Bucket(location), Index(home / "index.db")

    def key(self, path: Path) -> str:
        """Give the key of a file or folder here."""
        inner = path.absolute().relative_to(self.folder).as_posix()
        return "" if inner == "." else inner

    def pull(self, inner: str = "", wanted: Wanted = light) -> None:
        """Take what changed in the object store, be it that it is gone.

        Runs that a process of this machine writes just now are passed over: they are newer here.
        """
        there, here = self.bucket.listing(inner), self.index.under(inner)
        units: dict[str, list[Entry]] = {unit_of(key): [] for key in here}
        for entry in there:
            if not hidden(entry.key):
                units.setdefault(unit_of(entry.key), []).append(entry)
        known: dict[str, dict[str, Synced]] = {unit: {} for unit in units}
        for key, row in here.items():
            known[unit_of(key)][key] = row
        stale = [unit for unit in units if self._differs(unit, units[unit], known[unit], wanted)]

        def take(unit: str) -> None:
            with self.locked(unit, seconds=0.0) as free:
                if free:
                    self.take(unit, wanted)

        each(take, stale)

    def settle(self, unit: str, wanted: Wanted = resumed) -> None:
        """Make a run the same here and there before somebody works on it; its lock is held.

        Where the object store has it as this machine left it, but for its status, what could not be sent
        before is sent now. Else somebody went on with it elsewhere, and what was not sent is of no use.
        """
        there = {entry.key: entry.etag for entry in self._listed(unit)}
        here = {key: row.etag for key, row in self._known(unit).items()}
        ours = {key: etag for key, etag in here.items() if key != f"{unit}/{STATUS}"}
        missing = [key for key in there if key not in here and wanted(inside(key, unit))]
        if here and not missing and ours.items() <= there.items():
            self.push(unit)
            return
        known = self._known(unit)
        for key, path in self._files(unit).items():
            if key not in known or not self._untouched(known[key]):
                path.unlink(missing_ok=True)
        self.take(unit, wanted)

    def push(self, unit: str, leave: Sequence[str] = ()) -> None:
        """Send what changed here, be it that it is gone; the lock of the run is held.

        Parameters
        ----------
        leave : names of files that are not sent.
        """
        files, known = self._files(unit), self._known(unit)
        left = {f"{unit}/{name}" for name in leave}
        changed = [
            key for key, path in files.items() if key not in left and self._changed(path, known.get(key))
        ]
        # Files are replaced, never changed: an open one stays as it is. A checkpoint must not be newer than
        # the files that tell of its epochs, and these are sent before it.
        last = [(key, _opened(files[key])) for key in changed if inside(key, unit).startswith("checkpoint")]
        status = f"{unit}/{STATUS}"
        others = [key for key in changed if key != status and key not in dict(last)]
        each(lambda key: self._send(key, _opened(files[key])), others)
        for key, file in last:
            self._send(key, file)
        if status in changed:
            self._send(status, _opened(files[status]))
        gone = sorted(key for key in known if key not in files and self._may_go(inside(key, unit), key))
        self.bucket.delete(gone)
        self.index.forget(gone)

    def changed(self, unit: str) -> list[str]:
        """Give the places in a run of the files that are not as the object store has them."""
        known = self._known(unit)
        return [
            inside(key, unit)
            for key, path in self._files(unit).items()
            if self._changed(path, known.get(key))
        ]

    def units(self, folder: str) -> list[str]:
        """Give the runs, trials and other folders under one that are here."""
        root = self.folder / folder
        files = (path for path in root.rglob("*") if path.is_file())
        keys = (self.key(path) for path in files)
        return sorted({unit_of(key) for key in keys if not hidden(key)})

    def remove(self, key: str) -> None:
        """Remove a file or folder here and there."""
        atomic.remove_at_once(self.folder / key)
        # without its status a run is not done, and with its manifest it is still another's
        names = [entry.key for entry in self.bucket.listing(key)] or [key]
        order = {STATUS: 0, MANIFEST: 2}
        self.bucket.delete(sorted(names, key=lambda name: (order.get(PurePosixPath(name).name, 1), name)))
        self.index.forget([*names, *self.index.under(key)])

    @contextmanager
    def locked(self, unit: str, seconds: float = LOCK_SECONDS) -> Iterator[bool]:
        """Keep other processes of this machine from sending or taking the same run; False when one does."""
        name = hashlib.sha256(unit.encode()).hexdigest()[:24]
        deadline = time.monotonic() + seconds
        with (self.folder / HOME / "locks" / name).open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        yield False
                        return
                    time.sleep(0.05)
                else:
                    yield True
                    return

    def _listed(self, unit: str) -> list[Entry]:
        entries = self.bucket.listing(unit)
        return [entry for entry in entries if unit_of(entry.key) == unit and not hidden(entry.key)]

    def _differs(self, unit: str, there: Sequence[Entry], known: dict[str, Synced], wanted: Wanted) -> bool:
        if set(known) - {entry.key for entry in there}:
            return True
        return any(
            entry.key in known and known[entry.key].etag != entry.etag
            if entry.key in known and not wanted(inside(entry.key, unit))
            else wanted(inside(entry.key, unit)) and not self._same(entry, known)
            for entry in there
        )

    def _same(self, entry: Entry, known: dict[str, Synced]) -> bool:
        row = known.get(entry.key)
        return row is not None and row.etag == entry.etag and (self.folder / entry.key).exists()

    def take(self, unit: str, wanted: Wanted) -> None:
        """Take what changed of one run; its lock is held."""
        status = f"{unit}/{STATUS}"
        told = self.bucket.read(status)  # before all else: what it tells of is there then
        there = {entry.key: entry for entry in self._listed(unit)}
        known = self._known(unit)
        gone = [key for key in known if key not in there]
        for key in gone:
            (self.folder / key).unlink(missing_ok=True)
            self._tidy((self.folder / key).parent)
        self.index.forget(gone)
        stale = [
            key
            for key, entry in there.items()
            # what is here is kept fresh, whether it is wanted now or not
            if (wanted(inside(key, unit)) or key in known) and key != status and not self._same(entry, known)
        ]
        whole = sorted({folder for key in stale if (folder := _array_store(key))})
        fetched = [*each(self._fetch, [key for key in stale if not _array_store(key)])]
        fetched += each(lambda folder: self._fetch_folder(folder, there), whole)
        if not all(fetched) or told is None or not wanted(STATUS):
            return  # somebody writes it just now: the next time
        content, entry = told
        if not self._same(entry, known):
            atomic.write_bytes(self.folder / status, content)
            self.note({status: entry.etag})

    def _untouched(self, row: Synced) -> bool:
        try:
            return row.same(self.folder / row.key, (self.folder / row.key).stat())
        except FileNotFoundError:
            return False

    def _tidy(self, folder: Path) -> None:
        """Remove a folder that has become empty, and those that it alone was in."""
        with suppress(OSError):  # it is not empty
            while folder != self.folder:
                folder.rmdir()
                folder = folder.parent

    def _fetch(self, key: str) -> bool:
        path = self.folder / key
        try:
            with atomic.new_path(path) as part:
                entry = self.bucket.fetch(key, part)
        except ConflictError:
            return False
        self.note({key: entry.etag})
        return True

    def _fetch_folder(self, folder: str, there: dict[str, Entry]) -> bool:
        """Take an array store, which changes as a whole."""
        keys = [key for key in there if key.startswith(f"{folder}/")]
        known = self.index.under(folder)
        found: dict[str, str] = {}
        try:
            with atomic.new_path(self.folder / folder) as part:
                for key in keys:
                    place = part / inside(key, folder)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if self._same(there[key], known) and self._untouched(known[key]):
                        os.link(self.folder / key, place)
                        found[key] = there[key].etag
                    else:
                        found[key] = self.bucket.fetch(key, place).etag
        except ConflictError:
            return False
        self.note(found)
        _set_time(self.folder / folder)
        return True

    def _send(self, key: str, file: BinaryIO | None) -> None:
        if file is None:
            return
        with file:
            stat = os.fstat(file.fileno())
            small = stat.st_size <= HASHED_BYTES
            content = file.read() if small else b""
            etag = self.bucket.send(key, content if small else file, stat.st_mtime_ns)
        self.index.put([Synced(key, etag, stat.st_size, stat.st_mtime_ns, hashed(content) if small else "")])

    def _changed(self, path: Path, row: Synced | None) -> bool:
        """Tell whether a file is not as the object store has it; one that is gone by now is not."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            return False
        if row is None or not row.same(path, stat):
            return True
        if row.written != stat.st_mtime_ns:  # written again with the same content
            self.index.put([replace(row, written=stat.st_mtime_ns)])
        return False

    def _may_go(self, inner: str, key: str) -> bool:
        """Tell whether a file that is not here any more is to go there: not what somebody cleared away."""
        store = _array_store(key)
        return inner.startswith(SHORT_LIVED) or bool(store and (self.folder / store / "zarr.json").exists())

    def _known(self, unit: str) -> dict[str, Synced]:
        return {key: row for key, row in self.index.under(unit).items() if unit_of(key) == unit}

    def send_if_known(self, key: str) -> None:
        """Send a small file if the object is still the one known here.

        Raises
        ------
        ConflictError
            When somebody else has written it.
        """
        row = self.index.under(key.rpartition("/")[0]).get(key)
        path = self.folder / key
        content, stat = path.read_bytes(), path.stat()
        etag = self.bucket.write(
            key, content, expected=None if row is None else row.etag, written=stat.st_mtime_ns
        )
        self.index.put([Synced(key, etag, len(content), stat.st_mtime_ns, hashed(content))])

    def note(self, etags: Mapping[str, str]) -> None:
        """Tell that files are the same here and there."""
        rows = []
        for key, etag in etags.items():
            path = self.folder / key
            stat = path.stat()
            rows.append(Synced(key, etag, stat.st_size, stat.st_mtime_ns, digest(path, stat.st_size)))
        self.index.put(rows)

    def _files(self, unit: str) -> dict[str, Path]:
        """Give the files of a run that are to be in the object store too."""
        root = self.folder / unit
        shallow = unit.count("/") == 0 or unit.split("/")[1:] == ["search"]
        paths = root.glob("*") if shallow else root.rglob("*")
        named = ((self.key(path), path) for path in paths if path.is_file())
        found = {key: path for key, path in named if not hidden(key) and unit_of(key) == unit}
        for folder in {folder for key in found if (folder := _array_store(key))}:
            _set_time(self.folder / folder)
        return found


def unit_of(key: str) -> str:
    """Give the folder that one process at a time writes: of a run, of a trial of a search, of neither."""
    parts = key.split("/")
    if len(parts) > 2 and parts[1] == "search":
        return "/".join(parts[:4] if len(parts) > 4 else parts[:2])
    return "/".join(parts[: min(2, len(parts) - 1)])


def inside(key: str, folder: str) -> str:
    """Give the place of a key in a folder."""
    return key[len(folder) + 1 :] if folder else key


def hidden(key: str) -> bool:
    """Tell whether a file stays on its side: half-written ones, locks, and those beside the experiments."""
    parts = key.split("/")
    return len(parts) < 2 or key.endswith(PASSING) or any(part.startswith(".") for part in parts)


def each(work: Callable[[str], Result], items: Sequence[str]) -> list[Result]:
    """Do something with several items at a time."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        return list(pool.map(work, items))


def _array_store(key: str) -> str:
    """Give the folder of the array store that a file is of, or nothing."""
    found = re.match(r"(.*?\.zarr)/", key)
    return found[1] if found else ""


def _set_time(folder: Path) -> None:
    """Give an array store the time of its description, so that copies of it have the same."""
    with suppress(FileNotFoundError):
        written = (folder / "zarr.json").stat().st_mtime_ns
        if folder.stat().st_mtime_ns != written:
            os.utime(folder, ns=(written, written))


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None  # replaced or removed just now: the next time
