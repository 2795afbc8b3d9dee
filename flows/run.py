"""`thalweg run`: ingest if needed, train and test the matrix, report; one Prefect flow of coarse tasks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import logs, worker
from thalweg.flows.check import check
from thalweg.flows.cluster import cluster
from thalweg.flows.console import plural
from thalweg.flows.matrix import only_runner, run_jobs
from thalweg.flows.plan import Job, cells_of, make_jobs, remove_replaced
from thalweg.flows.prefect_settings import HOME, prefect_settings
from thalweg.flows.progress import Progress
from thalweg.flows.server import configured_url, server
from thalweg.storage import run_sharing

if TYPE_CHECKING:
    import pandas as pd

    from thalweg.flows.cell_spec import Cell


class CellsFailedError(RuntimeError):
    """Some cells failed, the others are done; the message says which."""


class Session:
    """One `thalweg run`: what it was asked, and what came of it.

    Attributes
    ----------
    jobs : all cells; empty before the store is there.
    table : the skill of all models, as :func:`thalweg.evaluation.summary.summarize` gives it.
    blind : whether it is not to be shown.
    looks : how often the test parts were looked at, as :func:`thalweg.flows.look_count.look` gives it.
    """

    def __init__(
        self,
        path: Path,
        root: Path,
        *,
        force: bool = False,
        blind: bool = False,
        changes: Mapping[str, Any] | None = None,
        runner: str = worker.RUN_CELL,
    ) -> None:
        self.path, self.root, self.force, self.runner = path, root, force, runner
        self.blind = blind
        self.changes = dict(changes or {})
        self.cells: list[Cell] = []
        self.snapshot = ""
        self.jobs: list[Job] = []
        self.table: pd.DataFrame | None = None
        self.looks: list[dict[str, Any]] = []
        self.plan()

    def plan(self) -> None:
        """Check the experiment and, when its store is there, list its cells.

        Raises
        ------
        InputError
            With one line for each mistake.
        """
        checked = check(self.path, self.changes)
        checked.raise_problems()
        assert checked.experiment is not None
        self.experiment = checked.experiment
        self.folder = self.root / self.experiment.name
        if checked.dataset is not None:
            self.snapshot = str(checked.dataset.attrs["snapshot"])
            self.cells = cells_of(self.experiment, checked.folds, self.snapshot)
            self.look()

    def look(self) -> None:
        """See which cells are done, as the run folders are now.

        Raises
        ------
        InputError
            When a run of another configuration is in the way.
        """
        if self.cells:
            run_sharing.pull(self.folder)
            self.jobs = make_jobs(self.cells, self.root, self.snapshot, force=self.force)

    @property
    def failed(self) -> list[Job]:
        """The cells that failed."""
        return [job for job in self.jobs if job.state == "failed"]

    @property
    def needs_workers(self) -> bool:
        """Whether anything is to be computed."""
        return not self.jobs or any(job.state == "waiting" for job in self.jobs)

    def ingest(self) -> None:
        """Make the store from its source, if it is not there."""
        if self.jobs:
            return
        from thalweg.flows.ingestion import make_store

        make_store(self.experiment)
        self.plan()

    def matrix(self) -> None:
        """Run the cells that are not done."""
        remove_replaced(self.jobs)
        told = logs.told("matrix", experiment=self.experiment.name)
        with told, run_sharing.following(self.folder), Progress() as progress:
            run_jobs(self.jobs, self.experiment.resources, runner=self.runner, on_change=progress)

    def report(self) -> None:
        """Summarize the skill of all cells that are done, unless blind: to see it is a look at the tests."""
        if self.blind:
            return
        from thalweg.flows.look_count import look
        from thalweg.flows.report import skill_table
        from thalweg.storage.results import Run

        runs = [Run(job.folder) for job in self.jobs]
        self.table = skill_table(runs)
        self.looks = look(self.root, runs, "run")


def run_experiment(session: Session) -> Session:
    """Run a session as a Prefect flow, with the server and the Ray that it needs.

    Cells that fail do not raise: they are in ``session.failed``. A job on a cluster has no use for a
    private server that nobody could look at.
    """
    if not session.needs_workers and configured_url() is None:
        session.report()  # nothing to do: no reason to start a server
        return session
    if os.environ.get("THALWEG_JOB") and configured_url() is None:
        with only_runner(session.folder), cluster():
            session.look()  # another process may have run cells since
            _announce(session)
            session.ingest()
            session.matrix()
            session.report()
        return session
    home = HOME
    with only_runner(session.folder), server(home) as prefect_server, ExitStack() as stack:
        session.look()  # another process may have run cells since
        _announce(session)
        if session.needs_workers:
            stack.enter_context(cluster())  # takes seconds, in which the server comes up too
        prefect_server.wait()
        with prefect_settings(prefect_server, home):
            try:
                _flow(session)(str(session.path), str(session.root))
            except CellsFailedError:
                pass
            finally:
                prefect_server.leave()
    return session


def _announce(session: Session) -> None:
    kept = sum(job.state == "kept" for job in session.jobs)
    waiting = plural(len(session.jobs) - kept, "cell")
    count = f"{waiting} to run, {kept} done before" if session.jobs else "no store yet"
    print(f"{session.experiment.name}: {count}; starting", file=sys.stderr, flush=True)


def _flow(session: Session) -> Any:
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    @task(cache_policy=NO_CACHE)
    def ingest() -> None:
        session.ingest()

    @task(cache_policy=NO_CACHE)
    def matrix() -> None:
        session.matrix()

    @task(cache_policy=NO_CACHE)
    def report() -> None:
        session.report()
        _artifact(session)

    @flow(name="experiment", flow_run_name=session.experiment.name)
    def experiment(path: str, runs: str) -> None:
        ingest()
        matrix()
        report()
        if session.failed:
            raise CellsFailedError(", ".join(job.name for job in session.failed))

    return experiment


def _artifact(session: Session) -> None:
    """Keep the result table with the flow run, for those who look at it in Prefect."""
    from prefect.artifacts import create_table_artifact

    if session.table is None or session.table.empty:
        return
    rows = session.table.astype(object).where(session.table.notna(), None).to_dict("records")
    key = "skill-" + session.experiment.name.replace("_", "-")
    create_table_artifact(rows, key=key, description=f"Skill of {session.experiment.name}")  # type: ignore[arg-type]
