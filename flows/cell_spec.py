"""What a cell of the matrix is; without torch, which takes seconds to import."""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.flows.experiment import Experiment
from thalweg.storage.splits import Fold


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
