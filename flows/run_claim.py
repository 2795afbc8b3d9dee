"""One process at a time runs an experiment whose runs are in an object store, be it of any machine.

A claim lies beside the runs, as one object that only who knows it can replace. Its owner renews it every
few seconds. A claim that is not renewed for longer is nobody's; an owner of this machine that has ended is
seen at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.flows.services.processes import PROC, Process
from thalweg.storage.bucket import Bucket, ConflictError
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.run_sharing import mirror_of

CLAIM = ".claim.json"
BEAT_SECONDS = 8.0
DEAD_SECONDS = 30.0  # without a beat; requests that fail are tried again within
LONG_DEAD_SECONDS = 1800.0  # by our clock; object stores refuse clocks that differ by half of it


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold an experiment for the body; for one that is in no object store this does nothing.

    Raises
    ------
    InputError
        When another process runs it.
    """
    mirror = mirror_of(folder)
    if mirror is None:
        yield
        return
    key = f"{mirror.key(folder)}/{CLAIM}"
    claim = _Claim(mirror.bucket, key, _acquire(mirror.bucket, key))
    claim.start()
    try:
        yield
    finally:
        claim.over.set()
        claim.join()
        with suppress(UnavailableError, InputError):  # it runs out by itself
            if not claim.lost:
                mirror.bucket.delete([key])


class _Claim(threading.Thread):
    """Renews a claim; a process whose claim was taken over is interrupted."""

    def __init__(self, bucket: Bucket, key: str, mine: _Mine) -> None:
        super().__init__(daemon=True, name="claim")
        self.bucket, self.key, self.mine = bucket, key, mine
        self.over = threading.Event()
        self.lost = False

    def run(self) -> None:
        """Renew it until it is over."""
        while not self.over.wait(BEAT_SECONDS):
            with suppress(UnavailableError, InputError):  # the next one may go better
                try:
                    self.mine = _write(self.bucket, self.key, self.mine.content, self.mine.etag)
                except ConflictError:
                    self.lost = True
                    place = f"{self.bucket.location}/{self.key.rpartition('/')[0]}"
                    print(
                        f"{place}: another process has taken the experiment over, since nothing was heard of "
                        "this one: stopping",
                        file=sys.stderr,
                        flush=True,
                    )
                    os.kill(os.getpid(), signal.SIGINT)
                    return


@dataclass(frozen=True)
class _Mine:
    content: dict[str, Any]
    etag: str


def _acquire(bucket: Bucket, key: str) -> _Mine:
    process = Process.of(os.getpid())
    content = {
        "owner": f"process {os.getpid()} on {os.uname().nodename}",
        "machine": _machine(),
        "pid": os.getpid(),
        "started": None if process is None else process.started,
        "token": uuid.uuid4().hex,
    }
    place = f"{bucket.location}/{key.rpartition('/')[0]}"
    while True:
        found = bucket.read(key)
        etag = None
        if found is not None:
            etag = found[1].etag
            other = _read(found[0])
            dead = _has_ended(other) or time.time() - found[1].written / 1e9 > LONG_DEAD_SECONDS
            if not dead and not _falls_silent(bucket, key, etag, f"{place}: {other.get('owner')}"):
                raise InputError(
                    f"{place}: is being run by {other.get('owner')}: wait for it or stop it first"
                )
        try:
            return _write(bucket, key, content, etag)
        except ConflictError:
            continue  # it ended just now, or somebody else was quicker


def _falls_silent(bucket: Bucket, key: str, etag: str, who: str) -> bool:
    """Watch a claim; False as soon as it is renewed."""
    deadline = time.monotonic() + DEAD_SECONDS
    print(f"{who} may be running it: listening for {DEAD_SECONDS:.0f} s", file=sys.stderr, flush=True)
    while time.monotonic() < deadline:
        time.sleep(BEAT_SECONDS / 8)
        found = bucket.read(key)
        if found is None:
            return True
        if found[1].etag != etag:
            return False
    return True


def _write(bucket: Bucket, key: str, content: dict[str, Any], etag: str | None) -> _Mine:
    """Write a claim; one whose answer was lost was written all the same."""
    beaten = {**content, "beat": int(content.get("beat", 0)) + 1}
    try:
        return _Mine(beaten, bucket.write(key, json.dumps(beaten).encode(), expected=etag))
    except ConflictError:
        found = bucket.read(key)
        if found is None or _read(found[0]).get("token") != content["token"]:
            raise
        return _Mine(_read(found[0]), found[1].etag)


def _read(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _machine() -> str:
    """Name this machine, since it was started, and what of its processes can be seen here."""
    boot = PROC / "sys/kernel/random/boot_id"
    try:
        return f"{boot.read_text().strip()} {os.stat(PROC / 'self/ns/pid').st_ino}"
    except OSError:
        return ""


def _has_ended(other: dict[str, Any]) -> bool:
    """Tell whether an owner was of this machine, and has ended."""
    if not other.get("started") or other.get("machine") != (_machine() or None):
        return False
    return not Process(int(other["pid"]), int(other["started"])).alive()
