"""Wrong guesses are answered later and later."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

FREE = 5  # wrong guesses that cost no time
FIRST_SECONDS = 10.0  # after which the next one may be made; doubled each time
MOST_SECONDS = 900.0
MOST_ADDRESSES = 10_000
EVERYWHERE = "everywhere"
FREE_EVERYWHERE = 100  # of all addresses together: who changes his gets no further


@dataclass
class Throttle:
    """Counts wrong guesses by the address that they came from, and by all together.

    Attributes
    ----------
    clock : gives the time (s).
    """

    clock: Callable[[], float] = time.monotonic
    _wrong: dict[str, tuple[int, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, address: str) -> float:
        """How long this address must not guess yet (s); 0 where it may."""
        with self._lock:
            return max(self._wait(address, FREE), self._wait(EVERYWHERE, FREE_EVERYWHERE))

    def count(self, address: str) -> None:
        """Remember a wrong guess."""
        with self._lock:
            if len(self._wrong) > MOST_ADDRESSES:  # the oldest go
                for old in sorted(self._wrong, key=lambda each: self._wrong[each][1])[: MOST_ADDRESSES // 2]:
                    del self._wrong[old]
            for name in (address, EVERYWHERE):
                count, last = self._wrong.get(name, (0, 0.0))
                forgotten = self.clock() - last > MOST_SECONDS
                self._wrong[name] = (1 if forgotten else count + 1, self.clock())

    def forget(self, address: str) -> None:
        """Somebody guessed right: he is no attacker."""
        with self._lock:
            self._wrong.pop(address, None)

    def _wait(self, name: str, free: int) -> float:
        count, last = self._wrong.get(name, (0, 0.0))
        if count < free:
            return 0.0
        pause = min(FIRST_SECONDS * 2.0 ** min(count - free, 20), MOST_SECONDS)
        return max(0.0, last + pause - self.clock())
