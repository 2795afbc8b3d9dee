"""Running the cells of an experiment on Ray: in parallel, retried, stopped and resumed."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from thalweg.flows import together, worker
from thalweg.flows.cell_spec import CHECKPOINT
from thalweg.flows.cluster import Head, check_fits, room
from thalweg.flows.endings import ending
from thalweg.flows.experiment import Resources
from thalweg.flows.plan import Job
from thalweg.flows.run_claim import claimed
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, write_status

LOOK_EVERY_SECONDS = 0.5
COUNT_EVERY_SECONDS = 5.0  # how many cells fit: nodes come and go
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
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            place = run_sharing.named(folder)
            raise InputError(f"{place}: is being run by {owner}: wait for it or stop it first") from None
        except OSError as error:  # some shared file systems have no locks
            print(f"{folder}: cannot be locked ({error.strerror}): run it once at a time", file=sys.stderr)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {os.uname().nodename}")
        lock.flush()
        with claimed(folder):
            run_sharing.settle(folder)
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
    others go on. One whose worker or node went away goes on from its checkpoint, as often as it got
    further in between. When this process is interrupted the cells are stopped and say so.

    Parameters
    ----------
    runner : ``package.module:function``, called with cell and folder in a worker.
    on_change : called about twice a second, and whenever a cell ends.

    Raises
    ------
    InputError
        When the cluster lacks the resources that one cell needs.
    UnavailableError
        When the cluster's head has gone away.
    """
    waiting = [job for job in jobs if job.state == "waiting" and not _done_meanwhile(job)]
    if not waiting:
        return
    matrix = _Matrix(waiting, resources, runner)
    for job in waiting:
        _write(job, message="", send=False)
    run_sharing.push(*(job.folder for job in waiting))
    try:
        while matrix.waiting or matrix.running:
            matrix.begin()
            matrix.wait()
            matrix.begin()  # before files are written, for which nobody need wait
            matrix.conclude()
            on_change(jobs)
    except BaseException:
        matrix.stop()
        on_change(jobs)
        raise


class _Matrix:
    """Jobs that wait and jobs that run, and how many may run at once."""

    def __init__(self, waiting: Sequence[Job], resources: Resources, runner: str) -> None:
        self.waiting = list(waiting)
        self.running: dict[Any, Job] = {}
        self.ended: list[tuple[Any, Job]] = []
        self.resources = resources
        self.at_once, self.counted = check_fits(resources), time.monotonic()
        self.head = Head()
        self.start = _starter(resources, runner)

    def begin(self) -> None:
        """Start as many jobs as fit on the nodes that are there."""
        if self.head.check() and time.monotonic() - self.counted >= COUNT_EVERY_SECONDS:
            before, self.at_once = self.at_once, room(self.resources)
            self.counted = time.monotonic()
            if before and not self.at_once:
                print("no node has room for a cell: waiting for one", file=sys.stderr, flush=True)
        while (job := self._next()) is not None:
            self.waiting.remove(job)
            if _done_meanwhile(job):
                continue
            job.state, job.attempts, job.saved = "running", job.attempts + 1, _saved(job)
            self.running[self.start(job)] = job

    def _next(self) -> Job | None:
        """Give the job to start now; those that want to be alone come last, one at a time."""
        if len(self.running) >= self.at_once or any(job.alone for job in self.running.values()):
            return None
        together = next((job for job in self.waiting if not job.alone), None)
        if together is None and not self.running and self.waiting:
            return self.waiting[0]
        return together

    def wait(self) -> None:
        """Wait a little for jobs to end."""
        import ray

        if not self.running:
            time.sleep(LOOK_EVERY_SECONDS if self.waiting else 0.0)
            return
        try:
            ready, _ = ray.wait(list(self.running), num_returns=1, timeout=LOOK_EVERY_SECONDS)
        except SystemError as error:  # how Ray passes on what a signal's handler raised
            raise error.__cause__ or error from None
        if ready:  # there may be more by now
            ready, _ = ray.wait(list(self.running), num_returns=len(self.running), timeout=0)
        self.ended += [(reference, self.running.pop(reference)) for reference in ready]

    def conclude(self) -> None:
        """Take up the jobs that have ended."""
        while self.ended:
            reference, job = self.ended[-1]
            _conclude(job, reference)
            self.ended.pop()
            if job.state == "waiting":
                self.waiting.append(job)

    def stop(self) -> None:
        """Stop the cells and let their folders say so."""
        import ray

        with suppress(Exception):  # what went wrong is told by the error that brought us here
            self.conclude()
        left = list(self.running)
        _cancel(left, force=False)
        deadline = time.monotonic() + STOP_SECONDS
        while left and time.monotonic() < deadline:
            _, left = ray.wait(left, num_returns=len(left), timeout=0.5)
        _cancel(left, force=True)
        for job in (*self.running.values(), *self.waiting):
            if _done_meanwhile(job):
                continue
            job.state, job.message = "stopped", "interrupted; the same command goes on from here"
            with suppress(OSError, InputError):
                _write(job)


def _starter(resources: Resources, runner: str) -> Callable[[Job], Any]:
    import ray

    options = {"max_retries": 0, "scheduling_strategy": "SPREAD"}
    wanted = {"num_cpus": resources.cpus_per_worker, "num_gpus": resources.gpus_per_worker}
    one = ray.remote(**wanted, **options)(worker.execute)
    # what is wanted goes to the workers that it starts
    several = ray.remote(num_cpus=0, **options)(together.execute)
    directory, threads = str(Path.cwd()), resources.torch_threads

    def start(job: Job) -> Any:
        remote = several if resources.workers_per_model > 1 and job.cell.workers > 1 else one
        return remote.remote(worker.pack(job.cell, job.folder), directory, threads, runner)

    return start


def _conclude(job: Job, reference: Any) -> None:
    """Set what came of a job: done, failed, or waiting for another attempt."""
    end = ending(reference)
    job.message = end.message
    run_sharing.pull(job.folder)
    if end.good or (end.mishap and _done_meanwhile(job)):
        job.state = "done"
        (job.folder / TRACEBACK).unlink(missing_ok=True)
        _write(job)
        return
    if end.traceback:
        with suppress(OSError):
            (job.folder / TRACEBACK).write_text(end.traceback, encoding="utf-8")
    reached = int(Run(job.folder).status.get("epoch") or 0)
    further = reached > job.reached or _saved(job) > job.saved  # or in the middle of an epoch
    spared = (end.mishap and further) or (end.crowded and not job.alone)
    job.wasted += not spared
    job.reached, job.alone = max(job.reached, reached), job.alone or end.crowded
    allowed = 0 if end.hopeless else job.cell.experiment.resources.retries
    job.state = "waiting" if job.wasted <= allowed else "failed"
    _write(job)


def _saved(job: Job) -> int:
    """Give when the job's checkpoint was written (ns); 0 where there is none."""
    return run_sharing.written(job.folder / CHECKPOINT)


def _done_meanwhile(job: Job) -> bool:
    """See whether a worker that was believed lost has finished the job."""
    run_sharing.pull(job.folder)
    run = Run(job.folder)
    if run.state != "done" or not run.manifest:
        return False
    job.state, job.message = "done" if job.attempts else "kept", ""
    return True


def _cancel(references: Sequence[Any], *, force: bool) -> None:
    import ray

    for reference in references:
        with suppress(ray.exceptions.RayError, ValueError):
            ray.cancel(reference, force=force)


def _write(job: Job, *, send: bool = True, **changes: Any) -> None:
    """Rewrite the run's status: what the cell wrote last, with the job's state over it."""
    status = Run(job.folder).status
    seconds = status.get("seconds") or {}
    values = {"state": job.state, "message": job.message, "attempts": job.attempts, **changes}
    write_status(job.folder, {"seconds": seconds, **status, **values, "updated": None})
    if send:
        run_sharing.push(job.folder)
