"""Running the cells of an experiment on Ray: in parallel, retried, stopped and resumed."""

from __future__ import annotations

import fcntl
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from thalweg.flows import worker
from thalweg.flows.cluster import check_fits
from thalweg.flows.experiment import Resources
from thalweg.flows.plan import Job
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, write_status

LOOK_EVERY_SECONDS = 0.5
STOP_SECONDS = 10.0  # for cells to write their status when the experiment is stopped

TRACEBACK = "error.txt"  # in the run folder of a cell that failed


@contextmanager
def only_runner(folder: Path) -> Iterator[None]:
    """Keep any other process from running the same experiment meanwhile.

    Raises
    ------
    InputError
        When one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise InputError(f"{folder}: is being run by {owner}: wait for it or stop it first") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {os.uname().nodename}")
        lock.flush()
        yield


def run_jobs(
    jobs: Sequence[Job],
    resources: Resources,
    *,
    runner: str = worker.RUN_CELL,
    on_change: Callable[[Sequence[Job]], None] = lambda jobs: None,
) -> None:
    """Run every job that waits; what came of it is in the jobs and in the run folders.

    A cell that fails is tried again ``resources.retries`` times, unless its input is at fault; the
    others go on. When this process is interrupted the cells are stopped and say so.

    Parameters
    ----------
    runner : ``package.module:function``, called with cell and folder in a worker.
    on_change : called about twice a second, and whenever a cell ends.

    Raises
    ------
    InputError
        When the machine lacks the resources that one cell needs.
    """
    waiting = [job for job in jobs if job.state == "waiting"]
    if not waiting:
        return
    at_once = check_fits(resources)
    for job in waiting:
        _write(job, state="waiting", message="")
    running: dict[Any, Job] = {}
    start = _starter(resources, runner)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                job.state, job.attempts = "running", job.attempts + 1
                running[start(job)] = job
            for reference, job in _ended(running):
                del running[reference]
                _conclude(job, reference)
                if job.state == "waiting":
                    waiting.append(job)
            on_change(jobs)
    except BaseException:
        _stop(running, waiting)
        on_change(jobs)
        raise


def _starter(resources: Resources, runner: str) -> Callable[[Job], Any]:
    import ray

    remote = ray.remote(
        num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker, max_retries=0
    )(worker.execute)
    directory, threads = str(Path.cwd()), resources.torch_threads

    def start(job: Job) -> Any:
        packed = pickle.dumps((job.cell, job.folder.resolve()))
        return remote.remote(packed, directory, threads, runner)

    return start


def _ended(running: dict[Any, Job]) -> list[tuple[Any, Job]]:
    import ray

    try:
        ready, _ = ray.wait(list(running), num_returns=1, timeout=LOOK_EVERY_SECONDS)
    except SystemError as error:  # how Ray passes on what a signal's handler raised
        raise error.__cause__ or error from None
    return [(reference, running[reference]) for reference in ready]


def _conclude(job: Job, reference: Any) -> None:
    """Set what came of a job: done, failed, or waiting for another attempt."""
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        job.message, hopeless = worker.reason(cause), worker.hopeless(cause)
        with suppress(OSError):
            (job.folder / TRACEBACK).write_text(str(error), encoding="utf-8")
    except ray.exceptions.OutOfMemoryError:
        job.message, hopeless = "the worker was stopped: the machine ran out of memory", False
    except ray.exceptions.RayError as error:
        job.message, hopeless = f"the worker process died ({type(error).__name__})", False
    else:
        job.state, job.message = "done", ""
        (job.folder / TRACEBACK).unlink(missing_ok=True)
        _write(job)
        return
    allowed = 1 if hopeless else 1 + job.cell.experiment.resources.retries
    job.state = "waiting" if job.attempts < allowed else "failed"
    _write(job)


def _stop(running: dict[Any, Job], waiting: Sequence[Job]) -> None:
    """Stop the cells and let their folders say so."""
    import ray

    left = list(running)
    _cancel(left, force=False)
    deadline = time.monotonic() + STOP_SECONDS
    while left and time.monotonic() < deadline:
        _, left = ray.wait(left, num_returns=len(left), timeout=0.5)
    _cancel(left, force=True)
    for job in (*running.values(), *waiting):
        if Run(job.folder).state == "done":
            job.state = "done"
            continue
        job.state, job.message = "stopped", "interrupted; the same command goes on from here"
        with suppress(OSError, InputError):
            _write(job)


def _cancel(references: Sequence[Any], *, force: bool) -> None:
    import ray

    for reference in references:
        with suppress(ray.exceptions.RayError, ValueError):
            ray.cancel(reference, force=force)


def _write(job: Job, **changes: Any) -> None:
    """Rewrite the run's status: what the cell wrote last, with the job's state over it."""
    status = Run(job.folder).status
    seconds = status.get("seconds") or {}
    values = {"state": job.state, "message": job.message, "attempts": job.attempts, **changes}
    write_status(job.folder, {"seconds": seconds, **status, **values, "updated": None})
