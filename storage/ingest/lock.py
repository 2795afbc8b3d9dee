"""One ingest of a store at a time on one machine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thalweg.storage.faults import explained
from thalweg.storage.location import Location


@contextmanager
def only_ingest(location: Location, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a store for the time of an ingest; others wait, and then find little left to do.

    The system frees it when the process dies. An object store is not held: there two ingests at a time
    do the same work, and one of them publishes it.

    Parameters
    ----------
    location : Location
    on_wait : function, optional
        Called before waiting.
    """
    if location.remote:
        yield
        return
    folder = location.path
    with explained(location):
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        held = _lock(folder, on_wait)
    try:
        yield
    except BaseException:
        if made:
            with suppress(OSError):  # there is something in it
                folder.rmdir()
        raise
    finally:
        os.close(held)


def _lock(folder: Path, on_wait: Callable[[], None] | None) -> int:
    """Lock a folder, which needs no file in it, and return its descriptor."""
    while True:
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
                on_wait = None
            fcntl.flock(held, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.fstat(held).st_ino == os.stat(folder).st_ino:
                return held
        os.close(held)  # whoever held it has removed the folder
        folder.mkdir(parents=True, exist_ok=True)
