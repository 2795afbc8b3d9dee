"""`thalweg search` from file to table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from thalweg.flows import search, search_result
from thalweg.flows.check import check
from thalweg.flows.cluster import cluster
from thalweg.flows.experiment import Experiment
from thalweg.flows.matrix import only_runner
from thalweg.flows.progress import Progress
from thalweg.flows.search_claim import claim
from thalweg.flows.search_view import rows, show_trials
from thalweg.flows.space import check_cost, cost_text
from thalweg.flows.trial_worker import TRAIN_CELL
from thalweg.flows.trials import Trials
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError

__all__ = ["search_experiment", "show_trials"]


def search_experiment(
    path: Path,
    root: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    yes: bool = False,
    force: bool = False,
    train: str = TRAIN_CELL,
) -> tuple[Trials, Path]:
    """Check, tell the cost, make the store if needed, and search; goes on where the same search stopped.

    Parameters
    ----------
    yes : allow more than 1000 trials.
    force : replace another search under the experiment's name.

    Returns
    -------
    The trials, and the folder with ``search.json`` and ``search.csv``.

    Raises
    ------
    InputError
        When anything in the experiment is wrong, it is more than 1000 trials and not ``yes``, or another
        search is in the way.
    """
    checked = check(path, changes)
    checked.raise_problems()
    experiment = checked.experiment
    assert experiment is not None
    if experiment.search is None:
        raise InputError(f"{path}: has no `search` section; give it one with `model` and `space`")
    count = check_cost(experiment, yes=yes)
    if checked.dataset is None:
        from thalweg.flows.ingestion import make_store

        make_store(experiment)
        checked = check(path, changes)
        checked.raise_problems()
    assert checked.dataset is not None
    cell = search.search_cell(experiment, checked.folds, str(checked.dataset.attrs["snapshot"]))
    folder = root / experiment.name
    with only_runner(folder), ExitStack() as stack:
        claim(cell, folder, force=force)
        before = search.begun_before(cell, folder)
        ended = sum(trial.ended for trial in before.found.values())
        _announce(experiment, cell.fold.split, cell.fold.fold, ended)
        if not search.left(cell, before):
            search_result.write(before, folder)
            return before, folder
        stack.enter_context(cluster())
        stack.enter_context(run_sharing.following(folder))
        progress = stack.enter_context(Progress())
        trials = search.run_search(
            cell, folder, train=train, on_change=lambda trials: progress.show(rows(trials, count))
        )
    return trials, folder


def _announce(experiment: Experiment, split: str, fold: str, ended: int) -> None:
    """Tell what is to be done and what it costs, before it starts."""
    chosen = experiment.search
    assert chosen is not None
    before = f"; {ended} of them done before" if ended else ""
    what = f"{chosen.algorithm} search of {chosen.model} on {split}, fold {fold}"
    print(
        f"{what}: {cost_text(experiment)}{before}",
        file=sys.stderr,
        flush=True,
    )
