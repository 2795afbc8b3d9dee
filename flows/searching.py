"""`thalweg search` from file to table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.flows import search
from thalweg.flows.check import check
from thalweg.flows.cluster import cluster
from thalweg.flows.console import console, number, plural, table
from thalweg.flows.matrix import only_runner
from thalweg.flows.progress import Progress, Row
from thalweg.flows.space import check_cost
from thalweg.flows.trials import Trials, to_paste
from thalweg.storage.errors import InputError

TRIALS_SHOWN = 10


def search_experiment(
    path: Path,
    root: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    yes: bool = False,
    train: str = search.TRAIN_CELL,
) -> tuple[Trials, Path]:
    """Check, tell the cost, make the store if needed, and search.

    Returns
    -------
    The trials, and the folder with ``search.json`` and ``search.csv``.

    Raises
    ------
    InputError
        When anything in the experiment is wrong, or it is more than 1000 trials and not ``yes``.
    """
    checked = check(path, changes)
    checked.raise_problems()
    experiment = checked.experiment
    assert experiment is not None
    if experiment.search is None:
        raise InputError(f"{path}: has no `search` section; give it one with `model` and `space`")
    count = check_cost(experiment.search, yes=yes)
    if checked.dataset is None:
        from thalweg.flows.ingestion import make_store

        make_store(experiment)
        checked = check(path, changes)
        checked.raise_problems()
    cell = search.search_cell(experiment, checked.folds)
    print(
        f"{experiment.search.algorithm}: {plural(count, 'trial')} of {cell.model} on {cell.fold.split}, fold "
        f"{cell.fold.fold}, {plural(experiment.training_for(cell.model).epochs, 'epoch')} each",
        file=sys.stderr,
        flush=True,
    )
    folder = root / experiment.name
    with only_runner(folder), cluster(), Progress() as progress:
        trials = search.run_search(
            cell, folder, train=train, on_change=lambda trials: progress.show(_rows(trials, count))
        )
    return trials, folder


def _rows(trials: Trials, count: int) -> list[Row]:
    rows = [
        Row(
            f"trial {trial.trial}",
            {"cut": "stopped"}.get(trial.state, trial.state),
            trial.epoch,
            trial.epochs,
            trial.loss,
            trial.score,
            trial.message or values_text(trial.values),
        )
        for trial in trials.found.values()
    ]
    return rows + [Row(f"trial {number}", "waiting") for number in range(len(rows) + 1, count + 1)]


def values_text(values: Mapping[str, Any]) -> str:
    """Give the values of a trial on one line."""
    return ", ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in values.items())


def show_trials(trials: Trials, folder: Path) -> None:
    """Print the best trials and the YAML to paste."""
    ranked = trials.ranked()
    right = ("validation", "epoch", "time s")
    made = table("trial", "state", *right, "values", right=right)
    for trial in ranked[:TRIALS_SHOWN]:
        values = ", ".join(f"{key} {_short(value)}" for key, value in trial.values.items())
        made.add_row(
            str(trial.trial), trial.state, number(trial.score), str(trial.epoch), f"{trial.seconds:.1f}",
            trial.message or values,
        )  # fmt: skip
    out = console()
    out.print(made)
    if ranked and ranked[0].score is not None:
        out.print(f"\nbest of {len(ranked)} trials (all in {folder / 'search.csv'}); to paste:\n")
        out.print(to_paste(ranked[0].values), end="")
    else:
        out.print("\nno trial came to a score", style="red")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
