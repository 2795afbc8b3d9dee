"""Structured logs: one JSON object a line of what begins, ends and fails, in every process that takes part.

``THALWEG_LOG_FORMAT=json`` writes them to standard error, ``THALWEG_LOG_FILE`` adds them to a file, one write
a line, so that many processes can share it. Without either nothing is written. Each line says which
experiment, run, Ray job and flow run it belongs to, as far as it does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

FORMAT, FILE = "THALWEG_LOG_FORMAT", "THALWEG_LOG_FILE"
# what a process inherits: field -> variable
INHERITED = {"job": "THALWEG_JOB", "flow_run": "THALWEG_FLOW_RUN"}
PASSED_ON = (FORMAT, FILE, *INHERITED.values())

_context: ContextVar[dict[str, Any] | None] = ContextVar("thalweg_log", default=None)


def event(name: str, level: str = "info", **fields: Any) -> None:
    """Write a line, if anybody wants it; what goes wrong with it stops nothing."""
    to_error, file = os.environ.get(FORMAT) == "json", os.environ.get(FILE)
    if not to_error and not file:
        return
    inherited = {key: os.environ[variable] for key, variable in INHERITED.items() if variable in os.environ}
    content = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "event": name,
        **inherited,
        **(_context.get() or {}),
        **fields,
        "host": os.uname().nodename,
        "pid": os.getpid(),
    }
    line = json.dumps(content, default=str, ensure_ascii=False) + "\n"
    if to_error:
        print(line, end="", file=sys.stderr, flush=True)
    if file:
        try:
            _append(file, line.encode())
        except OSError as error:
            print(f"{FILE}={file}: {error.strerror}", file=sys.stderr)


def _append(file: str, line: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Add fields to all lines of the body."""
    token = _context.set({**(_context.get() or {}), **fields})
    try:
        yield
    finally:
        _context.reset(token)


@contextmanager
def told(name: str, **fields: Any) -> Iterator[None]:
    """Tell of the body's beginning and end, of how long it took, and of what went wrong."""
    with about(**fields):
        begun = time.monotonic()
        event(f"{name}-started")
        try:
            yield
        except BaseException as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            event(f"{name}-failed", "error", seconds=round(time.monotonic() - begun, 3), error=reason)
            raise
        event(f"{name}-finished", seconds=round(time.monotonic() - begun, 3))
