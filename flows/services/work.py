"""The flow that schedules run: an ingest, an experiment or a nightly chain, as a file describes it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import httpx
from prefect import flow, get_client, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import CancelledRun
from prefect.logging import get_run_logger

from thalweg.flows import logs, worker
from thalweg.flows.job_details import Job, UnknownJobError
from thalweg.flows.jobs import ADDRESS, Jobs
from thalweg.flows.scheduled import follow_parent, forget_missed
from thalweg.flows.services.keeper import ATTEMPTS
from thalweg.flows.services.reader import outlive_reader
from thalweg.flows.services.settings import read
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.ingest.failures import may_pass
from thalweg.storage.run_mirror import results

Kind = Literal["ingest", "experiment", "nightly"]
RETRY_SECONDS = (60, 300, 1800)
JITTER = 0.3  # of the pauses, so that many who were cut off do not come back at once
LOOK_SECONDS = 2.0
JOB_LABEL = "thalweg.job"  # of a flow run
CANCEL_LOOK_SECONDS = 15.0
LOST_SECONDS = 180.0  # a Ray head that is started again answers within this


class WorkFailedError(RuntimeError):
    """The work itself went wrong: to try again would change nothing."""


class JobLostError(UnavailableError):
    """A job ended for no reason of its own; what it did is kept."""


def passes(task: Any, run: Any, state: Any) -> bool:
    """Tell whether what failed may succeed a little later: a network may, bad input will not."""
    error = state.data if isinstance(state.data, BaseException) else getattr(state.data, "result", None)
    return isinstance(error, UnavailableError) or (isinstance(error, Exception) and may_pass(error))


def guarded(hours: float, *, name: str, cache_key: str | None = None) -> Any:
    """Give what makes a task of a function: tried again where that may help, and ended when its time is up.

    Parameters
    ----------
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
        timeout_seconds=hours * 3600,
        **cached,
    )


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


@flow(
    name="thalweg",
    flow_run_name="{kind} {spec}",
    persist_result=True,
    on_cancellation=[stop_job],
)
def scheduled_work(
    kind: Kind, spec: str, directory: str, runs: str, force: bool = False, hours: float = 24.0
) -> str:
    """Do what a file describes; returns in words what came of it.

    Parameters
    ----------
    directory : in which paths are meant.
    runs : folder of all runs, or ``s3://bucket/prefix``.
    force : replace runs of another configuration, as `thalweg run --force` does.
    hours : after which it is ended.
    """
    follow_parent()
    worker.enter(directory)
    outlive_reader(read().home / "logs" / "worker.log")
    if (runtime.flow_run.run_count or 1) > ATTEMPTS:
        raise WorkFailedError(f"{spec}: was killed {ATTEMPTS} times; look why before it is started again")
    forget_missed(runtime.deployment.id)
    doing: Callable[[], str] = {
        "ingest": lambda: ingest(Path(spec), hours),
        "experiment": lambda: experiment(Path(spec), run_sharing.opened(runs), force, hours),
        "nightly": lambda: nightly(Path(spec), run_sharing.opened(runs), hours),
    }[kind]
    os.environ["THALWEG_FLOW_RUN"] = str(runtime.flow_run.id)  # for what is started from here
    with logs.told(f"scheduled-{kind}", spec=spec):
        found = doing()
    get_run_logger().info(found)
    return found


def ingest(spec: Path, hours: float) -> str:
    """Bring a store up to its source; of all schedules on one server, one at a time for one store."""
    from prefect.concurrency.sync import concurrency

    from thalweg.flows.ingestion import ingest_file, read_spec

    def update() -> str:
        with concurrency(only_one(read_spec(spec).store), occupy=1, timeout_seconds=hours * 3600):
            return ingest_file(spec).text()

    return str(guarded(hours, name=f"ingest {spec.name}")(update)())


def only_one(store: str) -> str:
    """Make the limit that lets in one ingest of a store, and give its name."""
    place = store if "://" in store else str(Path(store).resolve())
    name = f"thalweg-ingest-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    return name


def experiment(spec: Path, runs: Path, force: bool, hours: float) -> str:
    """Run an experiment on the Ray cluster that the environment names, else in this process."""

    return str(guarded(hours, name=f"run {spec.name}")(train)(spec, runs, {}, force, hours))


def train(spec: Path, runs: Path, changes: dict[str, Any], force: bool, hours: float) -> str:
    """Run an experiment and keep its table with the flow run; gives what came of it in words."""
    from thalweg.flows.check import check

    checked = check(spec, changes, elsewhere=True)
    checked.raise_problems()
    assert checked.experiment is not None
    name = checked.experiment.name
    if os.environ.get(ADDRESS):
        said = _as_job(spec, runs, changes, force, hours)
    else:
        said = _here(spec, runs, changes, force)
    _keep_results(runs, name)
    return said


def _here(spec: Path, runs: Path, changes: dict[str, Any], force: bool) -> str:
    from thalweg.flows.run import Session, run_experiment

    session = run_experiment(Session(spec, runs, force=force, changes=changes))
    if session.failed:
        raise WorkFailedError(f"failed: {', '.join(job.name for job in session.failed)}")
    return f"{session.experiment.name}: {len(session.jobs)} runs are done"


def _as_job(spec: Path, runs: Path, changes: dict[str, Any], force: bool, hours: float) -> str:
    """Submit it, or attach to where it runs, and wait.

    Raises
    ------
    JobLostError
        When the job was killed, or its cluster is gone: it may be tried again, and goes on.
    WorkFailedError
        When it failed by itself.
    TimeoutError
        When it took too long; it is stopped.
    """
    from thalweg.flows.submission import submit

    options = ("--force",) if force else ()
    given = submit(spec, runs=runs, changes=changes, options=options)
    _note_job(given.id)
    job = _ended(given.id, time.monotonic() + hours * 3600)
    said = Jobs().logs(given.id)
    print(said, flush=True)
    if job.state == "succeeded":
        return f"{job.experiment}: {given.id} {job.state}"
    if job.code == 2:
        raise InputError(f"{given.id}: {said.strip().splitlines()[-1] if said.strip() else job.message}")
    if job.code is None:
        raise JobLostError(f"{given.id}: {job.state}: {' '.join(job.message.split())[:300]}")
    raise WorkFailedError(f"{given.id}: {job.state}; `thalweg show {job.experiment}` says what and why")


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
            raise TimeoutError(f"{identity}: took longer than its time limit, and was stopped")
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


def _keep_results(runs: Path, name: str) -> None:
    """Keep the result table and links to the runs with the flow run."""
    from prefect.artifacts import create_link_artifact, create_table_artifact

    from thalweg.flows.report import skill_rows, skill_table
    from thalweg.storage.results import find_runs

    key = name.lower().replace("_", "-").replace(".", "-")
    run_sharing.pull(runs / name)
    table = skill_table(find_runs(runs, name))
    if not table.empty:
        rows: Any = skill_rows(table.astype(object).where(table.notna(), None))
        create_table_artifact(rows, key=f"skill-{key}", description=f"Skill of {name}, in {runs / name}")
    create_link_artifact(
        read().url("dashboard"),
        link_text=f"{name} on the dashboard",
        key=f"runs-{key}",
        description=str(runs),
    )


def nightly(spec: Path, runs: Path, hours: float) -> str:
    """Ingest, look at the last model on the new days, tell of drift, and train anew when it is time."""
    from thalweg.flows.services.chain import chain

    run_sharing.pull(runs, results)
    try:
        return chain(spec, runs, hours)
    finally:
        run_sharing.push(runs, whole=True)
