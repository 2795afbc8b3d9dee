"""Processes of this machine: whether one is the one we mean, what belongs to it, and ending it.

A number alone does not name a process: the system gives it to another one later. Number and time of start
do. What a service starts in turn is found by a mark in its environment, which children inherit.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MARK = "THALWEG_SERVICE"
PAGE = os.sysconf("SC_PAGE_SIZE")
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Process:
    """A process: its number, and when it was started in ticks since the machine was."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Give the process that has a number now, or None."""
        fields = _stat(pid)
        return None if fields is None else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return Process.of(self.pid) == self

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.alive():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)


def _stat(pid: int) -> list[str] | None:
    """Give the fields of ``/proc/PID/stat`` after the name; None where it has ended."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields


def _all() -> list[int]:
    return [int(folder.name) for folder in PROC.glob("[0-9]*")] if PROC.is_dir() else []


def family(pid: int) -> list[Process]:
    """Give a process and all that descends from it."""
    parents: dict[int, list[Process]] = {}
    found: list[Process] = []
    for each in _all():
        fields = _stat(each)
        if fields is not None:
            process = Process(each, int(fields[19]))
            parents.setdefault(int(fields[1]), []).append(process)
            if each == pid:
                found.append(process)
    for process in found:  # it grows
        found += parents.get(process.pid, [])
    return found


def session(pid: int) -> list[Process]:
    """Give the processes of the session that a process began, also when it has ended itself."""
    found = []
    for each in _all():
        fields = _stat(each)
        if fields is not None and int(fields[3]) == pid:
            found.append(Process(each, int(fields[19])))
    return found


def marked(mark: str) -> list[Process]:
    """Give the processes whose mark is this, or begins with it and a slash."""
    found = []
    for pid in _all():
        try:
            environment = (PROC / str(pid) / "environ").read_bytes()
        except OSError:
            continue
        for entry in environment.split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name == MARK.encode() and (value.decode() == mark or value.decode().startswith(f"{mark}/")):
                process = Process.of(pid)
                if process is not None and pid != os.getpid():
                    found.append(process)
    return found


def memory(processes: Iterable[Process]) -> int:
    """Give the bytes of memory that processes hold; what they share counts once for each."""
    total = 0
    for process in processes:
        fields = _stat(process.pid)
        total += 0 if fields is None else int(fields[21]) * PAGE
    return total


def end(processes: Iterable[Process], patience: float) -> None:
    """Ask processes to end, and kill those that have not after ``patience`` seconds."""
    left = list(processes)
    for process in left:
        process.send(signal.SIGTERM)
    if not gone(left, patience):
        for process in left:
            process.send(signal.SIGKILL)
        gone(left, patience)


def gone(processes: Iterable[Process], patience: float) -> bool:
    """Wait until processes have ended; False when one has not in time."""
    deadline = time.monotonic() + patience
    left = list(processes)
    while left := [process for process in left if process.alive()]:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def listener(port: int) -> str:
    """Tell who listens at a TCP port, as far as this user may know: `` (PID 12, python)`` or nothing."""
    inodes = set()
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for pid in _all():
        with suppress(OSError):
            for descriptor in (PROC / str(pid) / "fd").iterdir():
                if inodes and os.readlink(descriptor) in inodes:
                    return f" (PID {pid}, {(PROC / str(pid) / 'comm').read_text().strip()})"
    return ""
