"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from thalweg.storage import atomic
from thalweg.storage.errors import InputError


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Have the system refuse to let any file of this process grow over ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "note.txt"
    atomic.write_text(path, "one")
    atomic.write_text(path, "zwei ä")
    assert path.read_text(encoding="utf-8") == "zwei ä"
    assert os.listdir(path.parent) == ["note.txt"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for names in (["a", "b"], ["c"]):
        with atomic.new_path(tmp_path / "things") as part:
            part.mkdir()
            for name in names:
                (part / name).touch()
    assert os.listdir(tmp_path) == ["things"]
    assert os.listdir(tmp_path / "things") == ["c"]


def test_a_failed_body_leaves_the_earlier_content(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic.new_path(tmp_path / "things") as part:
            part.mkdir()
            (part / "half").touch()
            raise RuntimeError("broken")

    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "earlier").touch()
    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert os.listdir(tmp_path) == ["things"]
    assert os.listdir(tmp_path / "things") == ["earlier"]


def test_no_room_is_one_clear_line_and_the_earlier_file_is_intact(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    atomic.write_text(path, "earlier")
    with largest_file(1000), pytest.raises(InputError, match=r"big\.txt: no room left on the disk"):
        atomic.write_text(path, "x" * 100_000)
    assert path.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["big.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    atomic.write_text(tmp_path / "a", "earlier")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no room"):
        atomic.write_text(tmp_path / "a", "later")
    assert (tmp_path / "a").read_text() == "earlier"
    assert os.listdir(tmp_path) == ["a"]


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        atomic.write_text(tmp_path / "file" / "below", "text")


def test_what_a_killed_writer_left_is_put_in_order(tmp_path: Path) -> None:
    old, new = tmp_path / ".note.1234.part", tmp_path / ".note.5678.part"
    for leftover in (old, new):
        leftover.write_text("half")
    long_ago = time.time() - 2 * atomic.ABANDONED_AFTER_SECONDS
    os.utime(old, (long_ago, long_ago))
    atomic.write_text(tmp_path / "note", "whole")
    assert sorted(os.listdir(tmp_path)) == [".note.5678.part", "note"], "the young one may be at work"

    (tmp_path / ".box.1.earlier").mkdir()
    (tmp_path / ".box.1.earlier" / "kept").touch()

    def fail() -> None:
        with atomic.new_path(tmp_path / "box"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(tmp_path / "box") == ["kept"]


WRITER = """
import sys
from pathlib import Path
from thalweg.storage import atomic
path, n = Path(sys.argv[1]), 0
while True:
    n += 1
    atomic.write_text(path, (str(n % 10) * 300_000))
    print(n, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    for wait in (0.0, 0.004, 0.011):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(3):
            writer.stdout.readline()
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        text = path.read_text()
        assert len(text) == 300_000
        assert len(set(text)) == 1


def test_out_of_room_sees_through_other_errors() -> None:
    def wrapped() -> None:
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError as error:
            raise ValueError("a library's own words") from error

    def caught(function: Callable[[], None]) -> BaseException:
        with pytest.raises(ValueError) as info:  # noqa: PT011 - any message
            function()
        return info.value

    assert atomic.out_of_room(caught(wrapped))
    assert not atomic.out_of_room(OSError(errno.ENOENT, "absent"))
