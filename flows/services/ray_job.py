"""A scheduled experiment as a job on a Ray cluster: submitted or attached to, waited for, and stopped."""

from __future__ import annotations

import os
import time
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect import get_client, runtime
from prefect.exceptions import CancelledRun

from thalweg.flows import worker
from thalweg.flows.cli import BAD_INPUT
from thalweg.flows.job_details import LATER, Job, UnknownJobError
from thalweg.flows.jobs import ADDRESS, Jobs
from thalweg.flows.services.retrying import JobLostError, OutOfTimeError, WorkFailedError
from thalweg.storage.errors import InputError, UnavailableError

LOOK_SECONDS = 2.0
JOB_LABEL = "thalweg.job"  # of a flow run
CANCEL_LOOK_SECONDS = 15.0
LOST_SECONDS = 180.0  # a Ray head that is started again answers within this


def run_as_job(spec: Path, runs: Path, changes: dict[str, Any], force: bool, hours: float) -> str:
    """Submit it, or attach to where it runs, and wait.

    Raises
    ------
    JobLostError
        When the job was killed, or its cluster is gone: it may be tried again, and goes on.
    WorkFailedError
        When it failed by itself.
    OutOfTimeError
        When it took longer than ``hours``; it is stopped.
    UnavailableError
        When the cluster does not answer; the job is left to it, to be attached to by the next attempt. And
        when the job failed of what may pass: an object store that is away, files that are being copied.
    """
    from thalweg.flows.submission import submit

    deadline = time.monotonic() + hours * 3600
    options = ("--force",) if force else ()
    given = submit(spec, runs=runs, changes=changes, options=options)
    with _stopped_with_us(given.id):
        _note_job(given.id)
        job = _ended(given.id, deadline)
    said = Jobs().logs(given.id)
    print(said, flush=True)
    if job.state == "succeeded":
        return f"{job.experiment}: {given.id} {job.state}"
    last = f"{given.id}: {said.strip().splitlines()[-1] if said.strip() else job.message}"
    if job.code == BAD_INPUT:
        raise InputError(last)
    if job.code == LATER:
        raise UnavailableError(last)
    if job.code is None:
        raise JobLostError(f"{given.id}: {job.state}: {' '.join(job.message.split())[:300]}")
    raise WorkFailedError(f"{given.id}: {job.state}; `thalweg show {job.experiment}` says what and why")


@contextmanager
def _stopped_with_us(identity: str) -> Iterator[None]:
    """Stop a job when Prefect ends the body, which it does at the time limit of the task."""
    try:
        yield
    except CancelledError:
        Jobs().cancel(identity)
        raise


def _note_job(identity: str) -> None:
    """Keep a job's id with the flow run, for whoever cancels that."""
    if runtime.flow_run.id:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(UUID(runtime.flow_run.id), {JOB_LABEL: identity})


def _ended(identity: str, deadline: float) -> Job:
    """Wait until a job has ended, over a head that is away for a while."""
    heard = asked = time.monotonic()
    while True:
        try:
            job = Jobs().find(identity)
            heard = time.monotonic()
            if job.ended:
                return job
        except UnknownJobError as error:
            raise JobLostError(f"{identity}: the cluster has forgotten it") from error
        except UnavailableError:
            if time.monotonic() - heard > LOST_SECONDS:
                raise
        if time.monotonic() - asked > CANCEL_LOOK_SECONDS:
            asked = time.monotonic()
            if _to_be_cancelled():
                Jobs().cancel(identity)
                raise CancelledRun(f"{identity}: cancelled")
        if time.monotonic() > deadline:
            Jobs().cancel(identity)
            raise OutOfTimeError(f"{identity}: took longer than its time limit, and was stopped")
        time.sleep(LOOK_SECONDS)


def _to_be_cancelled() -> bool:
    """Tell whether this flow run shall end: the worker that should say so may be gone."""
    if not runtime.flow_run.id:
        return False
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(runtime.flow_run.id)).state
    except (OSError, httpx.HTTPError):
        return False  # the server is away; the work goes on
    return state is not None and state.is_cancelling()


def stop_job(flow: Any, flow_run: Any, state: Any) -> None:
    """Stop the Ray job of a flow run that was cancelled."""
    given = flow_run.parameters
    worker.enter(given["directory"])
    if given["kind"] == "ingest" or not os.environ.get(ADDRESS):
        return
    with get_client(sync_client=True) as client:
        identity = client.read_flow_run(flow_run.id).labels.get(JOB_LABEL)
    if identity:
        Jobs().cancel(str(identity))
