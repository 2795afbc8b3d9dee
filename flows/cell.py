"""One cell of the matrix: train one model on one fold with one seed, test it, write its run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from thalweg.flows.building import build_model
from thalweg.flows.experiment import FLOORS, ClimatologyModel, Experiment, PersistenceModel
from thalweg.flows.manifest import describe
from thalweg.flows.memory import gradient_budget
from thalweg.flows.outcome import write_floor, write_trained
from thalweg.flows.prediction import validation_score
from thalweg.flows.preparation import Preparation
from thalweg.models.engine import set_memory_budget
from thalweg.models.model import Model
from thalweg.models.training import Epoch, History, Trainer, TrainingOptions, save_atomically
from thalweg.storage.errors import InputError
from thalweg.storage.results import append_history, write_manifest, write_status
from thalweg.storage.run_folder import now
from thalweg.storage.splits import Fold
from thalweg.storage.statistics import stored_statistics
from thalweg.storage.store import open_store

OnEpoch = Callable[[dict[str, Any]], bool | None]


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


def run_cell(cell: Cell, folder: Path, on_progress: OnEpoch | None = None) -> dict[str, Any]:
    """Train, test and write the run folder; goes on from a checkpoint in it.

    Returns
    -------
    dict : the final status.

    Raises
    ------
    InputError
        When the experiment and the store do not fit; the status says ``failed`` and why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    status = _Status(folder)
    try:
        prepared = prepare(cell)
        write_manifest(folder, describe(cell, prepared))
        if cell.experiment.models[cell.model].kind in FLOORS:
            write_floor(cell.experiment.models[cell.model].kind, prepared, folder)
        else:
            model = _train(cell, prepared, folder, status, on_progress)
            status.set(message="testing")
            started = time.perf_counter()
            write_trained(model, prepared, folder)
            (folder / "checkpoint.pt").unlink(missing_ok=True)
            status.seconds["evaluate"] = time.perf_counter() - started
        return status.set(state="done", message="")
    except BaseException as error:
        stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
        reason = " ".join(str(error).split()) or type(error).__name__
        status.set(state="stopped" if stopped else "failed", message=reason)
        raise


def train_cell(cell: Cell, folder: Path | None, on_epoch: OnEpoch | None = None) -> History:
    """Train alone, with checkpoints in ``folder`` when it is given: what a search repeats.

    Parameters
    ----------
    on_epoch : is given ``epoch``, ``loss``, ``validation``, ``learning_rate``, ``seconds``; returns True
        to stop.
    """
    prepared = prepare(cell)
    trainer = make_trainer(cell, prepared, folder / "checkpoint.pt" if folder else None)
    return trainer.fit(None if on_epoch is None else lambda epoch: on_epoch(asdict(epoch)))


def prepare(cell: Cell) -> Preparation:
    """Open the store and fit the scaling on the training part."""
    resources = cell.experiment.resources
    torch.set_num_threads(resources.torch_threads)
    cuda = resources.gpus_per_worker > 0 and torch.cuda.is_available()
    store = cell.experiment.data.store
    device = torch.device("cuda" if cuda else "cpu")
    set_memory_budget(gradient_budget(device, resources))
    dataset = open_store(store, cell.snapshot)
    version = str(dataset.attrs["snapshot"])
    return Preparation(dataset, cell.experiment, cell.fold, device, lambda: stored_statistics(store, version))


def make_trainer(cell: Cell, prepared: Preparation, checkpoint: Path | None) -> Trainer:
    """Build the model and what trains it.

    Raises
    ------
    InputError
        When the model does not fit the data.
    """
    training = cell.experiment.training_for(cell.model)
    data = prepared.training(training.warmup, training.window)
    spec = cell.experiment.models[cell.model]
    assert not isinstance(spec, ClimatologyModel | PersistenceModel)  # floors are not trained
    try:
        model = build_model(
            spec,
            attributes=data.attributes,
            donors=data.donors,
            forcings=prepared.forcings,
            target=prepared.target,
            scale=float(data.deviation.mean()),
            seed=cell.seed,
        ).to(prepared.device)
        validation = prepared.validation()
        options = {field.name: getattr(training, field.name) for field in fields(TrainingOptions)}
        return Trainer(
            model,
            data,
            TrainingOptions(**options),
            seed=cell.seed,
            validate=None if validation is None else lambda model: validation_score(model, validation),
            checkpoint=checkpoint,
        )
    except ValueError as error:
        raise InputError(f"model {cell.model!r}, split {cell.fold.split!r}: {error}") from error


def _train(
    cell: Cell, prepared: Preparation, folder: Path, status: _Status, on_progress: OnEpoch | None
) -> Model:
    trainer = make_trainer(cell, prepared, folder / "checkpoint.pt")
    status.epochs = trainer.options.epochs
    status.set(message="training")

    def report(epoch: Epoch) -> bool | None:
        row = asdict(epoch)
        append_history(folder, row)
        epochs = trainer.history.epochs
        for name, values in (
            ("train", [e.seconds for e in epochs]),
            ("waiting", [e.waiting for e in epochs]),
        ):
            status.seconds[name] = sum(values)
        status.set(epoch=epoch.epoch, loss=epoch.loss, validation=epoch.validation)
        return on_progress(row) if on_progress else None

    trainer.fit(report)
    save_atomically(trainer.model.state_dict(), folder / "weights.pt")
    return trainer.model


class _Status:
    """The run's ``status.json``, rewritten at each change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun = time.perf_counter()
        self.epochs = 0
        self.seconds: dict[str, float] = {}
        self.content: dict[str, Any] = {"state": "running", "started": now(), "message": "reading the store"}
        self.set()

    def set(self, **changes: Any) -> dict[str, Any]:
        """Change fields and write."""
        self.content |= {
            **changes,
            "epochs": self.epochs,
            "seconds": {**self.seconds, "total": time.perf_counter() - self.begun},
        }
        write_status(self.folder, self.content)
        return self.content
