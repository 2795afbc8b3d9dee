"""Who does the reading: processes that are replaced when they die, or this one where there is little."""

from __future__ import annotations

import pickle
import queue
import signal
import socket
import threading
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol

from thalweg.storage.ingest.nursery import Answer, Nursery


class WorkerDiedError(RuntimeError):
    """A worker process ended in the middle of its work: killed, or out of memory."""


class Workers(Protocol):
    """What calls functions somewhere; threads may share it."""

    count: int

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``function(common, *arguments)``, or raise what it raised."""
        ...

    def __enter__(self) -> Workers: ...

    def __exit__(self, *error: Any) -> None: ...


class Here:
    """Calls functions in this process, one after the other: for little work."""

    count = 1

    def __init__(self, common: Any) -> None:
        self._common = common
        self._one = threading.Lock()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``function(common, *arguments)``."""
        with self._one:
            return function(self._common, *arguments)

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error: Any) -> None:
        pass


class Processes:
    """Calls functions in `count` processes; a context that ends them.

    Parameters
    ----------
    common : object
        The first argument of every call: it is sent to each process once.
    count : int
        How many processes.
    threads : int
        Threads that each of them may use to read files and in numerical libraries.
    """

    def __init__(self, common: Any, count: int, threads: int = 1) -> None:
        self.count = count
        self._common = pickle.dumps(common)
        self._threads = threads
        self._nurseries = [Nursery(threads)]
        self._idle: queue.Queue[_Process] = queue.Queue()
        self._closed = False
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        if self._nurseries[-1].process.poll() is not None:
            self._nurseries.append(Nursery(self._threads))
        self._idle.put(_Process(self._nurseries[-1], self._common))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``function(common, *arguments)``, computed by the next process that is free.

        Raises
        ------
        WorkerDiedError
            If the process ended; another one has taken its place.
        """
        process = self._idle.get()
        try:
            result, problems = process.call(function, *arguments)
        except (EOFError, OSError) as problem:
            code = process.end()
            if not self._closed:
                self._start()
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            hint = ", as the system does when memory is short" if code == -signal.SIGKILL else ""
            raise WorkerDiedError(f"a worker process {how}{hint}") from problem
        self._idle.put(process)
        if problems:
            raise _linked(problems)
        return result

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for nursery in self._nurseries:
            nursery.end()


class _Process:
    """One worker and the line to it.

    Attributes
    ----------
    pid : int or None
        Known from the first call on.
    """

    def __init__(self, nursery: Nursery, common: bytes) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            nursery.start(theirs.fileno())
        self.line = Connection(ours.detach())
        self.pid: int | None = None
        self._nursery, self._common = nursery, common

    def call(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        if self.pid is None:
            self.pid = self.line.recv()
            self.line.send_bytes(self._common)
        self.line.send((function, arguments))
        answer: Answer = self.line.recv()
        return answer

    def end(self) -> int:
        """End the worker, which has most probably died, and return its code."""
        self.line.close()
        return self._nursery.process.wait() if self.pid is None else self._nursery.code(self.pid)


def _linked(problems: list[BaseException]) -> BaseException:
    for problem, cause in pairwise(problems):
        problem.__cause__ = cause
    return problems[0]
