"""One cell of the matrix: train one model on one fold with one seed, test it, write its run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from thalweg.flows.building import build_model
from thalweg.flows.cell_spec import CHECKPOINT, Cell
from thalweg.flows.experiment import FLOORS, ClimatologyModel, PersistenceModel
from thalweg.flows.fingerprint import configuration
from thalweg.flows.ledger import Cost, Gauge, Meter
from thalweg.flows.manifest import describe
from thalweg.flows.memory import gradient_budget
from thalweg.flows.outcome import Dropout, write_floor, write_trained
from thalweg.flows.prediction import validation_score
from thalweg.flows.preparation import Preparation
from thalweg.flows.worker import reason
from thalweg.models.checkpoint import remove_checkpoint, save_atomically
from thalweg.models.descent import TrainingOptions
from thalweg.models.engine import set_memory_budget
from thalweg.models.group import Group
from thalweg.models.model import Model
from thalweg.models.training import Epoch, Trainer
from thalweg.models.training_data import SharedData, StreamedData, TrainingData
from thalweg.storage import looks
from thalweg.storage.errors import InputError
from thalweg.storage.results import append_history, write_manifest, write_status
from thalweg.storage.run_folder import now
from thalweg.storage.statistics import stored_statistics
from thalweg.storage.store import open_store

OnEpoch = Callable[[dict[str, Any]], bool | None]

LATELY = 5  # epochs from which the time left is told


def run_cell(cell: Cell, folder: Path, on_progress: OnEpoch | None = None) -> dict[str, Any]:
    """Train, test and write the run folder; goes on from a checkpoint in it.

    Where several workers train the model, process 0 of them does so; the others help it to train.

    Returns
    -------
    dict : the final status.

    Raises
    ------
    InputError
        When the experiment and the store do not fit; the status says ``failed`` and why.
    """
    group = Group.current()
    if group.rank:
        return _help(cell, group)
    folder.mkdir(parents=True, exist_ok=True)
    status = _Status(folder)
    with Meter(folder, cell.experiment.resources.gpus_per_worker) as meter:
        try:
            _run(cell, folder, status, meter, on_progress)
        except BaseException as error:
            stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
            if not meter.superseded:  # else the run is another's to tell of
                state = "stopped" if stopped else "failed"
                status.set(state=state, message=reason(error), error=type(error).__name__)
            raise
        done = status.set(state="done", message="")
    remove_checkpoint(folder / CHECKPOINT)  # not before all that it stands for is kept
    return done


def _help(cell: Cell, group: Group) -> dict[str, Any]:
    """Train along with process 0 of the group, and tell it after every epoch what that took."""
    gauge = Gauge(cell.experiment.resources.gpus_per_worker)

    def report(epoch: Epoch) -> None:
        group.collect(gauge.read(Cost()))

    make_trainer(cell, prepare(cell), None).fit(report)
    return {}


def _run(cell: Cell, folder: Path, status: _Status, meter: Meter, on_progress: OnEpoch | None) -> None:
    prepared = prepare(cell)
    write_manifest(folder, describe(cell, prepared))
    if cell.experiment.models[cell.model].kind in FLOORS:
        _count_score(cell, folder)
        write_floor(cell.experiment.models[cell.model].kind, prepared, folder)
        return
    model = _train(cell, prepared, folder, status, meter, on_progress)
    status.set(message="testing", seconds_left=None)
    started = time.perf_counter()
    _count_score(cell, folder)
    write_trained(model, prepared, folder, _dropout(cell))
    status.seconds["evaluate"] = time.perf_counter() - started


def _dropout(cell: Cell) -> Dropout | None:
    members = getattr(cell.experiment.models[cell.model], "mc_dropout", None)
    return None if members is None else Dropout(members, cell.seed)


def _count_score(cell: Cell, folder: Path) -> None:
    """Count the look at the test part before it is taken: no score is there that was not counted."""
    looks.scored(
        folder.resolve().parent.parent,
        cell.fold.test.digest(cell.experiment.data.target),
        f"{folder.resolve().parent.name}/{folder.name}",
        configuration(cell.experiment, cell.model),
        floor=cell.experiment.models[cell.model].kind in FLOORS,
    )


def train_cell(cell: Cell, folder: Path | None, on_epoch: OnEpoch | None = None) -> dict[str, float]:
    """Train alone, with checkpoints in ``folder`` when it is given: what a search repeats.

    Where several workers train the model, all of them call this; what ``on_epoch`` gives counts in process 0.

    Parameters
    ----------
    on_epoch : is given the fields of :class:`thalweg.models.training.Epoch` for every epoch from the first,
        those that the checkpoint had marked as ``earlier``, and with what ``helpers`` took so far, the other
        workers that train the model; returns True to stop.

    Returns
    -------
    dict : ``parameters``, how many numbers were trained; ``gap``, by how much the best validation score is
        below that of the training part, where the search has it as an objective.
    """
    gauge = Gauge(cell.experiment.resources.gpus_per_worker)
    prepared = prepare(cell)
    trainer = make_trainer(cell, prepared, folder / CHECKPOINT if folder else None)

    def report(epoch: Epoch) -> bool | None:
        row = {**asdict(epoch), "earlier": epoch.epoch <= trainer.resumed}
        if not (row["earlier"] or prepared.group.alone):
            row["helpers"] = prepared.group.collect(gauge.read(Cost()))[1:]
        return on_epoch(row) if on_epoch else None

    history = trainer.fit(report, retell=True)
    trained = [values for values in trainer.model.parameters() if values.requires_grad]
    measures = {"parameters": float(sum(values.numel() for values in trained))}
    search = cell.experiment.search
    if search is not None and "gap" in search.objectives:
        trained_on = validation_score(trainer.model, prepared.training_records(share=True), prepared.group)
        measures["gap"] = trained_on - history.best_score
    return measures


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
    return Preparation(
        dataset,
        cell.experiment,
        cell.fold,
        device,
        lambda: stored_statistics(store, version),
        Group.current(),
    )


def make_trainer(cell: Cell, prepared: Preparation, checkpoint: Path | None) -> Trainer:
    """Build the model and what trains it.

    Raises
    ------
    InputError
        When the model does not fit the data.
    """
    training = cell.experiment.training_for(cell.model)
    data = prepared.training(training.warmup, training.window)
    try:
        model = make_model(cell, prepared, data)
        validation, group = prepared.validation(share=True), prepared.group
        options = {field.name: getattr(training, field.name) for field in fields(TrainingOptions)}
        return Trainer(
            model,
            data,
            TrainingOptions(**options),
            seed=cell.seed,
            validate=None if validation is None else lambda model: validation_score(model, validation, group),
            checkpoint=checkpoint,
            group=group,
        )
    except ValueError as error:
        raise InputError(f"model {cell.model!r}, split {cell.fold.split!r}: {error}") from error


def make_model(cell: Cell, prepared: Preparation, data: TrainingData | SharedData | StreamedData) -> Model:
    """Build the model with its first weights.

    Raises
    ------
    ValueError
        When the model does not fit the data.
    """
    spec = cell.experiment.models[cell.model]
    assert not isinstance(spec, ClimatologyModel | PersistenceModel)  # floors are not trained
    return build_model(
        spec,
        attributes=data.attributes,
        donors=data.donors,
        forcings=prepared.forcings,
        target=prepared.target,
        scale=float(data.deviation.mean()),
        seed=cell.seed,
    ).to(prepared.device)


def _train(
    cell: Cell,
    prepared: Preparation,
    folder: Path,
    status: _Status,
    meter: Meter,
    on_progress: OnEpoch | None,
) -> Model:
    trainer = make_trainer(cell, prepared, folder / CHECKPOINT)
    status.epochs = trainer.options.epochs
    status.set(message="training")

    def report(epoch: Epoch) -> bool | None:
        row = asdict(epoch)
        append_history(folder, row)
        meter.count(epoch.samples, epoch.seconds, epoch.waiting)
        meter.helpers = prepared.group.collect(Cost())[1:]
        if meter.superseded:  # among several workers this is no thread that a signal reaches
            raise KeyboardInterrupt("another attempt has taken the run over")
        status.trained(epoch, trainer.history.epochs)
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

    def trained(self, epoch: Epoch, epochs: Sequence[Epoch]) -> None:
        """Tell of an epoch, and how long the rest will take if it goes on as lately."""
        self.seconds["train"] = sum(each.seconds for each in epochs)
        self.seconds["waiting"] = sum(each.waiting for each in epochs)
        lately = epochs[-LATELY:]
        pace = sum(each.seconds for each in lately) / len(lately)
        self.set(
            epoch=epoch.epoch,
            loss=epoch.loss,
            validation=epoch.validation,
            samples_per_second=sum(each.samples for each in lately) / max(pace * len(lately), 1e-9),
            seconds_left=pace * (self.epochs - epoch.epoch),
        )

    def set(self, **changes: Any) -> dict[str, Any]:
        """Change fields and write."""
        self.content |= {
            **changes,
            "epochs": self.epochs,
            "seconds": {**self.seconds, "total": time.perf_counter() - self.begun},
        }
        write_status(self.folder, self.content)
        return self.content
