"""The training loop: seeded, checkpointed, and resumable to the same bits."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg.models.inputs import Inputs
from thalweg.models.losses import LOSSES
from thalweg.models.model import Model
from thalweg.models.sampling import Windows


class DivergenceError(RuntimeError):
    """The loss became NaN or infinite; the message says when and what to try."""


@dataclass(frozen=True)
class TrainingData:
    """The training part of a store as tensors.

    Attributes
    ----------
    inputs : drivers of all training sites over warm-up and training days.
    observed : ``(time, site)`` (mm/day); NaN where missing and on days before the training part.
    deviation : ``(site,)`` standard deviation of the observed training flow (mm/day).
    """

    inputs: Inputs
    observed: Tensor
    deviation: Tensor


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


@dataclass
class Epoch:
    """What one epoch came to; ``validation`` is a score, higher is better, NaN without a part."""

    epoch: int
    loss: float
    validation: float
    learning_rate: float
    seconds: float


@dataclass
class History:
    """All epochs so far and the best weights seen (the last ones without validation)."""

    epochs: list[Epoch] = field(default_factory=list)
    best_score: float = -math.inf
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)


OnEpoch = Callable[[Epoch], bool | None]

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adadelta": torch.optim.Adadelta,
}


class Trainer:
    """Trains one model on one training part.

    Parameters
    ----------
    seed : of the sampler and of dropout; the same seed gives the same weights on the same machine
        with the same number of threads.
    validate : gives a score (higher is better) after each epoch; early stopping and the choice of
        the best weights need it.
    checkpoint : file to write after every ``checkpoint_every`` epochs and to resume from.
    """

    def __init__(
        self,
        model: Model,
        data: TrainingData,
        options: TrainingOptions,
        *,
        seed: int = 0,
        validate: Callable[[Model], float] | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        self.model = model
        self.data = data
        self.options = options
        self.validate = validate
        self.checkpoint = checkpoint
        self.windows = Windows(data.observed, options.window, options.warmup, options.batch_sites, seed)
        self.steps = options.steps_per_epoch or self.windows.steps_per_pass
        self.loss = LOSSES[options.loss]()
        self.optimizer = OPTIMIZERS[options.optimizer](model.parameters(), lr=options.learning_rate)  # type: ignore[call-arg]
        self.schedule = _schedule(self.optimizer, options, self.steps)
        self.history = History()
        self.seed = seed

    def fit(self, on_epoch: OnEpoch | None = None) -> History:
        """Train to the end, from the checkpoint if there is one; load the best weights.

        ``on_epoch`` may return True to stop early.

        Raises
        ------
        DivergenceError
            When the loss is no longer a finite number.
        """
        torch.manual_seed(self.seed)
        self._resume()
        while len(self.history.epochs) < self.options.epochs and not self._patience_lost():
            epoch = self._epoch(len(self.history.epochs) + 1)
            self.history.epochs.append(epoch)
            if self._improved(epoch.validation):
                self.history.best_epoch = epoch.epoch
                self.history.best_weights = _copy(self.model.state_dict())
            stop = bool(on_epoch(epoch)) if on_epoch else False
            if stop or epoch.epoch % self.options.checkpoint_every == 0:
                self._save()
            if stop:
                break
        self.model.load_state_dict(self.history.best_weights)
        return self.history

    def _improved(self, score: float) -> bool:
        """Tell whether these are the best weights so far: the latest where nothing validates."""
        if self.validate is not None and not score > self.history.best_score:
            return not self.history.best_weights
        self.history.best_score = score
        return True

    def _patience_lost(self) -> bool:
        if self.options.patience is None or self.validate is None:
            return False
        return len(self.history.epochs) - self.history.best_epoch >= self.options.patience

    def _epoch(self, number: int) -> Epoch:
        started = time.perf_counter()
        rate = self.optimizer.param_groups[0]["lr"]
        self.model.train()
        total = 0.0
        for step in range(self.steps):
            value = self._step()
            if not math.isfinite(value):
                raise DivergenceError(
                    f"the loss became {value} in epoch {number}, step {step + 1}: "
                    f"try a training.learning_rate below {rate:g} or a smaller training.gradient_clip"
                )
            total += value
        self.model.eval()
        score = math.nan if self.validate is None else self.validate(self.model)
        return Epoch(number, total / self.steps, score, rate, time.perf_counter() - started)

    def _step(self) -> float:
        sites, starts = self.windows.draw()
        length = self.options.warmup + self.options.window
        inputs = self.data.inputs.pick(sites, starts, length)
        days = starts.unsqueeze(0) + torch.arange(self.options.warmup, length).unsqueeze(1).to(starts.device)
        prediction = self.model(inputs, self.options.warmup)
        loss = self.loss(prediction.target, self.data.observed[days, sites], self.data.deviation[sites])
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.options.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.gradient_clip)
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        history = self.history
        content: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "sampler": self.windows.state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "epochs": [vars(epoch) for epoch in history.epochs],
            "best": [history.best_score, history.best_epoch],
            "best_weights": history.best_weights,
        }
        save_atomically(content, self.checkpoint)

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        device = self.data.observed.device
        content = torch.load(self.checkpoint, weights_only=True, map_location=device)
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])
        self.windows.restore(content["sampler"])
        torch.set_rng_state(content["random"].cpu())
        if torch.cuda.is_available() and content["random_cuda"]:
            torch.cuda.set_rng_state_all([state.cpu() for state in content["random_cuda"]])
        score, epoch = content["best"]
        epochs = [Epoch(**values) for values in content["epochs"]]
        self.history = History(epochs, score, epoch, content["best_weights"])


def save_atomically(content: Any, path: Path) -> None:
    """Write with ``torch.save`` so that a reader finds the old file or the new one, never a half."""
    temporary = path.with_name(path.name + ".partial")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}


def _schedule(
    optimizer: torch.optim.Optimizer, options: TrainingOptions, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Give the learning-rate schedule, advanced once a step."""
    total = max(1, options.epochs * steps)
    shapes: dict[str, Callable[[int], float]] = {
        "constant": lambda step: 1.0,
        # ends at 2 % of the start: the last steps settle, none is without effect
        "cosine": lambda step: 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step, total) / total)),
        "step": lambda step: 0.5 ** ((3 * step) // total),
    }
    return torch.optim.lr_scheduler.LambdaLR(optimizer, shapes[options.schedule])
