"""A prefix of an object store as a place for files, read and written whole, on conditions where asked.

Requests that fail are sent again with growing pauses; what fails to the end is one clear line.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.faults import DENIED, WRONG_KEY
from thalweg.storage.location import Location, endpoint, region

if TYPE_CHECKING:
    from obstore.store import S3Config

RETRIES = 8
RETRY_SECONDS = 60.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
REQUEST_SECONDS = 60.0
PIECE_BYTES = 16 * 2**20  # of one request: slow lines must get it within REQUEST_SECONDS
WRITTEN = "mtime-ns"  # metadata of an object: when its file was written


class ConflictError(Exception):
    """The object is not, or no longer, what it was believed to be."""


@dataclass(frozen=True)
class Entry:
    """An object.

    Attributes
    ----------
    key : its place under the prefix.
    etag : changes with the content.
    written : when the object store took it (ns).
    """

    key: str
    etag: str
    size: int
    written: int


class Bucket:
    """A prefix of an object store.

    Parameters
    ----------
    location : in an object store.
    """

    def __init__(self, location: Location) -> None:
        from obstore.store import S3Store

        self.location = location
        bucket, prefix = location.bucket_and_prefix
        address = endpoint()
        config: S3Config = {"region": region()}
        if address is not None:
            config["endpoint"] = address
        self._store = S3Store(
            bucket,
            prefix=prefix,
            config=config,
            client_options={
                "allow_http": address is not None and address.startswith("http://"),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
                "connect_timeout": timedelta(seconds=REQUEST_SECONDS / 6),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=RETRY_SECONDS),
                "backoff": {
                    "init_backoff": timedelta(seconds=FIRST_PAUSE_SECONDS),
                    "max_backoff": timedelta(seconds=LONGEST_PAUSE_SECONDS),
                    "base": 2,
                },
            },
        )

    def listing(self, inner: str = "") -> list[Entry]:
        """Give all objects under a folder of the prefix."""
        import obstore

        with self._explained(inner):
            return [
                _entry(meta["path"], meta)
                for batch in obstore.list(self._store, inner or None)
                for meta in batch
            ]

    def read(self, key: str) -> tuple[bytes, Entry] | None:
        """Give a small object's content, or None where there is none."""
        import obstore

        with self._explained(key):
            try:
                found = obstore.get(self._store, key)
                return bytes(found.bytes()), _entry(key, found.meta)
            except FileNotFoundError as error:
                _refuse_no_bucket(self.location, error)
                return None

    def fetch(self, key: str, path: Path) -> Entry:
        """Write an object to a new file, with the time at which the file that it came from was written.

        Raises
        ------
        ConflictError
            When it is gone, or changed meanwhile.
        """
        import obstore
        from obstore.exceptions import PreconditionError

        with self._explained(key), path.open("wb") as file:
            try:
                whole = obstore.get(self._store, key)
                meta, etag = whole.meta, _etag(whole.meta)
                if meta["size"] <= PIECE_BYTES:
                    file.write(whole.bytes())
                else:
                    for start in range(0, meta["size"], PIECE_BYTES):
                        piece = (start, min(start + PIECE_BYTES, meta["size"]))
                        got = obstore.get(self._store, key, options={"range": piece, "if_match": etag})
                        file.write(got.bytes())
            except (FileNotFoundError, PreconditionError) as error:
                raise ConflictError(key) from error
        entry = _entry(key, meta)
        written = str(whole.attributes.get(WRITTEN, ""))
        os.utime(path, ns=(entry.written, int(written) if written.isdecimal() else entry.written))
        return entry

    def write(self, key: str, content: bytes, *, expected: str | None, written: int | None = None) -> str:
        """Write an object if it is as expected; gives its etag.

        Parameters
        ----------
        written : when the file was written (ns); now where it is none.
        expected : its etag until now; None where there is to be none.

        Raises
        ------
        ConflictError
            When it is not as expected.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if expected is None else {"e_tag": expected}
        with self._explained(key):
            try:
                attributes = {WRITTEN: str(time.time_ns() if written is None else written)}
                return _etag(obstore.put(self._store, key, content, mode=mode, attributes=attributes))
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
                if isinstance(error, FileNotFoundError):
                    _refuse_no_bucket(self.location, error)
                raise ConflictError(key) from error

    def send(self, key: str, file: IO[bytes] | bytes, written: int) -> str:
        """Write a file, whatever was there; gives its etag.

        Parameters
        ----------
        written : when the file was written (ns).
        """
        import obstore

        with self._explained(key):
            put = obstore.put(
                self._store, key, file, attributes={WRITTEN: str(written)}, chunk_size=PIECE_BYTES // 2
            )
            return _etag(put)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, one after the other; those that are not there are no matter."""
        import obstore

        for key in keys:
            with self._explained(key):
                obstore.delete(self._store, key)

    @contextmanager
    def _explained(self, inner: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except BaseError as problem:
            raise _error(f"{self.location}/{inner}".rstrip("/"), self.location, problem) from problem
        except FileNotFoundError as problem:
            _refuse_no_bucket(self.location, problem)
            raise


def _entry(key: str, meta: Any) -> Entry:
    return Entry(key, _etag(meta), meta["size"], int(meta["last_modified"].timestamp() * 1e9))


def _etag(meta: Any) -> str:
    return str(meta["e_tag"] or "")


def _refuse_no_bucket(location: Location, problem: Exception) -> None:
    if "NoSuchBucket" in str(problem):
        raise InputError(f"{location}: no such bucket; make it first") from problem


def _error(where: str, location: Location, problem: Exception) -> Exception:
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    text = str(problem)
    code = re.search(r"<Code>(\w+)</Code>", text) or re.search(r"status code: (\d+ [\w ]*\w)", text)
    cause = code[1] if code else text.splitlines()[0].rpartition(": ")[2][:200]
    _refuse_no_bucket(location, problem)
    if re.search(WRONG_KEY, text) or isinstance(problem, UnauthenticatedError):
        return InputError(f"{where}: wrong credentials; see AWS_ACCESS_KEY_ID ({cause})")
    if re.search(DENIED, text) or isinstance(problem, PermissionDeniedError):
        return InputError(f"{where}: permission denied; ask for the right to use it ({cause})")
    if (
        re.search(r"missing|credential|169\.254", text, re.IGNORECASE)
        and "AWS_ACCESS_KEY_ID" not in os.environ
    ):
        return InputError(
            f"{where}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({cause})"
        )
    return UnavailableError(f"{where}: {endpoint() or 'S3'} did not answer, or only with errors ({cause})")
