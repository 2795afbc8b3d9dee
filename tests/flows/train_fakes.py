"""Trainings without any model, for searches; copied into the working directory, from where workers import.

Each keeps its state in its folder as a training keeps its checkpoint, and counts the epochs that it trains.
"""

import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np


class DivergenceError(RuntimeError):
    pass


def epochs(cell, folder, report, step):
    """Train epoch by epoch with ``step(epoch)``, which gives the score, from the state in the folder."""
    total = cell.experiment.training_for(cell.model).epochs
    kept = folder / "state.json"
    rows = json.loads(kept.read_text()) if kept.exists() else []
    if any([report({**row, "earlier": True}) for row in rows]):  # noqa: C419 - all are told
        return {"parameters": 10.0}
    for epoch in range(len(rows) + 1, total + 1):
        with Path(f"trained-{folder.parent.name}.txt").open("a") as stream:
            stream.write(f"{epoch}\n")
        value = step(epoch)
        rows.append({"epoch": epoch, "loss": 1 - value, "validation": value, "seconds": 0.01})
        stop = report(rows[-1])
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(rows))
        part.replace(kept)
        if stop:
            break
    return {"parameters": 10.0, "gap": 0.1}


def train(cell, folder, report):
    """Best at a learning rate of 0.01; diverges above 1, and crashes once at batches of 13 sites."""
    training = cell.experiment.training_for(cell.model)
    rate = training.learning_rate
    if rate > 1:
        raise DivergenceError("the loss became nan")
    if training.batch_sites == 13 and not Path("crashed").exists():
        Path("crashed").touch()
        raise RuntimeError("an accident")
    return epochs(cell, folder, report, lambda epoch: score(rate, epoch, cell.seed))


def score(rate, epoch, seed):
    return 1 - abs(math.log10(rate) + 2) - 1 / epoch + 0.001 * seed


def slow(cell, folder, report):
    """The same, at 30 to 110 ms an epoch: longer in some trials than in others."""
    rate = cell.experiment.training_for(cell.model).learning_rate

    def step(epoch):
        time.sleep(0.03 + 0.04 * (int(rate * 1e6) % 3))
        return score(rate, epoch, cell.seed)

    return epochs(cell, folder, report, step)


def killed_once(cell, folder, report):
    """The third trial's worker is killed at its second epoch, the first time."""

    def step(epoch):
        if epoch == 2 and folder.parent.name == "0003" and not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.5

    return epochs(cell, folder, report, step)


def branin(cell, folder, report):
    """The Branin function in the place of a training, of the learning rate and the share of dropout."""
    x = cell.experiment.training_for(cell.model).learning_rate
    y = cell.experiment.models[cell.model].network.dropout
    return epochs(cell, folder, report, lambda epoch: -branin_function(15 * x - 5, 15 * y))


def branin_function(x, y):
    return (
        (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


def two_parts(cell, folder, report):
    """The example of Jaderberg et al. 2017, figure 2: each of two values trains one of two weights alone.

    What is to be made large is 1.2 - w0^2 - w1^2; trained is 1.2 - h0 w0^2 - h1 w1^2, from (0.9, 0.9).
    """
    training = cell.experiment.training_for(cell.model)
    h = np.array([(1.0, 0.0), (0.0, 1.0)][int(training.gradient_clip) - 1])
    kept = folder / "weights.json"
    weights = np.array(json.loads(kept.read_text()) if kept.exists() else [0.9, 0.9])

    def step(epoch):
        nonlocal weights
        weights = weights - 0.2 * h * weights
        kept.write_text(json.dumps(weights.tolist()))
        return float(1.2 - (weights**2).sum())

    return epochs(cell, folder, report, step)
