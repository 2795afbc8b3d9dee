"""Processes that do the reading: started fresh, replaced when they die, gone when their parent is.

They are never forked: Icechunk's threads would hang the child. They do not import the caller's main
script either, as `multiprocessing` would, so that a script may ingest without an ``if __name__`` guard.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol

Answer = tuple[Any, list[BaseException]]  # a result, or an error and what it came from


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
        self._idle: queue.Queue[_Process] = queue.Queue()
        self._all: set[_Process] = set()
        self._closed = False
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        process = _Process(self._threads, self._common)
        self._all.add(process)
        self._idle.put(process)

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
            self._all.discard(process)
            code = process.end(patience=2.0)
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
        for process in list(self._all):
            process.end()


class _Process:
    """One process and the line to it."""

    def __init__(self, threads: int, common: bytes) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), str(threads)],
                env=environment,
                stdin=subprocess.PIPE,  # its closing tells the worker that we are gone
                stdout=sys.stderr.fileno() if _has_file(sys.stderr) else subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for us: we end the workers
            )
        self.line = Connection(ours.detach())
        self.line.send((sys.path, common))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        self.line.send((function, arguments))
        answer: Answer = self.line.recv()
        return answer

    def end(self, patience: float = 0.0) -> int:
        """End the process, whatever it does, and return its code; one that dies is given `patience` (s)."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
        code = self.process.wait()
        self.line.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return code


def _has_file(stream: Any) -> bool:
    try:
        return int(stream.fileno()) >= 0
    except (AttributeError, OSError, ValueError):
        return False


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _work(descriptor: int, threads: int) -> None:
    """Run in the process: answer calls until the line is closed."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    line = Connection(descriptor)
    path, packed = line.recv()
    sys.path[:] = path
    import dask

    common, spoiled = None, list[BaseException]()
    try:
        common = pickle.loads(packed)  # imports what the calls need, before the first of them
    except Exception as problem:
        spoiled = _sendable(problem)
    with dask.config.set(scheduler="threads", num_workers=threads):
        while True:
            try:
                function, arguments = line.recv()
            except EOFError:
                return
            except Exception as problem:  # what was sent cannot be imported here
                line.send((None, _sendable(problem)))
                continue
            line.send((None, spoiled) if spoiled else _answer(function, common, *arguments))


def _answer(function: Callable[..., Any], *arguments: Any) -> Answer:
    try:
        return function(*arguments), []
    except Exception as problem:
        return None, _sendable(problem)


def _sendable(problem: BaseException | None) -> list[BaseException]:
    """Return an error and what it came from; pickling alone would lose the latter."""
    found: list[BaseException] = []
    while problem is not None:
        try:
            pickle.loads(pickle.dumps(problem))
            found.append(problem)
        except Exception:
            found.append(RuntimeError(f"{type(problem).__name__}: {problem}"))
        problem = problem.__cause__ or problem.__context__
    return found


def _linked(problems: list[BaseException]) -> BaseException:
    for problem, cause in pairwise(problems):
        problem.__cause__ = cause
    return problems[0]


if __name__ == "__main__":
    _work(int(sys.argv[1]), int(sys.argv[2]))
