"""Folders that are written beside their place and moved there when they are complete."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from thalweg.storage.atomic import out_of_room
from thalweg.storage.errors import InputError

# On a file system that machines share, a process number means nothing without the machine.
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", platform.node()) or "localhost"


@contextmanager
def written_beside(store: Path) -> Iterator[Path]:
    """Give a folder beside `store` to write into, and move it there when all went well.

    Raises
    ------
    InputError
        If no space is left or the place cannot be written. Nothing is left behind.
    """
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(store)
        partial = store.parent / f".{store.name}.partial-{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            yield partial
            _flush(partial)
            _move(partial, store)
        finally:
            _remove(partial)
    except OSError as problem:
        if out_of_room(problem):
            place = next(folder for folder in store.absolute().parents if folder.is_dir())
            free = shutil.disk_usage(place).free / 1e6
            raise InputError(
                f"{store}: no space left on the disk (only {free:.0f} MB free); nothing was changed"
            ) from problem
        if problem.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise InputError(f"{store}: cannot be written: {problem.strerror}") from problem
        raise


def _remove(partial: Path) -> None:
    """Remove a folder, if it is there, for good."""
    if not partial.exists():
        return
    # Zarr writes many chunks at once: when one fails, those under way still put their files there.
    for pause in (0.0, 0.1, 0.5):
        time.sleep(pause)
        shutil.rmtree(partial, ignore_errors=True)


def _move(partial: Path, store: Path) -> None:
    """Put the complete folder in its place; another process's store that came first stays."""
    try:
        partial.rename(store)
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) or not store.is_dir():
            raise


def _flush(folder: Path) -> None:
    """Ask the system to put a folder's files on the disk, so that a power cut leaves no hollow store."""
    paths = [os.path.join(top, name) for top, _, files in os.walk(folder) for name in [*files, "."]]
    # Hundreds of small files: at once takes a twentieth of the time of one by one.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_flush_one, paths))


def _flush_one(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(store: Path) -> None:
    """Remove partial folders of this machine whose process is gone."""
    for partial in store.parent.glob(f".{store.name}.partial-{_HOST}-*"):
        found = re.search(r"-(\d+)-[0-9a-f]{8}$", partial.name)
        if found and not _alive(int(found[1])):
            shutil.rmtree(partial, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
