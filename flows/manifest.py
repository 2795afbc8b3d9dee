"""All that is needed to make a run again."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from thalweg.flows.experiment import FLOORS
from thalweg.flows.fingerprint import process_source
from thalweg.flows.preparation import Preparation
from thalweg.storage.geography import nearest_trained_km

if TYPE_CHECKING:
    from thalweg.flows.cell_spec import Cell

PACKAGES = ("thalweg", "torch", "numpy", "llvmlite", "xarray", "zarr", "icechunk", "ray", "prefect")


def describe(cell: Cell, prepared: Preparation) -> dict[str, Any]:
    """Give the manifest of a cell's run."""
    fold, config = cell.fold, cell.experiment.model_dump(mode="json")
    kind = cell.experiment.models[cell.model].kind
    return {
        "experiment": cell.experiment.name,
        "model": cell.model,
        "kind": "floor" if kind in FLOORS else kind,
        "split": fold.split,
        "fold": fold.fold,
        "seed": cell.seed,
        "config": config,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "git": _git_revision(),
        "process_source": process_source(cell.experiment, cell.model),
        "snapshot": prepared.dataset.attrs.get("snapshot"),
        "store": cell.experiment.data.store,
        "attributes": prepared.attributes,
        "statistics_hash": prepared.statistics.hash,
        "train": fold.train.summary(),
        "validate": None if fold.validate is None else fold.validate.summary(),
        "test": {**fold.test.summary(), "id": fold.test.digest(cell.experiment.data.target)},
        "nearest_trained_km": nearest_trained_km(prepared.dataset, fold),
        "threads": cell.experiment.resources.torch_threads,
    }


def _git_revision() -> str | None:
    """Give the commit of the working directory, marked where it was changed since; None outside git."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
