"""The matrix of an experiment as a list of cells, and which of them are still to be run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.flows.experiment import Experiment
from thalweg.flows.fingerprint import changes, fingerprint, fingerprint_of, versions
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, run_name

if TYPE_CHECKING:
    from thalweg.flows.cell_spec import Cell
    from thalweg.storage.splits import Fold

# Folds are the same whatever the models' seeds are, so that seeds can be averaged site by site.
FOLD_SEED = 0


@dataclass
class Job:
    """One cell, its run folder, and how far it has come.

    Attributes
    ----------
    state : as in ``status.json``; ``kept`` for a run that was done before.
    attempts : how often it was begun.
    wasted : attempts that broke off without getting further than those before; retries are for these.
    reached : the last epoch that any attempt told of.
    saved : when its checkpoint was written (ns), as it was when the last attempt began.
    alone : whether it is to run with no other beside it, since the memory was not enough for all.
    replaces : whether a run of another configuration is in the folder, which is to go.
    """

    cell: Cell
    folder: Path
    state: str = "waiting"
    message: str = ""
    attempts: int = 0
    wasted: int = 0
    reached: int = 0
    saved: int = 0
    alone: bool = False
    replaces: bool = False

    @property
    def name(self) -> str:
        """The run's name in its experiment."""
        return self.folder.name


def cells_of(experiment: Experiment, folds: Sequence[Fold], snapshot: str | None = None) -> list[Cell]:
    """Give models x folds x seeds; a fold's models come together.

    Parameters
    ----------
    snapshot : the version of the store that all of them read, whatever is published meanwhile.
    """
    from thalweg.flows.cell_spec import Cell

    return [
        Cell(experiment, model, fold, seed, snapshot)
        for fold in folds
        for model in experiment.models
        for seed in experiment.seeds_for(model)
    ]


def make_jobs(cells: Sequence[Cell], root: Path, snapshot: str, *, force: bool = False) -> list[Job]:
    """Give a job a cell; those done before by the same configuration are ``kept``.

    Parameters
    ----------
    root : folder of all runs; the experiment's runs are at ``root/<experiment>``.
    force : let runs of another configuration be replaced, instead of refusing them.

    Raises
    ------
    InputError
        When a run of another configuration is in the way.
    """
    jobs = []
    obstacles: list[tuple[Run, list[str]]] = []
    for cell in cells:
        name = run_name(cell.model, cell.fold.split, cell.fold.fold, cell.seed)
        job = Job(cell, root / cell.experiment.name / name)
        jobs.append(job)
        run = Run(job.folder)
        if not run.manifest:
            continue
        job.replaces = not is_of(run, cell, snapshot)
        if job.replaces:
            read = versions(snapshot, cell.fold.test.version)
            obstacles.append((run, changes(run.manifest, cell.experiment, cell.model, read)))
        elif run.state == "done":
            job.state = "kept"
    if obstacles and not force:
        run, keys = obstacles[0]
        others = f" and {len(obstacles) - 1} more" if len(obstacles) > 1 else ""
        raise InputError(
            f"{run_sharing.named(run.path)}{others} was made by another configuration "
            f"(differs in {', '.join(keys[:6])}): give the experiment another name, or --force to replace it"
        )
    return jobs


def remove_replaced(jobs: Sequence[Job]) -> None:
    """Remove the runs of another configuration that are in the way.

    Each goes in one step: half of one, without its manifest, would leave a checkpoint that the new run takes
    for its own.
    """
    for job in jobs:
        if job.replaces:
            run_sharing.remove(job.folder)
            job.replaces = False


def is_of(run: Run, cell: Cell, snapshot: str) -> bool:
    """Tell whether a run is of this cell's configuration, on this version of the store."""
    fold = cell.fold
    read = versions(snapshot, fold.test.version)
    wanted = fingerprint(cell.experiment, cell.model, fold.split, fold.fold, cell.seed, read)
    return fingerprint_of(run.manifest) == wanted
