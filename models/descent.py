"""One step of training: a batch in, changed weights out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.models.group import Group
from thalweg.models.losses import LOSSES
from thalweg.models.model import Model, Prediction
from thalweg.models.precision import set_precision
from thalweg.models.training_data import Batch


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; one field for each key of an experiment's ``training`` section."""

    epochs: int = 30
    steps_per_epoch: int | None = None
    window: int = 365
    warmup: int = 365
    batch_sites: int = 64
    loss: str = "nse"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    gradient_clip: float | None = 1.0
    patience: int | None = None
    checkpoint_every: int = 1
    checkpoint_seconds: float = 300.0
    precision: str = "float32"
    accumulate: int = 1


OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adadelta": torch.optim.Adadelta,
}


class Descent:
    """Changes the weights of a model, batch by batch.

    A batch is computed in ``accumulate`` parts, one after the other, and by all processes of a group, each
    its own sites of it. Sums and counts of the loss are added up over all of them: so the gradient is that
    of the whole batch at once, however many days are missing in which part.

    Parameters
    ----------
    steps : of an epoch.
    seed : of dropout.

    Raises
    ------
    ValueError
        When the options do not fit each other or the machine.
    """

    def __init__(self, model: Model, options: TrainingOptions, steps: int, seed: int, group: Group) -> None:
        if options.accumulate > options.batch_sites:
            raise ValueError(
                f"training.accumulate: a batch of {options.batch_sites} sites cannot be computed in "
                f"{options.accumulate} parts: it must not be above training.batch_sites"
            )
        self.model, self.options, self.seed, self.group = model, options, seed, group
        self.loss = LOSSES[options.loss]()
        self.optimizer = OPTIMIZERS[options.optimizer](model.parameters(), lr=options.learning_rate)  # type: ignore[call-arg]
        self.shape = _shape(options, steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self.shape)
        self.scaler = set_precision(model, options.precision, next(model.parameters()).device)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self, batch: Batch | None, place: tuple[int, int]) -> tuple[float, int]:
        """Take a step; gives the loss before it and the number of windows, of all processes.

        Parameters
        ----------
        batch : what this process has of it.
        place : epochs and steps before this one.
        """
        if not self.group.alone:
            torch.manual_seed(self._dropout_seed(place))
        self.optimizer.zero_grad()
        value, samples = self.gradients(batch)
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self.options.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.gradient_clip)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.schedule.step()
        return value, samples

    def gradients(self, batch: Batch | None) -> tuple[float, int]:
        """Add up the gradients of the whole batch; gives its loss and its number of windows."""
        parts = [] if batch is None else batch.split(self.options.accumulate)
        sizes = [sum(self._count(part) for part in parts), sum(len(part.deviation) for part in parts)]
        counted, samples = self.group.sum(torch.tensor(sizes)).tolist()
        value = 0.0
        for part in parts:
            loss = self._total(self.model(part.inputs, self.options.warmup), part) / max(counted, 1)
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            value += float(loss.detach())
        value = float(self.group.sum(torch.tensor(value, dtype=torch.float64)))
        self.group.sum_gradients(self.model.parameters())
        return value, samples

    def state(self) -> dict[str, Any]:
        """Give what :meth:`restore` needs to go on with the same steps."""
        scaler = {} if self.scaler is None else {"scaler": self.scaler.state_dict()}
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            **scaler,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`, with the present learning rate at the place of the schedule."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])
        rate = self.options.learning_rate
        self.schedule.base_lrs = [rate] * len(self.optimizer.param_groups)
        for group in self.optimizer.param_groups:
            group["initial_lr"] = rate
            group["lr"] = rate * self.shape(self.schedule.last_epoch)

    def _count(self, batch: Batch) -> int:
        """Give how many values the loss is the mean of."""
        if self.model.head is not None:
            return int(torch.isfinite(batch.observed).sum())
        return int(self.loss.count(batch.observed))

    def _total(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Give the sum that the loss is the mean of: the head's own where the model has one."""
        if self.model.head is None or prediction.raw is None:
            return self.loss.total(prediction.target, batch.observed, batch.deviation)
        return self.model.head.total(prediction.raw, batch.observed, prediction.centre)

    def _dropout_seed(self, place: tuple[int, int]) -> int:
        """Give another seed in every step and process, whatever was drawn before."""
        text = repr((self.seed, *place, self.group.rank))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def _shape(options: TrainingOptions, steps: int) -> Callable[[int], float]:
    """Give the learning rate at each step, relative to the first."""
    total = max(1, options.epochs * steps)
    shapes: dict[str, Callable[[int], float]] = {
        "constant": lambda step: 1.0,
        # ends at 2 % of the start: the last steps settle, none is without effect
        "cosine": lambda step: 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step, total) / total)),
        "step": lambda step: 0.5 ** ((3 * step) // total),
    }
    return shapes[options.schedule]
