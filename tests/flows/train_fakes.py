"""A training without any model, for searches; copied into the working directory."""

import math
from pathlib import Path


class DivergenceError(RuntimeError):
    pass


def train(cell, folder, on_epoch):
    training = cell.experiment.training_for(cell.model)
    rate = training.learning_rate
    if rate > 1:
        raise DivergenceError("the loss became nan")
    if training.batch_sites == 13 and not Path("crashed").exists():
        Path("crashed").touch()
        raise RuntimeError("an accident")
    for epoch in range(1, training.epochs + 1):
        score = 1 - abs(math.log10(rate) + 2) - 1 / epoch
        if on_epoch({"epoch": epoch, "loss": 1 - score, "validation": score}):
            return
