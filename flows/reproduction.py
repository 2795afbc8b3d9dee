"""`thalweg reproduce`: make a run again from its manifest, on the version of the store that it read."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from thalweg.flows.experiment import Experiment
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, find_run

if TYPE_CHECKING:
    import pandas as pd

    from thalweg.flows.cell_spec import Cell

SUFFIX = "-reproduced"  # of the experiment that the new runs belong to
SAME = 1e-6  # difference of a metric that another order of adding numbers can make


@dataclass(frozen=True)
class Reproduction:
    """A run made again.

    Attributes
    ----------
    differences : metric -> the largest difference at any site; empty where no metric is shared.
    changed : what is not as it was, such as a package's version, one line each.
    """

    run: Run
    again: Run
    snapshot: str
    differences: dict[str, float]
    changed: list[str]

    @property
    def same(self) -> bool:
        """Whether every metric came out as before at every site."""
        return bool(self.differences) and max(self.differences.values()) <= SAME

    def summary(self) -> dict[str, Any]:
        """Give all of it for scripts."""
        return {
            "run": self.run.id,
            "again": self.again.id,
            "snapshot": self.snapshot,
            "same": self.same,
            "differences": self.differences,
            "changed": self.changed,
        }

    def text(self) -> str:
        """Give it in words."""
        lines = [f"{self.run.id} was made again as {self.again.id}, on snapshot {self.snapshot[:12]}"]
        if self.same:
            lines.append("every metric is as it was at every site")
        else:
            lines += [
                f"  {name}: differs by up to {value:.3g}"
                for name, value in sorted(self.differences.items(), key=lambda item: -item[1])[:6]
            ] or ["  no metric to compare"]
        return "\n".join([*lines, *(f"  {line}" for line in self.changed)])


def reproduce(root: Path, name: str) -> Reproduction:
    """Make a run again, beside it under the experiment's name with ``-reproduced``.

    Parameters
    ----------
    root : folder of all runs.
    name : the run's id, or the beginning of it.

    Raises
    ------
    InputError
        When there is no such run, its manifest does not suffice, or its version of the store is gone.
    """
    from thalweg.flows.cell import run_cell

    run = find_run(root, name)
    if run.manifest.get("members"):
        raise InputError(
            f"{run.id}: is pooled from {', '.join(run.manifest['members'])}: make these again, then "
            f"`thalweg evaluate {run.experiment}`"
        )
    if run.state != "done":
        raise InputError(f"{run.id}: is {run.state}; only a run that is done can be made again")
    cell = cell_of(run)
    folder = root / cell.experiment.name / run.path.name
    with run_sharing.worked_on(folder):
        run_cell(cell, folder)
    again = Run(folder)
    return Reproduction(
        run, again, str(cell.snapshot), differences(run.metrics(), again.metrics()), _changed(run, cell)
    )


def cell_of(run: Run) -> Cell:
    """Give the cell that a manifest describes, on the version of the store that it names.

    Raises
    ------
    InputError
        When the manifest does not suffice or that version is not there.
    """
    from thalweg.flows.cell_spec import Cell
    from thalweg.flows.plan import FOLD_SEED
    from thalweg.storage.splits import make_folds
    from thalweg.storage.store import open_store

    try:
        config = {**run.manifest["config"], "name": f"{run.experiment}{SUFFIX}"}
        experiment = Experiment.model_validate(config)
        snapshot = str(run.manifest["snapshot"])
        (split,) = [each for each in experiment.splits if run.split in each.labels]
        experiment.models[run.model]
    except (KeyError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{run.path}/manifest.json: does not describe a run that can be made: {reason}"
        ) from error
    dataset = open_store(experiment.data.store, snapshot)
    tested = (run.manifest.get("test") or {}).get("version")
    spec = {**split.spec(), **({"version": tested} if tested else {})}
    folds = make_folds(dataset, spec, FOLD_SEED, target=experiment.data.target)
    found = [fold for fold in folds if fold.split == run.split and fold.fold == run.fold]
    if not found:
        raise InputError(f"{run.id}: the split {run.split} has no fold {run.fold} any more")
    return Cell(experiment, run.model, found[0], run.seed, snapshot)


def differences(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, float]:
    """Give the largest difference of each metric at any site; infinite where one has none."""
    one, two = before.set_index("site"), after.set_index("site")
    if set(one.index) != set(two.index):
        return {"sites": float("inf")}
    found = {}
    for name in one.select_dtypes("number").columns.intersection(two.columns):
        left, right = one[name], two[name].reindex(one.index)
        apart = (left - right).abs().where(left != right, 0.0)
        apart = apart.mask(left.isna() & right.isna(), 0.0).fillna(float("inf"))
        found[str(name)] = float(apart.max())
    return found


def _changed(run: Run, cell: Cell) -> list[str]:
    from thalweg.flows.fingerprint import process_source

    lines = []
    for name, before in (run.manifest.get("versions") or {}).items():
        try:
            now = platform.python_version() if name == "python" else version(name)
        except PackageNotFoundError:
            now = "not installed"
        if now != before:
            lines.append(f"{name} {before} is {now} here")
    if run.manifest.get("process_source") != process_source(cell.experiment, cell.model):
        lines.append("the source of the process model changed")
    return lines
