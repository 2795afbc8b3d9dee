"""A process that has imported what reading needs, and the workers that are copies of it.

Importing takes more of a processor than reading a partition. It is done once, in a process in which nothing
else ever runs: neither Icechunk nor any other thread of ours is started there, so that copies of it (forks)
are sound. It does not import the caller's main script, as `multiprocessing` would, so that a script may
ingest without a guard against that. All of them are gone when their parent is.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

# What a worker imports; xarray asks for the second and the third as soon as it looks at any array.
IMPORTED = ("thalweg.storage.ingest.partition", "dask.array", "pint")
LEAVING = 2.0  # s that a process is given to end by itself

Answer = tuple[Any, list[BaseException]]  # a result, or an error and what it came from


class Nursery:
    """The process that workers are copies of, and the line to it; threads may share it.

    Parameters
    ----------
    threads : int
        That each worker may use to read files.
    """

    def __init__(self, threads: int) -> None:
        ours, theirs = socket.socketpair()
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), str(threads)],
                env={**os.environ, **single},  # a copy has none of the threads that others start
                stdin=subprocess.PIPE,  # its closing tells the workers that we are gone
                stdout=sys.stderr.fileno() if _has_file(sys.stderr) else subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for us: we end the workers
            )
        self._line, self._one = Connection(ours.detach()), threading.Lock()
        self._line.send(sys.path)

    def start(self, line: int) -> None:
        """Have a worker started at the other end of a line, without waiting for it.

        Its first word is its process.
        """
        with self._one, suppress(OSError):  # it has died, which whoever uses the line will see
            self._line.send(None)
            send_handle(self._line, line, None)

    def code(self, worker: int) -> int:
        """Return the code of a worker that has died; one that has not is ended."""
        with self._one:
            try:
                self._line.send(worker)
                return int(self._line.recv())
            except (EOFError, OSError):
                return self.process.wait()

    def end(self) -> None:
        """End the process and all workers, whatever they do."""
        self._line.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(LEAVING)
        except subprocess.TimeoutExpired:  # it still imports, and has no workers
            self.process.kill()
            self.process.wait()


def _has_file(stream: Any) -> bool:
    try:
        return int(stream.fileno()) >= 0
    except (AttributeError, OSError, ValueError):
        return False


def nurse(descriptor: int, threads: int) -> None:
    """Run in the process that imports: make a worker of each line that comes, until ours is closed."""
    line = Connection(descriptor)
    sys.path[:] = line.recv()
    gc.disable()  # nothing of what is imported is garbage, for the copies neither
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of forking: an allocator has a thread
    workers = set()
    with suppress(EOFError, OSError):
        while True:
            asked = line.recv()
            if asked is None:
                handle = recv_handle(line)
                if (worker := os.fork()) == 0:
                    line.close()
                    _run(handle, threads)
                os.close(handle)
                workers.add(worker)
            else:
                line.send(_ended(asked, LEAVING))
                workers.discard(asked)
    for worker in workers:
        _ended(worker, 0.0)
    os._exit(0)


def _ended(worker: int, patience: float) -> int:
    """End a process if it does not die in some time (s), and return its code as `subprocess` gives it."""
    deadline = time.monotonic() + patience
    while (found := os.waitpid(worker, os.WNOHANG))[0] == 0:
        if time.monotonic() >= deadline:
            os.kill(worker, signal.SIGKILL)
            found = os.waitpid(worker, 0)
            break
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(found[1])


def _run(descriptor: int, threads: int) -> None:
    """Work as a worker until the line is closed, and never return."""
    code = 1
    try:
        _work(Connection(descriptor), threads)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _leave_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _work(line: Connection, threads: int) -> None:
    """Answer calls until the line is closed."""
    import dask

    gc.enable()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    line.send(os.getpid())
    common, spoiled = None, list[BaseException]()
    try:
        common = pickle.loads(line.recv_bytes())
    except EOFError:
        return
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


if __name__ == "__main__":
    importlib.import_module("thalweg.storage.ingest.nursery").nurse(int(sys.argv[1]), int(sys.argv[2]))
