"""A store to read from, which says in one line what is damaged or out of reach.

Values are read long after a store was opened, and far from it. What goes wrong then is explained here, where
the key, thus the variable and its chunk, is known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from zarr.storage import WrapperStore

from thalweg.storage import traffic
from thalweg.storage.errors import InputError
from thalweg.storage.faults import explained
from thalweg.storage.location import Location

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

CHUNK = re.compile(r"(.+)/c/(\d+(?:/\d+)*)")  # every chunk of a store ends in a checksum


class CheckedStore(WrapperStore[Any]):
    """Reads from another store; errors become one line, and each chunk's checksum is compared."""

    def __init__(self, store: Any, location: Location) -> None:
        super().__init__(store)
        self.location = location

    def _with_store(self, store: Any) -> CheckedStore:
        return type(self)(store, self.location)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Give what is stored under a key.

        Raises
        ------
        InputError
            When it is damaged, not allowed, or out of reach.
        """
        with explained(self.location, _what(key)):
            found: Buffer | None = await self._store.get(key, prototype, byte_range)
        traffic.count(0 if found is None else len(found))
        if found is not None and byte_range is None and CHUNK.fullmatch(key):
            _compare(found, f"{self.location}: {_what(key)}")
        return found


def _compare(content: Buffer, what: str) -> None:
    data = content.as_numpy_array()
    stored = data[-4:].tobytes()
    if np.uint32(google_crc32c.value(data[:-4])).tobytes() != stored:
        raise InputError(
            f"{what} is damaged: its checksum is not that of its content; restore the store from a copy, "
            "or delete it and ingest again"
        )


def _what(key: str) -> str:
    """Say what lies under a key."""
    if found := CHUNK.fullmatch(key):
        return f"chunk {found[2]} of {found[1]}"
    return key.removesuffix("zarr.json").rstrip("/")
