"""The training loop: seeded, checkpointed, and resumable to the same bits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg.models.batches import make_batches
from thalweg.models.checkpoint import load_checkpoint, save_checkpoint
from thalweg.models.descent import Descent, TrainingOptions
from thalweg.models.group import ALONE, Group
from thalweg.models.model import Model
from thalweg.models.training_data import SharedData, StreamedData, TrainingData


class DivergenceError(RuntimeError):
    """The loss became NaN or infinite; the message says when and what to try."""


@dataclass
class Epoch:
    """What one epoch came to; ``validation`` is a score, higher is better, NaN without a part.

    ``waiting`` are those of the ``seconds`` in which training waited for its data, ``samples`` the windows
    that it was shown.
    """

    epoch: int
    loss: float
    validation: float
    learning_rate: float
    seconds: float
    waiting: float = 0.0
    samples: int = 0


@dataclass
class Begun:
    """How far the present epoch is: steps and windows done, the sum of losses, the times they took (s)."""

    steps: int = 0
    loss: float = 0.0
    learning_rate: float = 0.0
    seconds: float = 0.0
    waiting: float = 0.0
    samples: int = 0


@dataclass
class History:
    """All epochs so far and the best weights seen (the last ones without validation)."""

    epochs: list[Epoch] = field(default_factory=list)
    best_score: float = -math.inf
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)


OnEpoch = Callable[[Epoch], bool | None]


class Trainer:
    """Trains one model on one training part.

    Several processes that make up a ``group`` train it together: each computes the windows of the sites that
    it holds, the gradients are added up, and all take the same step. The steps are those of one process but
    for rounding and for which units dropout leaves out.

    Parameters
    ----------
    seed : of the sampler and of dropout; the same seed gives the same weights on the same machine
        with the same number of threads.
    validate : gives a score (higher is better) after each epoch; early stopping and the choice of
        the best weights need it.
    checkpoint : file to write after every ``checkpoint_every`` epochs, and every ``checkpoint_seconds``
        in the middle of one, and to resume from; the one before is kept too. With a group process 0 alone
        writes and reads it; the group that goes on may be of another size.
    group : the processes that train together. All of them call :meth:`fit`.

    Raises
    ------
    ValueError
        When the options do not fit the data, the machine or each other.

    Attributes
    ----------
    resumed : epochs that the checkpoint had.
    """

    def __init__(
        self,
        model: Model,
        data: TrainingData | SharedData | StreamedData,
        options: TrainingOptions,
        *,
        seed: int = 0,
        validate: Callable[[Model], float] | None = None,
        checkpoint: Path | None = None,
        group: Group = ALONE,
    ) -> None:
        self.model = model
        self.data = data
        self.options = options
        self.validate = validate
        self.checkpoint = checkpoint
        self.batches = make_batches(data, options.window, options.warmup, options.batch_sites, seed)
        self.steps = options.steps_per_epoch or self.batches.steps_per_pass
        self.descent = Descent(model, options, self.steps, seed, group)
        self.history = History()
        self.device = next(model.parameters()).device
        self.group = group
        self.begun = Begun()
        self.saved = time.monotonic()
        self.seed = seed
        self.resumed = 0

    def fit(self, on_epoch: OnEpoch | None = None, *, retell: bool = False) -> History:
        """Train to the end, from the checkpoint if there is one; load the best weights.

        Parameters
        ----------
        on_epoch : may return True to stop early.
        retell : call it first with the epochs of the checkpoint; where it returns True nothing is trained.

        Raises
        ------
        DivergenceError
            When the loss is no longer a finite number.
        """
        torch.manual_seed(self.seed)
        self._resume()
        try:
            # all of them are told, also when an early one is the last wanted
            told = [on_epoch(epoch) for epoch in self.history.epochs] if retell and on_epoch else []
            if not self.group.share(any(told)):
                self._epochs(on_epoch)
        finally:
            self.batches.close()
        self.model.load_state_dict(self.history.best_weights)
        return self.history

    def _epochs(self, on_epoch: OnEpoch | None) -> None:
        while len(self.history.epochs) < self.options.epochs and not self._patience_lost():
            epoch = self._epoch(len(self.history.epochs) + 1)
            self.history.epochs.append(epoch)
            if self._improved(epoch.validation):
                self.history.best_epoch = epoch.epoch
                self.history.best_weights = _copy(self.model.state_dict())
            stop = self.group.share(bool(on_epoch(epoch)) if on_epoch else False)
            if stop or epoch.epoch % self.options.checkpoint_every == 0:
                self._save()
            if stop:
                break

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
        begun = self.begun
        if begun.steps == 0:
            begun.learning_rate = self.descent.learning_rate
        self.model.train()
        while begun.steps < self.steps:
            started = time.perf_counter()
            batch = self.batches.draw()
            begun.waiting += time.perf_counter() - started
            place = (number - 1, begun.steps)
            value, samples = self.descent.step(None if batch is None else batch.to(self.device), place)
            if not math.isfinite(value):
                raise self._diverged(f"the loss became {value} in epoch {number}, step {begun.steps + 1}")
            begun.loss += value
            begun.steps += 1
            begun.samples += samples
            begun.seconds += time.perf_counter() - started
            if begun.steps < self.steps and time.monotonic() - self.saved >= self.options.checkpoint_seconds:
                self._save()
        # the last step's loss was that of the weights before it
        if not all(torch.isfinite(weights).all() for weights in self.model.parameters()):
            raise self._diverged(f"the weights became NaN or infinite in epoch {number}")
        started = time.perf_counter()
        self.model.eval()
        score = math.nan if self.validate is None else self.validate(self.model)
        seconds = begun.seconds + time.perf_counter() - started
        self.begun = Begun()
        loss = begun.loss / self.steps
        return Epoch(number, loss, score, begun.learning_rate, seconds, begun.waiting, begun.samples)

    def _diverged(self, what: str) -> DivergenceError:
        return DivergenceError(
            f"{what}: try a training.learning_rate below {self.begun.learning_rate:g} or a smaller "
            "training.gradient_clip"
        )

    def _save(self) -> None:
        self.saved = time.monotonic()
        if self.checkpoint is None or self.group.rank:
            return
        history = self.history
        content: dict[str, Any] = {
            "model": self.model.state_dict(),
            **self.descent.state(),
            "sampler": self.batches.state(),
            "begun": vars(self.begun),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "epochs": [vars(epoch) for epoch in history.epochs],
            "best": [history.best_score, history.best_epoch],
            "best_weights": history.best_weights,
        }
        save_checkpoint(content, self.checkpoint)
        self.saved = time.monotonic()

    def _resume(self) -> None:
        content: Any = None
        if self.checkpoint is not None and not self.group.rank:
            # what is shared must not be on one process's GPU
            device = self.device if self.group.alone else torch.device("cpu")
            content = load_checkpoint(self.checkpoint, device)
        content = self.group.share(content)
        if content is None:
            self._begin_alike()
            return
        self.model.load_state_dict(content["model"])
        self.descent.restore(content)
        self.batches.restore(content["sampler"])
        self.begun = Begun(**content.get("begun", {}))
        torch.set_rng_state(content["random"].cpu())
        if self.group.alone and torch.cuda.is_available() and content["random_cuda"]:
            torch.cuda.set_rng_state_all([state.cpu() for state in content["random_cuda"]])
        score, epoch = content["best"]
        epochs = [Epoch(**values) for values in content["epochs"]]
        self.history = History(epochs, score, epoch, content["best_weights"])
        self.resumed = len(epochs)

    def _begin_alike(self) -> None:
        """Take the first weights of process 0; another machine may draw other last bits."""
        if not self.group.alone:
            weights = {name: value.cpu() for name, value in self.model.state_dict().items()}
            self.model.load_state_dict(self.group.share(weights))


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}
