"""One job on a Ray cluster, as the cluster tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from thalweg.storage.errors import InputError

ENDED = ("succeeded", "failed", "stopped")
LATER = 75
"""Exit code of a job that failed of what may pass by itself; EX_TEMPFAIL of BSD's sysexits.h."""


class UnknownJobError(InputError):
    """The cluster has no such job, or has forgotten it since it was started anew."""


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes
    ----------
    state : ``pending``, ``running``, ``succeeded``, ``failed`` or ``stopped``.
    code : the exit code of its process, when it has ended.
    """

    id: str
    state: str
    experiment: str
    runs: str
    started: datetime | None
    seconds: float | None
    code: int | None
    message: str
    package: str

    @property
    def ended(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in ENDED


def job_of(details: Any) -> Job:
    """Give a job from the details that Ray's client gives."""
    metadata = details.metadata or {}
    started, ended = _time(details.start_time), _time(details.end_time) or datetime.now(UTC)
    return Job(
        id=str(details.submission_id),
        state=str(getattr(details.status, "value", details.status)).lower(),
        experiment=metadata.get("experiment", ""),
        runs=metadata.get("runs", ""),
        started=started,
        seconds=None if started is None else (ended - started).total_seconds(),
        code=details.driver_exit_code,
        message=str(details.message or ""),
        package=metadata.get("package", ""),
    )


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
