"""Files and folders that appear whole or not at all, whenever the process may die."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thalweg.storage.errors import InputError

# The disk is full, the user's quota is, or the file is larger than the system lets it be.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# A part this old belongs to a writer that was killed: no file of a run takes an hour to write.
ABANDONED_AFTER_SECONDS = 3600.0


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file in one step: see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` in one step; until then an earlier file stays as it was.

    Raises
    ------
    InputError
        When there is no room on the disk.
    """
    with new_path(path) as part, part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def new_path(path: Path) -> Iterator[Path]:
    """Give a sibling path to write a file or a folder at; it takes the name ``path`` at the end.

    A file replaces an earlier one in one step. For a folder the earlier one is moved aside first, so
    that for an instant there is none; a writer killed then leaves it aside, and the next one puts it
    back. When the body fails the earlier content is untouched. One writer at a time for a folder.

    Raises
    ------
    InputError
        When there is no room on the disk.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path)
        yield part
        _take_name(part, path)
    except BaseException as error:
        remove_path(part)
        if out_of_room(error):
            raise InputError(
                f"{path}: no room left on the disk to write it; what was there is kept"
            ) from error
        raise


def remove_at_once(path: Path) -> None:
    """Remove a folder in one step, or a file: whenever the process may die, no half of it is left."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(f".{path.name}.replaced")
    remove_path(aside)  # of a process that was killed
    path.rename(aside)
    remove_path(aside)


def out_of_room(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it came from, says that the disk or a quota is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        error = error.__cause__ or error.__context__
    return False


def _take_name(part: Path, path: Path) -> None:
    if not (part.is_dir() and path.exists()):
        part.replace(path)
        return
    earlier = part.with_suffix(".earlier")
    path.replace(earlier)
    try:
        part.replace(path)
    except BaseException:
        earlier.replace(path)
        raise
    remove_path(earlier)


def _tidy(path: Path) -> None:
    """Put back what a killed writer had moved aside, and remove the parts it left."""
    for earlier in path.parent.glob(f".{path.name}.*.earlier"):
        if path.exists():
            remove_path(earlier)
        else:
            earlier.replace(path)
    for part in path.parent.glob(f".{path.name}.*.part"):
        try:
            if time.time() - part.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                remove_path(part)
        except OSError:
            continue  # another writer was quicker


def remove_path(path: Path) -> None:
    """Remove a file or a folder; one that is not there is no matter."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
