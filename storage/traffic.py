"""How many bytes of stores this process has read, as they lie in the store: compressed."""

from __future__ import annotations

from threading import Lock

_lock = Lock()
_bytes = 0


def count(read: int) -> None:
    """Add bytes that were read."""
    global _bytes
    with _lock:
        _bytes += read


def bytes_read() -> int:
    """Give the bytes read since the process began."""
    return _bytes
