"""What a flow run says goes through a pipe to its worker; a worker that was killed must not take it along."""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

STREAMS = (1, 2)  # standard output and error


def outlive_reader(log: Path, streams: Sequence[int] = STREAMS) -> None:
    """Write to a file from when nobody reads a stream of this process any more.

    Without that the next line that is written ends the process: the system refuses it, and Rich, through
    which Prefect logs, exits.

    Parameters
    ----------
    log : is added to; where it cannot be opened, nothing is kept.
    streams : descriptors; those that are no pipes are left alone.
    """
    pipes = [number for number in streams if stat.S_ISFIFO(os.fstat(number).st_mode)]
    if pipes:
        threading.Thread(target=_watch, args=(log, pipes), daemon=True, name="reader").start()


def _watch(log: Path, pipes: list[int]) -> None:
    poll = select.poll()
    for number in pipes:
        poll.register(number, 0)  # errors are told unasked
    while pipes:
        for number, _ in poll.poll():
            poll.unregister(number)
            pipes.remove(number)
            instead = _opened(log)
            os.dup2(instead, number)
            os.close(instead)


def _opened(log: Path) -> int:
    try:
        return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
