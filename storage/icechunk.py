"""Icechunk, with its log turned down: what it has to say reaches people as our own errors."""

from __future__ import annotations

import atexit
import inspect
import os
import sys
import threading
import time
from typing import Any

import icechunk

# It warns, at each opening, that a local disk needs a lock. Ours is thalweg.storage.lock.
if "ICECHUNK_LOG" not in os.environ:
    icechunk.set_logs_filter("off")

# Icechunk 1, the last for Python 3.11, knows its format 1 alone, which Icechunk 2 reads and writes too.
_has_formats = "spec_version" in inspect.signature(icechunk.Repository.create).parameters
_FORMAT: dict[str, Any] = {"spec_version": 1} if _has_formats else {}


READ_BYTES = 128 * 1024
EXIT_SECONDS = 0.5


@atexit.register
def _let_threads_return() -> None:
    """Wait, at exit, for Icechunk's threads that are within Python: one that tells its result.

    What it told lets the program go on, and end, before that thread is back; then it wants an interpreter
    that is gone, and aborts the process (https://github.com/PyO3/pyo3-async-runtimes/issues/40).
    """
    deadline = time.monotonic() + EXIT_SECONDS
    own = {thread.ident for thread in threading.enumerate()}
    while sys._current_frames().keys() - own and time.monotonic() < deadline:
        time.sleep(0.001)


def create_repository(storage: icechunk.Storage) -> None:
    """Make an empty repository, of the format that every supported version of Icechunk knows."""
    icechunk.Repository.create(storage, **_FORMAT)


def open_repository(storage: icechunk.Storage, *, local: bool) -> icechunk.Repository:
    """Open a repository; raises Icechunk's own errors."""
    if not local:
        return icechunk.Repository.open(storage)
    # A file as a whole is read by Icechunk in pieces of 8 kB, of the five parts that it makes of each by
    # default each costs a switch of threads: two are fastest, by half again.
    settings = storage.default_settings()
    settings.concurrency = icechunk.StorageConcurrencySettings(2, READ_BYTES)
    return icechunk.Repository.open(storage, icechunk.RepositoryConfig(storage=settings))


__all__ = ["create_repository", "icechunk", "open_repository"]
