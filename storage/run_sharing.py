"""What those that write runs call so that runs in an object store are there too; for folders it does nothing.

A folder of runs that is the copy of an object store's (:mod:`thalweg.storage.run_mirror`) knows so itself:
whoever has a run's folder need not be told.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from thalweg.storage import atomic
from thalweg.storage.bucket import ConflictError
from thalweg.storage.errors import InputError, UnavailableError, UnsentError
from thalweg.storage.location import Location, endpoint
from thalweg.storage.run_mirror import (
    HOME,
    LOCK_SECONDS,
    Mirror,
    Wanted,
    each,
    inside,
    light,
    resumed,
    unit_of,
)

SCRATCH = "THALWEG_SCRATCH"
LEDGER = "ledger.json"
LOOK_SECONDS = 1.0  # between two looks for a new checkpoint
EVERY_SECONDS = 10.0  # at which all else that changed is sent
LAST_SECONDS = 180.0  # for which the end of a run is tried to be sent
CONFLICTS = 100  # of others that add lines at the same time

Place = tuple[str, str]  # folder of all runs, and the place in it where that is in an object store


def opened(place: Path | str) -> Path:
    """Give the folder to read and write runs in: the folder itself, or the copy of an object store's here.

    Raises
    ------
    InputError
        When the place is neither.
    """
    if "://" not in str(place) and not str(place).startswith("s3:"):
        return Path(place)
    location = Location.of(str(place))
    address = endpoint()
    given = os.environ.get(SCRATCH)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thalweg" / "runs"
    # a home may be shared by machines; the copy is of one
    machine = "" if given else os.uname().nodename
    digest = hashlib.sha256(f"{address} {location} {machine}".encode()).hexdigest()[:10]
    name = "-".join(location.bucket_and_prefix).replace("/", "-")[:60]
    folder = Path(given or cache).expanduser().resolve() / f"{name}-{digest}"
    if not (folder / HOME).is_dir():
        _mirror.cache_clear()  # somebody removed it
    return _mirror(str(location), str(folder), address).folder


def named(path: Path | str) -> str:
    """Give the name of a folder or file as people know it: ``s3://...`` for what is in an object store."""
    mirror = mirror_of(Path(path))
    return str(path) if mirror is None else f"{mirror.location}/{mirror.key(Path(path))}".rstrip("/")


def place_of(folder: Path) -> Place:
    """Give where a run is, for other machines."""
    mirror = mirror_of(folder)
    if mirror is None:
        return str(folder.resolve()), ""
    return str(mirror.location), mirror.key(folder)


def folder_at(place: Place) -> Path:
    """Give the folder of :func:`place_of` on this machine."""
    root, inner = place
    return opened(root) / inner if inner else Path(root)


def mirror_of(path: Path) -> Mirror | None:
    """Give what a folder or file is part of the copy of; None for one that is no copy."""
    path = path.absolute()
    for folder in (path, *path.parents):
        try:
            content = json.loads((folder / HOME / "location.json").read_text(encoding="utf-8"))
        except OSError:
            continue
        return _mirror(content["location"], str(folder), endpoint())
    return None


@lru_cache(maxsize=16)
def _mirror(location: str, folder: str, address: str | None) -> Mirror:
    return Mirror(Location.of(location), Path(folder))


def pull(folder: Path, wanted: Wanted = light) -> None:
    """Take what changed under a folder of runs, of an experiment or of a run."""
    mirror = mirror_of(folder)
    if mirror is not None:
        mirror.pull(mirror.key(folder), wanted)


def written(path: Path) -> int:
    """Give when a file of a run was last written, here or there (ns); 0 where there is none."""
    try:
        here = path.stat().st_mtime_ns
    except OSError:
        here = 0
    mirror = mirror_of(path)
    if mirror is None:
        return here
    key = mirror.key(path)
    there = (entry.written for entry in mirror.bucket.listing(key.rpartition("/")[0]) if entry.key == key)
    return max(here, *there, 0)


def fetch(path: Path) -> None:
    """Take a part of a run that is large, such as an array store, where it is not as it is there."""
    mirror = mirror_of(path)
    if mirror is None:
        return
    unit = unit_of(f"{mirror.key(path)}/x")
    with mirror.locked(unit, seconds=0.0) as free:  # who holds it has all that there is
        if free:
            begin = inside(mirror.key(path), unit)
            mirror.take(unit, lambda inner: inner.startswith(f"{begin}/"))


def push(*folders: Path, whole: bool = False) -> None:
    """Send what changed in the folders of runs, of trials or of experiments.

    Parameters
    ----------
    whole : also the runs and trials in them.
    """
    mirror = mirror_of(folders[0]) if folders else None
    if mirror is None:
        return
    keys = [mirror.key(folder) for folder in folders]
    units = [unit for key in keys for unit in mirror.units(key)] if whole else keys

    def send(unit: str) -> None:
        with mirror.locked(unit):  # a worker that holds on to it is about to end
            mirror.push(unit)

    each(send, units)


def settle(folder: Path) -> None:
    """Make an experiment the same here and there before it is gone on with: see :meth:`Mirror.settle`."""
    mirror = mirror_of(folder)
    if mirror is None:
        return
    mirror.pull(mirror.key(folder))

    def make_same(unit: str) -> None:
        with mirror.locked(unit, seconds=0.0) as free:
            if free and mirror.changed(unit):
                mirror.settle(unit, light)

    each(make_same, mirror.units(mirror.key(folder)))


def remove(path: Path) -> None:
    """Remove a file or folder, in the object store too."""
    mirror = mirror_of(path)
    if mirror is not None:
        mirror.remove(mirror.key(path))
    else:
        atomic.remove_at_once(path)


@contextmanager
def worked_on(folder: Path) -> Iterator[None]:
    """Have a run sent while it is worked on, and at the end.

    At the start what the run goes on from is taken from the object store. A thread sends every new checkpoint
    at once, and now and then all else that changed.

    Raises
    ------
    UnsentError
        When the end could not be sent; all of it is still here, and is sent when the run is taken up again.
    """
    mirror = mirror_of(folder)
    if mirror is None:
        yield
        return
    unit = mirror.key(folder)
    with mirror.locked(unit, seconds=0.0) as free:
        if free:  # else another worker of this machine holds on to it, and all is here
            mirror.settle(unit, resumed)
        sender = _Sender(mirror, unit, held=free)
        sender.start()
        try:
            yield
        except BaseException:
            try:
                sender.finish()
            except (UnavailableError, InputError) as error:
                print(f"{error}; {folder} has all of it", file=sys.stderr, flush=True)
            raise
        sender.finish()


class _Sender(threading.Thread):
    """Sends what changes in a run while it is worked on."""

    def __init__(self, mirror: Mirror, unit: str, *, held: bool) -> None:
        super().__init__(daemon=True, name="sender")
        self.mirror, self.unit, self.held = mirror, unit, held
        self.over = threading.Event()
        self.sent = time.monotonic()
        self.begun = self.superseded = False
        self.told = ""

    def run(self) -> None:
        """Send until it is over."""
        while not self.over.wait(LOOK_SECONDS):
            try:
                self._look()
            except (UnavailableError, InputError) as error:
                if str(error) != self.told:  # all is still here, and tried again
                    self.told = str(error)
                    print(self.told, file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Send what is left."""
        self.over.set()
        self.join()
        deadline = time.monotonic() + LAST_SECONDS
        while not self.superseded:
            try:
                self._send(patience=3 * LOCK_SECONDS)
                return
            except UnavailableError as error:
                if time.monotonic() > deadline:
                    folder = self.mirror.folder / self.unit
                    raise UnsentError(
                        f"{error}: the run is in {folder} of {os.uname().nodename}; the same command sends it"
                    ) from error
                time.sleep(min(10.0, LAST_SECONDS / 10))

    def _look(self) -> None:
        changed = self.mirror.changed(self.unit)
        urgent = not self.begun or any(name.startswith("checkpoint") for name in changed)
        if changed and (urgent or time.monotonic() - self.sent >= EVERY_SECONDS):
            self._send()

    def _send(self, patience: float = 0.0) -> None:
        if self.held:
            self._send_held()
            return
        with self.mirror.locked(self.unit, patience) as free:
            if free or patience:
                self._send_held()

    def _send_held(self) -> None:
        if not self.superseded and self._send_ledger():
            self.mirror.push(self.unit, leave=(LEDGER,))
            self.begun = True
            self.sent = time.monotonic()

    def _send_ledger(self) -> bool:
        """Send the account, which tells whose run it is, the newest attempt's; False where another's."""
        path = self.mirror.folder / self.unit / LEDGER
        while True:
            if not path.exists():
                return True
            try:
                self.mirror.send_if_known(f"{self.unit}/{LEDGER}")
                return True
            except ConflictError:
                theirs = self.mirror.bucket.read(f"{self.unit}/{LEDGER}")
            content = {} if theirs is None else json.loads(theirs[0])
            ours = json.loads(path.read_text(encoding="utf-8"))
            if self.begun:  # a newer attempt has begun elsewhere: let whoever meters this one see it
                self.superseded = True
            else:  # an older one told of itself after we had looked
                content = {**ours, "attempts": [*content.get("attempts", ()), ours["attempts"][-1]]}
            atomic.write_text(path, json.dumps(content, indent=2) + "\n")
            if self.superseded:
                return False
            if theirs is not None:
                self.mirror.note({f"{self.unit}/{LEDGER}": theirs[1].etag})


@contextmanager
def following(folder: Path, wanted: Wanted = light, every: float = EVERY_SECONDS / 2) -> Iterator[None]:
    """Take what changes under a folder now and then, while the body runs."""
    if mirror_of(folder) is None:
        yield
        return
    over = threading.Event()

    def follow() -> None:
        told = ""
        while not over.wait(every):
            try:
                pull(folder, wanted)
            except (UnavailableError, InputError) as error:
                if str(error) != told:
                    told = str(error)
                    print(told, file=sys.stderr, flush=True)

    thread = threading.Thread(target=follow, daemon=True, name="follower")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def lines_shared(path: Path, stream: BinaryIO) -> Iterator[None]:
    """Bring a file to which lines are only ever added up to date, and send the lines that the body adds.

    Parameters
    ----------
    path, stream : the file, and the same open for reading and writing; nobody else here writes to it.
    """
    mirror = mirror_of(path)
    if mirror is None:
        yield
        return
    _merge_lines(mirror, path.name, stream)
    yield
    _merge_lines(mirror, path.name, stream)


def pull_lines(path: Path) -> None:
    """Take the lines that others added to a file."""
    mirror = mirror_of(path)
    if mirror is not None:
        with mirror.locked(path.name), path.open("a+b") as stream:
            _merge_lines(mirror, path.name, stream)


def _merge_lines(mirror: Mirror, key: str, stream: BinaryIO) -> None:
    for _ in range(CONFLICTS):
        there = mirror.bucket.read(key)
        stream.seek(0)
        ours = stream.read()
        theirs, etag = (b"", None) if there is None else (there[0], there[1].etag)
        left = Counter(ours.splitlines()) - Counter(theirs.splitlines())
        added = [line for line in ours.splitlines() if left[line] > 0 and not left.subtract([line])]
        merged = b"".join(line + b"\n" for line in (*theirs.splitlines(), *added))
        try:
            if added:
                mirror.bucket.write(key, merged, expected=etag)
        except ConflictError:
            time.sleep(random.uniform(0.05, 0.5))
            continue
        if merged != ours:
            stream.seek(0)
            stream.truncate()
            stream.write(merged)
            stream.flush()
        return
    raise UnavailableError(f"{mirror.location}/{key}: too many others write to it")
