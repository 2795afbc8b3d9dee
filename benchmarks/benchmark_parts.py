"""What the storage benchmark runs in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from thalweg.flows.experiment import Experiment
from thalweg.flows.preparation import Preparation
from thalweg.models.batches import Batches, Streamed, make_batches
from thalweg.models.networks import Lstm
from thalweg.models.training import Trainer, TrainingOptions
from thalweg.models.training_data import StreamedData, TrainingData
from thalweg.storage.splits import Fold, make_folds
from thalweg.storage.statistics import stored_statistics
from thalweg.storage.store import open_store

TRAIN, TEST = ("1989-10-01", "1999-09-30"), ("1999-10-01", "2008-09-30")
MANY_TRAIN, MANY_TEST = ("1980-01-01", "2015-12-31"), ("2016-01-01", "2019-12-31")
SPELL = 1.0  # s


def experiment(
    store: str | Path,
    dataset: xr.Dataset,
    memory: float | None = None,
    train: Sequence[str] = TRAIN,
    test: Sequence[str] = TEST,
) -> Experiment:
    """Give an experiment on a store: all sites, and all of its forcings."""
    forcings = [
        str(name) for name, values in dataset.data_vars.items() if values.attrs.get("role") == "forcing"
    ]
    return Experiment.model_validate(
        {
            "name": "benchmark",
            "data": {"store": str(store), "forcings": forcings},
            "splits": [{"kind": "temporal", "train": train, "test": test}],
            "models": {"lstm": {"kind": "lstm"}},
            "resources": {"memory": memory},
        }
    )


def first_fold(dataset: xr.Dataset, spec: Experiment) -> Fold:
    """Give the fold of an experiment."""
    return make_folds(dataset, spec.splits[0].spec(), seed=1, target=spec.data.target)[0]


def prepare(
    store: str | Path, memory: float | None, train: Sequence[str] = TRAIN, test: Sequence[str] = TEST
) -> Preparation:
    """Open a store for training."""
    dataset = open_store(store)
    spec = experiment(store, dataset, memory, train, test)
    fold = first_fold(dataset, spec)
    return Preparation(dataset, spec, fold, torch.device("cpu"), lambda: stored_statistics(store))


def our_loaders(store: Path, window: int, batch: int) -> dict[str, Batches]:
    """Give what draws windows: from memory, and streamed with room for a third of the sites."""
    found = {}
    for name, memory in (("thalweg, in memory", 4.0), ("thalweg, streamed", 0.03)):
        data = prepare(store, memory).training(0, window)
        assert isinstance(data, StreamedData) == ("streamed" in name)
        found[name] = make_batches(data, window, 0, batch, 0)
    return found


def rate(batches: Batches) -> float:
    """Give windows a second in a spell, with one thread, as a run has by default."""
    torch.set_num_threads(1)
    batches.draw()
    seen, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < SPELL:
        seen += len(batches.draw().deviation)
    found = seen / (time.perf_counter() - begun)
    batches.close()
    return found


def write_for_peers(store: Path, file: Path) -> None:
    """Write the same years of the same sites and variables as plain arrays."""
    data = prepare(store, 4.0).training(0, 365)
    assert isinstance(data, TrainingData)
    cube = np.ascontiguousarray(data.inputs.sequence.transpose(0, 1).numpy())
    np.savez(file, forcings=cube, target=np.ascontiguousarray(data.observed.numpy().T), first=TRAIN[0])


def stream(store: str, memory: float) -> None:
    """Draw every window of one pass over a store that does not fit, then train a small network on it."""
    data = prepare(store, memory, MANY_TRAIN, MANY_TEST).training(365, 365)
    assert isinstance(data, StreamedData)
    batches = Streamed(data, 365, 365, 64, 0)
    seen, begun = 0, time.perf_counter()
    while batches.place[0] == 0:
        seen += len(batches.draw().deviation)
    seconds = time.perf_counter() - begun
    batches.close()
    torch.manual_seed(0)
    model = Lstm(data.read([0]).inputs.sequence.shape[2], data.attributes.shape[1], 64, 0.2, 1.0)
    options = TrainingOptions(epochs=1, steps_per_epoch=60)
    (epoch,) = Trainer(model, data, options).fit().epochs
    print(
        f"one pass: {seen / seconds:,.0f} windows of 730 days a second; training an LSTM of 64 units waits "
        f"{epoch.waiting / epoch.seconds:.1%} of its time"
    )
