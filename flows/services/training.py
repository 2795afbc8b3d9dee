"""A scheduled experiment: run on the Ray cluster that there is, or here, and its results kept in Prefect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from thalweg.flows.jobs import ADDRESS
from thalweg.flows.services.ray_job import run_as_job
from thalweg.flows.services.retrying import WorkFailedError
from thalweg.flows.services.settings import read
from thalweg.storage import run_sharing


def train(spec: Path, runs: Path, changes: dict[str, Any], force: bool, hours: float) -> str:
    """Run an experiment and keep its table with the flow run; gives what came of it in words."""
    from thalweg.flows.check import check

    checked = check(spec, changes, elsewhere=True)
    checked.raise_problems()
    assert checked.experiment is not None
    name = checked.experiment.name
    if os.environ.get(ADDRESS):
        said = run_as_job(spec, runs, changes, force, hours)
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
