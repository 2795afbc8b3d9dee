"""A few pages at a time: more would only take turns, each with its tables in memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Seats:
    """Places for those that work now.

    Parameters
    ----------
    number : of places.
    patience : seconds that a place is kept, as by a page that waits for a store which never answers; and
        that somebody waits for one at most.
    """

    def __init__(self, number: int, patience: float) -> None:
        self.number, self.patience = number, patience
        self._since: dict[object, float] = {}
        self._changed = Condition()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a place, and keep it until the end of the block."""
        place = object()
        with self._changed:
            self._changed.wait_for(self._free, self.patience)
            self._since[place] = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                del self._since[place]
                self._changed.notify()

    def _free(self) -> bool:
        earliest = time.monotonic() - self.patience
        return sum(since > earliest for since in self._since.values()) < self.number
