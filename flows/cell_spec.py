"""What a cell of the matrix is; without torch, which takes seconds to import."""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.flows.experiment import FLOORS, Experiment
from thalweg.storage.splits import Fold

CHECKPOINT = "checkpoint.pt"  # in the run's folder


@dataclass(frozen=True)
class Cell:
    """What to train and test: one model of an experiment on one fold with one seed.

    Attributes
    ----------
    snapshot : the version of the store, by the hash of its content; the newest when None.
    """

    experiment: Experiment
    model: str
    fold: Fold
    seed: int
    snapshot: str | None = None

    @property
    def workers(self) -> int:
        """How many workers it has; a floor, where nothing is trained, has one."""
        floor = self.experiment.models[self.model].kind in FLOORS
        return 1 if floor else self.experiment.resources.workers_per_model
