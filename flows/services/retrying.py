"""What a scheduled task does when it fails: it is tried again where that may help."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from thalweg.storage.errors import UnavailableError
from thalweg.storage.ingest.failures import may_pass
from thalweg.storage.sources import SourceChanged

RETRY_SECONDS = (60, 300, 1800)
JITTER = 0.3  # of the pauses, so that many who were cut off do not come back at once
GRACE_SECONDS = 120.0  # for what ends its own work when its time is up, before Prefect ends it


class WorkFailedError(RuntimeError):
    """The work itself went wrong: to try again would change nothing."""


class JobLostError(UnavailableError):
    """A job ended for no reason of its own; what it did is kept."""


class OutOfTimeError(TimeoutError):
    """The work took longer than its time limit: it would do so again."""


def passes(task: Any, run: Any, state: Any) -> bool:
    """Tell whether a task that failed may succeed a little later; one that was out of time would not."""
    from prefect.task_engine import TaskRunTimeoutError

    error = state.data if isinstance(state.data, BaseException) else getattr(state.data, "result", None)
    if isinstance(error, OutOfTimeError | TaskRunTimeoutError):
        return False
    return isinstance(error, Exception) and hopeful(error)


def hopeful(error: Exception) -> bool:
    """Tell whether the same work may succeed a little later: a network may, bad input will not.

    Files that were being copied while they were read are whole a little later: an ingest that begins anew
    looks at all of them again.
    """
    return isinstance(error, UnavailableError | SourceChanged) or may_pass(error)


def guarded(hours: float, *, name: str, cache_key: str | None = None) -> Any:
    """Give what makes a task of a function: tried again where that may help, and ended when its time is up.

    Parameters
    ----------
    hours : after which each attempt is to end; Prefect ends it :data:`GRACE_SECONDS` later.
    cache_key : names all that the result depends on; with it a result that is there is taken.
    """
    cached: dict[str, Any] = {"cache_policy": NO_CACHE}
    if cache_key:
        cached = {"cache_key_fn": lambda context, parameters: cache_key, "persist_result": True}
    return task(
        task_run_name=name,
        retries=len(RETRY_SECONDS),
        retry_delay_seconds=list(RETRY_SECONDS),
        retry_jitter_factor=JITTER,
        retry_condition_fn=passes,
        timeout_seconds=hours * 3600 + GRACE_SECONDS,
        **cached,
    )
