"""Folders for passing things. Those whose process was killed are removed by the next one that wants one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "thalweg-"
OWNER = ".owner"  # locked as long as the process lives that made the folder
YOUNG_SECONDS = 60.0  # in which it may not be locked yet


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a new folder for the body, short enough a path for sockets."""
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with (folder / OWNER).open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove the folders of processes that are gone; never one without a sign of whose it was."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / OWNER).open("r+") as owner:
            made = os.fstat(owner.fileno())
            if made.st_uid == os.getuid() and time.time() - made.st_mtime > YOUNG_SECONDS:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where it lives
                shutil.rmtree(folder, ignore_errors=True)
