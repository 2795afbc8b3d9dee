"""A process that used Icechunk ends well, whatever its threads do just then."""

import subprocess
import sys

import pytest

from thalweg.storage.ingest.pipeline import ingest_all

FOREIGN = """
import _thread, pathlib, sys, time
import thalweg.storage.icechunk

def told(seconds, path):
    time.sleep(seconds)
    pathlib.Path(path).write_text("back")

# unknown to `threading`, as those of Icechunk are
_thread.start_new_thread(told, (float(sys.argv[1]), sys.argv[2]))
time.sleep(0.05)
"""


@pytest.mark.parametrize(("seconds", "returned"), [(0.2, True), (60, False)])
def test_exit_waits_for_a_thread_within_python_but_not_for_ever(seconds, returned, tmp_path):
    path = tmp_path / "back.txt"
    subprocess.run([sys.executable, "-c", FOREIGN, str(seconds), str(path)], check=True, timeout=60)
    assert path.exists() == returned


SLOW = """
import asyncio.selector_events, itertools, sys, time
from thalweg.storage.store import open_store

loop = asyncio.selector_events.BaseSelectorEventLoop
woken, pauses = loop._write_to_self, itertools.cycle((0.01, 0.03, 0.06, 0.1, 0.2))

def slowly(self):
    woken(self)
    time.sleep(next(pauses))

loop._write_to_self = slowly
open_store(sys.argv[1]).load()
"""


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_threads_that_are_slow_to_return_abort_nothing(source, tmp_path, times):
    ingest_all(tmp_path / "a.zarr", source(4))
    for _ in range(times):
        ended = subprocess.run([sys.executable, "-c", SLOW, str(tmp_path / "a.zarr")], check=False)
        assert ended.returncode == 0
