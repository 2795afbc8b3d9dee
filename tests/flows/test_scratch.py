"""Folders for passing things: gone at the end, also when their process was killed."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from thalweg.flows import scratch


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


HOLD = """
from thalweg.flows.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "session").mkdir()
    print(folder, flush=True)
    input()
"""


def hold():
    """Have a folder in another process; gives the process and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, Path(process.stdout.readline().strip())


def age(folder):
    long_ago = time.time() - 2 * scratch.YOUNG_SECONDS
    os.utime(folder / scratch.OWNER, (long_ago, long_ago))


def test_a_folder_is_gone_at_the_end(place):
    with scratch.scratch_folder() as folder:
        assert folder.parent == place
        (folder / "x").touch()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_nothing_else(place):
    dead, left = hold()
    living, kept = hold()
    (place / "thalweg-of-somebody").mkdir()  # without a sign of whose it is
    age(kept)
    dead.kill()
    dead.communicate()
    with scratch.scratch_folder():
        assert left.exists()  # it may just be being made
    age(left)
    with scratch.scratch_folder():
        assert not left.exists()
        assert (kept / "session").exists()
    living.communicate("\n")
    assert [path.name for path in place.iterdir()] == ["thalweg-of-somebody"]
