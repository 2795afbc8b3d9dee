"""Processes that call functions: replaced when they die, gone when their parent is."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from thalweg.storage.errors import InputError
from thalweg.storage.ingest.workers import Here, Processes, WorkerDiedError


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Lets the processes import this module, whose functions they call."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def test_calls_are_answered_in_other_processes():
    with Processes(2, count=2) as workers:
        assert workers.call(pow, 10) == 1024
        assert workers.call(_process) != os.getpid()
    with Here(2) as here:
        assert here.call(pow, 10) == 1024
        assert here.call(_process) == os.getpid()


def test_an_error_comes_back_with_what_it_came_from():
    with Processes(2, count=1) as workers:
        with pytest.raises(OSError, match="no space") as caught:
            workers.call(_no_space)
        assert isinstance(caught.value, InputError) is False
        assert caught.value.errno == 28
        assert isinstance(caught.value.__cause__, KeyError)
        assert workers.call(pow, 2) == 4


def _kill(common):
    os.kill(os.getpid(), signal.SIGKILL)


def _leave(common):
    os._exit(7)


def _process(common):
    return os.getpid()


def _no_space(common):
    raise OSError(28, "no space") from KeyError("first")


def test_a_killed_worker_is_named_and_replaced():
    with Processes(2, count=1) as workers:
        with pytest.raises(
            WorkerDiedError, match="killed by SIGKILL, as the system does when memory is short"
        ):
            workers.call(_kill)
        with pytest.raises(WorkerDiedError, match="ended with code 7"):
            workers.call(_leave)
        assert workers.call(pow, 2) == 4


def test_all_processes_may_be_killed():
    """Also the one that others are copies of: a new one takes its place."""
    with Processes(2, count=2) as workers:
        before = {workers.call(_process), workers.call(_process)}
        workers._nurseries[0].process.kill()
        workers._nurseries[0].process.wait()
        for _ in range(2):
            with pytest.raises(WorkerDiedError):
                workers.call(_kill)
        assert workers.call(_process) not in before
    deadline = time.monotonic() + 20
    while any(map(_alive, before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_alive, before))


def test_an_end_does_not_wait_for_work():
    with Processes(60.0, count=1) as workers, ThreadPoolExecutor(1) as pool:
        assert workers.call(abs) == 60.0
        sleeping = pool.submit(workers.call, time.sleep)
        time.sleep(0.2)
        begun = time.monotonic()
        workers.__exit__(None, None, None)
        with pytest.raises(WorkerDiedError):
            sleeping.result()
        assert time.monotonic() - begun < 20


def test_workers_leave_with_their_parent():
    code = """
import os
from thalweg.storage.ingest.workers import Processes
workers = Processes(2, count=1)  # in a script without a __main__ guard
print(workers.call(pow, 4), workers._idle.queue[0].pid, workers._nurseries[0].process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    children, deadline = [int(pid) for pid in found.stdout.split()[1:]], time.monotonic() + 20
    while any(map(_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_alive, children))


def _alive(process):
    try:
        with open(f"/proc/{process}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
