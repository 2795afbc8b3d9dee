"""The flow that schedules run: an ingest, an experiment or a nightly chain, as a file describes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from prefect import flow, runtime
from prefect.logging import get_run_logger

from thalweg.flows import logs, worker
from thalweg.flows.scheduled import follow_parent, forget_missed
from thalweg.flows.services.chain import chain
from thalweg.flows.services.keeper import ATTEMPTS
from thalweg.flows.services.ray_job import stop_job
from thalweg.flows.services.reader import outlive_reader
from thalweg.flows.services.retrying import WorkFailedError, guarded
from thalweg.flows.services.settings import read
from thalweg.flows.services.training import train
from thalweg.flows.services.updating import ingest
from thalweg.storage import run_sharing
from thalweg.storage.run_mirror import results

Kind = Literal["ingest", "experiment", "nightly"]


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
    hours : after which each step of it is ended.
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


def experiment(spec: Path, runs: Path, force: bool, hours: float) -> str:
    """Run an experiment on the Ray cluster that the environment names, else in this process."""

    return str(guarded(hours, name=f"run {spec.name}")(train)(spec, runs, {}, force, hours))


def nightly(spec: Path, runs: Path, hours: float) -> str:
    """Ingest, look at the last model on the new days, tell of drift, and train anew when it is time."""
    guarded(hours, name="take runs")(run_sharing.pull)(runs, results)
    try:
        return chain(spec, runs, hours)
    finally:
        guarded(hours, name="send runs")(run_sharing.push)(runs, whole=True)
