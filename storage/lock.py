"""One writer at a time for a store on a local disk.

Icechunk's commits on a file system are not safe against each other: without a lock, of 30 commits that
six processes were told had succeeded, one or two were gone. In an object store its conditional writes do
the same work, and no lock is needed.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from thalweg.storage.location import Location

LOCK = "lock"


@contextmanager
def exclusive(location: Location) -> Iterator[None]:
    """Hold a store for the time of a commit; others wait. The system frees it when a process dies."""
    if location.remote:
        yield
        return
    with (location.path / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
