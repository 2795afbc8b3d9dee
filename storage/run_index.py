"""What of a copied folder of runs is as the object store has it: a small database beside the copy."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from os import stat_result
from pathlib import Path

HASHED_BYTES = 8 * 2**20  # larger files are sent again when they were written again
WAIT_SECONDS = 60.0  # for another process that writes


@dataclass(frozen=True)
class Synced:
    """A file as it was when it was last the same here and there.

    Attributes
    ----------
    written : time of the file here (ns).
    digest : hash of the content; empty for large files.
    """

    key: str
    etag: str
    size: int
    written: int
    digest: str = ""

    def same(self, path: Path, there: stat_result) -> bool:
        """Tell whether a file is still the same."""
        if there.st_size != self.size:
            return False
        return there.st_mtime_ns == self.written or bool(
            self.digest and digest(path, self.size) == self.digest
        )


class Index:
    """The database.

    Parameters
    ----------
    path : its file; made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS)) as base:
            base.execute("PRAGMA journal_mode=WAL")
        with self._open() as base:
            base.execute(
                "CREATE TABLE IF NOT EXISTS synced "
                "(key TEXT PRIMARY KEY, etag TEXT, size INTEGER, written INTEGER, digest TEXT)"
            )

    def under(self, folder: str) -> dict[str, Synced]:
        """Give what is known of a folder, by key; of all where it is empty."""
        with self._open() as base:
            # 0 follows / among the characters
            bounds = (f"{folder}/", f"{folder}0") if folder else ("", "\U0010ffff")
            rows = base.execute("SELECT * FROM synced WHERE key >= ? AND key < ?", bounds).fetchall()
        return {row[0]: Synced(*row) for row in rows}

    def put(self, rows: Iterable[Synced]) -> None:
        """Tell what is the same now."""
        values = [(row.key, row.etag, row.size, row.written, row.digest) for row in rows]
        with self._open() as base:
            base.executemany("INSERT OR REPLACE INTO synced VALUES (?, ?, ?, ?, ?)", values)

    def forget(self, keys: Iterable[str]) -> None:
        """Tell what is gone."""
        with self._open() as base:
            base.executemany("DELETE FROM synced WHERE key = ?", [(key,) for key in keys])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS)) as base, base:
            base.execute("PRAGMA synchronous=NORMAL")  # what is forgotten is sent or taken again
            yield base


def digest(path: Path, size: int) -> str:
    """Give the hash of a file's content; empty for a large one, or one that is gone."""
    if size > HASHED_BYTES:
        return ""
    try:
        return hashed(path.read_bytes())
    except OSError:
        return ""


def hashed(content: bytes) -> str:
    """Give the hash of a content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
