"""Experiments that the page gave to a Prefect server: one file for each name, which its schedule runs.

A server knows a schedule by its file. With one file for a name, the next schedule of it takes the place of
the first. Beside `NAME.yaml` stands, in `NAME.json`, which job made the schedule that is there.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thalweg.storage import atomic
from thalweg.storage.errors import InputError

FOLDER = "schedules"
_NAME = re.compile(r"[a-z0-9_-]{1,200}")  # nothing in it leads out of the folder


def file_of(home: Path, experiment: str) -> Path:
    """Give the file that the schedule of an experiment's name runs.

    Parameters
    ----------
    home : the folder of jobs.

    Raises
    ------
    InputError
        When the name cannot be that of a file.
    """
    if not _NAME.fullmatch(experiment):
        raise InputError(
            f"{experiment[:80]!r}: cannot be scheduled: a name has 1 to 200 of a-z, 0-9, _ and -"
        )
    return home / FOLDER / f"{experiment}.yaml"


def maker(file: Path) -> str:
    """Give the id of the job that made the schedule which is there; empty where none is."""
    try:
        return str(json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))["job"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def made(file: Path, job: str) -> None:
    """Note that a job made the schedule, in place of any before."""
    atomic.write_text(file.with_suffix(".json"), json.dumps({"job": job}))


def removed(file: Path, job: str) -> None:
    """Note that the schedule which a job made is there no more."""
    if maker(file) == job:
        file.with_suffix(".json").unlink(missing_ok=True)
        file.unlink(missing_ok=True)


@contextmanager
def written(file: Path, text: str) -> Iterator[list[bool]]:
    """Put a text into the file, which an earlier schedule may run: what was there comes back.

    It does not when the body appends True to what it is given.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = file.read_bytes() if file.exists() else None
    atomic.write_text(file, text)
    worked: list[bool] = []
    try:
        yield worked
    finally:
        if not any(worked):
            if before is None:
                file.unlink(missing_ok=True)
            else:
                atomic.write_bytes(file, before)
