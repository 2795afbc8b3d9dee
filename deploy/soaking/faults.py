"""Faults that are injected, and how one sees that each is over."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from soaking.lab import CommandError, Lab, SecondNode, wait_until
from soaking.source import SITES, Source
from soaking.watch import Watcher

from thalweg.flows.services.processes import Process, family, marked

LOOK_SECONDS = 1.0
_ATTEMPTS = 4
NODE_SECONDS = 30.0
BLOCK = bytes(2**16)


@dataclass
class Told:
    """What came of one fault.

    Attributes
    ----------
    at, healed, recovered : seconds since the beginning; `healed` is when the cause was gone.
    """

    fault: str
    at: float
    detail: str = ""
    healed: float = 0.0
    recovered: float | None = None

    @property
    def took(self) -> float | None:
        """Seconds from when the cause was gone to when all was as before."""
        return None if self.recovered is None else self.recovered - self.healed

    def row(self) -> dict[str, Any]:
        """Give it for scripts."""
        return {**asdict(self), "took": self.took}


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes
    ----------
    inject : does it, and tells what.
    recovered : tells whether all is as it was; made when it is healed.
    hold, heal : after how many seconds the cause is removed, and how; for those that need it.
    """

    inject: Callable[[], str]
    recovered: Callable[[], Callable[[], bool]]
    hold: Callable[[], str] | None = None
    heal: Callable[[], None] | None = None


class Faults:
    """All kinds of faults of one lab, in an order that a seed gives."""

    def __init__(
        self, lab: Lab, source: Source, watcher: Watcher, node: SecondNode | None, seed: int
    ) -> None:
        self.lab, self.source, self.watcher, self.node = lab, source, watcher, node
        self.random = Random(seed)
        self.began = time.monotonic()
        self.told: list[Told] = []
        self.killed: dict[str, int] = {}
        self.kinds: dict[str, Fault] = {
            "worker": self._service("worker"),
            "server": self._service("prefect"),
            "ray-head": self._service("ray"),
            "source-gone": self._source(source.take_away),
            "source-cut": self._source(self._cut),
            "source-withdrawn": self._source(source.withdraw),
        }
        if node is not None:
            self.kinds["ray-node"] = Fault(self._kill_node, self._node_back)
        if os.path.ismount(lab.disk):
            self.kinds["disk"] = Fault(self._fill, self._caught_up, self._ingest_fails, self._free)
        self._filler = lab.disk / "filler"
        self._nodes: set[str] = set()
        self._waiting: list[tuple[Told, Callable[[], bool]]] = []
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True, name="recoveries")
        self._looking.start()

    def cycle(self) -> list[str]:
        """Give all kinds once, in some order."""
        names = sorted(self.kinds)
        self.random.shuffle(names)
        return names

    def happen(self, name: str) -> Told:
        """Let one happen and heal it; when all is well again is seen later."""
        fault = self.kinds[name]
        told = Told(name, self._now())
        told.detail = fault.inject()
        try:
            if fault.hold is not None:
                told.detail += f"; {fault.hold()}"
        finally:
            if fault.heal is not None:
                fault.heal()
        told.healed = self._now()
        self.told.append(told)
        self._waiting.append((told, fault.recovered()))
        say(f"{told.at:6.1f} s  {name}: {told.detail}")
        return told

    def wait(self, seconds: float) -> bool:
        """Wait until all are over; False when one is not in time."""
        deadline = time.monotonic() + seconds
        while self._waiting and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        self._over.set()
        self._looking.join()
        return not self._waiting

    def pending(self, name: str) -> bool:
        """Tell whether a kind of fault is not over yet."""
        return any(told.fault == name for told, _ in self._waiting)

    def _now(self) -> float:
        return round(time.monotonic() - self.began, 1)

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for told, recovered in list(self._waiting):
                with suppress(Exception):
                    if recovered():
                        told.recovered = self._now()
                        self._waiting.remove((told, recovered))
                        say(f"{told.recovered:6.1f} s  {told.fault}: recovered after {told.took:.1f} s")

    def _service(self, name: str) -> Fault:
        return Fault(lambda: self._kill(name), lambda: self._well(name))

    def _kill(self, name: str) -> str:
        """Kill a service as the kernel would; a worker alone, others with all that belongs to them."""
        pid = self.lab.status()["services"][name]["pid"]
        if pid is None:
            return "was down just then"
        found = [process] if (process := Process.of(pid)) else []
        if name != "worker":
            found = [*family(pid), *(marked(f"{self.lab.mark}/{name}") if name == "ray" else [])]
        for process in found:
            process.send(signal.SIGKILL)
        self.killed[name] = self.killed.get(name, 0) + 1
        return f"SIGKILL to {pid}, {len(set(found))} processes"

    def _well(self, name: str) -> Callable[[], bool]:
        killed = self.told[-1].detail.removeprefix("SIGKILL to ").partition(",")[0]

        def recovered() -> bool:
            row = self.lab.status()["services"][name]
            return row["state"] == "healthy" and str(row["pid"]) != killed

        return recovered

    def _kill_node(self) -> str:
        assert self.node is not None
        # it comes back a little later than a head that was killed before
        if not wait_until(lambda: len(self.lab.nodes()) == 2, NODE_SECONDS):
            self._nodes = set()
            return "was not there just then"
        self._nodes = self.lab.nodes()
        return f"SIGKILL to {self.node.kill()}"

    def _node_back(self) -> Callable[[], bool]:
        before = self._nodes
        return lambda: len(now := self.lab.nodes()) == 2 and bool(now - before)

    def _source(self, inject: Callable[[], str]) -> Fault:
        return Fault(inject, self._caught_up, self._ingest_leaves_all, self.source.repair)

    def _cut(self) -> str:
        return self.source.cut(self.random.randrange(len(SITES)), self.random.choice([0.4, 0.9, 0.9995, 1.0]))

    def _ingest_leaves_all(self) -> str:
        """Ingest from what is broken, as the schedule does too: nothing wrong may come of it."""
        before = self.watcher.days()
        self.source.advance()
        said = self.lab.thalweg("ingest", "ingest.yaml", codes=(0, 1, 2), connected=True)
        self.watcher.look()
        if self.watcher.days() < before:
            self.watcher.problems.append(f"{self.source.broken}: days were lost")
        return f"ingest says {last_line(said)!r}"

    def _ingest_fails(self) -> str:
        """Ingest onto the full disk; a scheduled one that ends just then leaves room, which is filled too."""
        for attempt in range(_ATTEMPTS):
            self.source.advance()
            try:
                said = self.lab.thalweg("ingest", "ingest.yaml", codes=(1, 2), connected=True)
            except CommandError:
                if attempt + 1 == _ATTEMPTS:
                    raise
                self._fill()
                continue
            break
        self.watcher.look()
        return f"ingest says {last_line(said)!r}"

    def _caught_up(self) -> Callable[[], bool]:
        days = self.source.days
        return lambda: self.watcher.days() >= days

    def _fill(self) -> str:
        written = 0
        with self._filler.open("ab", buffering=0) as stream:
            try:
                while True:
                    written += stream.write(BLOCK)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return f"{written / 2**20:.0f} MiB written, the disk is full"

    def _free(self) -> None:
        self._filler.unlink()


def say(line: str) -> None:
    """Tell a person; standard output is for what came of it."""
    print(line, file=sys.stderr, flush=True)


def last_line(said: str) -> str:
    """Give the last line that says something of its own."""
    lines = [line.strip() for line in said.splitlines() if any(each.isalnum() for each in line)]
    return next((line[:160] for line in reversed(lines) if not line.startswith("and ")), "")


def as_json(content: object) -> str:
    """Give text for scripts."""
    return json.dumps(content, indent=1)
