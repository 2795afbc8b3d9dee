"""What runs cost: each attempt at a run is metered and kept in the run's ``ledger.json``.

The ledger says too whose run it is: the newest attempt's. A worker that was believed dead, on a node that the
cluster lost sight of, finds another attempt there and stops, so that nothing runs twice for long.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from thalweg.storage import atomic, traffic
from thalweg.storage.errors import InputError
from thalweg.storage.run_folder import now

LEDGER = "ledger.json"
EVERY_SECONDS = 5.0  # what is lost of the account of a worker that is killed


@dataclass
class Cost:
    """What one attempt, one run or a whole experiment took.

    Attributes
    ----------
    wall_seconds : summed over attempts and runs, which may have run side by side.
    gpu_seconds : of the GPUs that were reserved; half a GPU counts half.
    peak_memory, peak_gpu_memory : bytes of the largest worker.
    bytes_read : of the store, as they lie there, compressed.
    samples : windows that training was shown, repeated ones included.
    training_seconds, waiting_seconds : in which it was trained, and those of them spent waiting for data.
    attempts : how often it was begun.
    """

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    peak_memory: int = 0
    peak_gpu_memory: int = 0
    bytes_read: int = 0
    samples: int = 0
    training_seconds: float = 0.0
    waiting_seconds: float = 0.0
    attempts: int = 0

    @property
    def waiting_share(self) -> float | None:
        """The share of the training time that went into waiting for data."""
        return self.waiting_seconds / self.training_seconds if self.training_seconds else None

    @property
    def samples_per_second(self) -> float | None:
        """Windows a second of training."""
        return self.samples / self.training_seconds if self.training_seconds else None

    def summary(self) -> dict[str, Any]:
        """Give all of it for scripts."""
        rates = {"waiting_share": self.waiting_share, "samples_per_second": self.samples_per_second}
        return {**asdict(self), **rates}


class Gauge:
    """Measures what this process takes from now on."""

    def __init__(self, gpus: float = 0.0) -> None:
        self.gpus = gpus
        self._begun = (time.perf_counter(), time.process_time(), traffic.bytes_read())
        _forget_peaks()

    def read(self, cost: Cost) -> Cost:
        """Set what was taken so far."""
        wall, cpu, read = self._begun
        cost.wall_seconds = time.perf_counter() - wall
        cost.cpu_seconds = time.process_time() - cpu
        cost.gpu_seconds = self.gpus * cost.wall_seconds
        cost.peak_memory, cost.peak_gpu_memory = _peak_memory(), _peak_gpu_memory()
        cost.bytes_read = traffic.bytes_read() - read
        return cost


class Meter:
    """Measures one attempt at a run, as a context; a thread keeps the account in the folder meanwhile.

    Attributes
    ----------
    helpers : what other workers that train the same model have told that they took so far.
    superseded : whether another attempt has taken the run over; the body is then interrupted.
    """

    def __init__(self, folder: Path, gpus: float = 0.0, *, every: float = EVERY_SECONDS) -> None:
        self.folder, self.gpus, self.every = folder, gpus, every
        self.attempt = {"id": uuid.uuid4().hex[:12], "started": now(), "host": os.uname().nodename}
        self.cost = Cost(attempts=1)
        self.helpers: Sequence[Cost] = ()
        self.superseded = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="ledger")

    def __enter__(self) -> Meter:
        self._gauge = Gauge(self.gpus)
        self._write([*_attempts(self.folder), self._entry()])
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._keep()

    def count(self, samples: int, seconds: float, waiting: float) -> None:
        """Add training: windows shown, the time it took, and how much of that was waiting (s)."""
        self.cost.samples += samples
        self.cost.training_seconds += seconds
        self.cost.waiting_seconds += waiting

    def _watch(self) -> None:
        while not self._over.wait(self.every):
            if not self._keep():
                # to the thread itself, which may be asleep
                signal.pthread_kill(cast(int, threading.main_thread().ident), signal.SIGINT)
                return

    def _keep(self) -> bool:
        """Write the account so far; False when the run is another attempt's by now."""
        attempts = _attempts(self.folder)
        if attempts and attempts[-1].get("id") != self.attempt["id"]:
            self.superseded = True
            return False
        with suppress(OSError, InputError):  # no account is worth a run
            self._write([*attempts[:-1], self._entry()])
        return True

    def _entry(self) -> dict[str, Any]:
        own = self._gauge.read(self.cost)
        everything = total((own, *self.helpers))
        # the others worked in the same time, and their windows were counted
        everything.wall_seconds = own.wall_seconds
        return {**self.attempt, **_rounded(everything)}

    def _write(self, attempts: list[dict[str, Any]]) -> None:
        content = {"total": total(map(_cost, attempts)).summary(), "attempts": attempts}
        atomic.write_text(self.folder / LEDGER, json.dumps(content, indent=2) + "\n")


def cost_of(folder: Path) -> Cost | None:
    """Give what a run took, over all attempts at it; None where nothing is known."""
    attempts = _attempts(folder)
    return total(map(_cost, attempts)) if attempts else None


def silent_seconds(folder: Path) -> float | None:
    """Give how long ago a run's ledger was written (s); None where there is none."""
    try:
        return max(0.0, time.time() - (folder / LEDGER).stat().st_mtime)
    except OSError:
        return None


def total(costs: Iterable[Cost]) -> Cost:
    """Add up what several took; of peaks the highest counts."""
    found = Cost()
    for cost in costs:
        for field in fields(Cost):
            values = (getattr(found, field.name), getattr(cost, field.name))
            setattr(found, field.name, max(values) if field.name.startswith("peak") else sum(values))
    return found


def _attempts(folder: Path) -> list[dict[str, Any]]:
    """Give what the ledger has of each attempt, the newest last; nothing where it cannot be read."""
    try:
        found = json.loads((folder / LEDGER).read_text(encoding="utf-8"))["attempts"]
        return [each for each in found if isinstance(each, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _cost(attempt: Mapping[str, Any]) -> Cost:
    found = Cost()
    for field in fields(Cost):
        value = attempt.get(field.name)
        if isinstance(value, int | float):
            setattr(found, field.name, value)
    return found


def _rounded(cost: Cost) -> dict[str, Any]:
    return {
        key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(cost).items()
    }


def _forget_peaks() -> None:
    """Let peaks count from now: a worker may have run other cells before."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _peak_memory() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # not Linux: the peak of the process, whatever it ran before
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peak_gpu_memory() -> int:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.max_memory_allocated())
