"""What can be known to be wrong with how models are to be trained, before they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from thalweg.flows.experiment import FLOORS, Experiment

if TYPE_CHECKING:
    from thalweg.storage.splits import Fold

Problem = tuple[Sequence[str | int], str]


def resource_problems(experiment: Experiment) -> Iterator[Problem]:
    """Tell where more is wanted than this machine has."""
    resources, there = experiment.resources, os.cpu_count()
    if not there or os.environ.get("RAY_ADDRESS"):
        return
    wanted, workers = resources.cpus_per_worker, resources.workers_per_model
    if workers == 1 and wanted > there:
        yield ("resources", "cpus_per_worker"), f"{wanted:g} are more than this machine has, {there}"
    elif workers * wanted > there:
        message = f"{workers} workers of {wanted:g} CPUs are more than this machine has, {there}"
        yield ("resources", "workers_per_model"), message


def lacking(experiment: Experiment) -> list[str]:
    """Tell which GPUs are wanted that this machine lacks; elsewhere they may be there."""
    wanted = experiment.resources.gpus_per_model
    if not wanted:
        return []
    import torch

    there = torch.cuda.device_count()
    if wanted <= there:
        return []
    key = f"resources.gpus_per_worker: {experiment.resources.gpus_per_worker:g}"
    what = f"has {there}" if there else "has no GPU that torch sees"
    return [f"{key}: this machine {what}: `thalweg run` needs a cluster that has them (RAY_ADDRESS, submit)"]


def training_problems(experiment: Experiment) -> Iterator[Problem]:
    """Tell what does not fit together in the training of each model."""
    for name, model in experiment.models.items():
        if model.kind in FLOORS:
            continue
        training = experiment.training_for(name)
        own = model.training.model_fields_set  # type: ignore[union-attr]
        within = {key: ("models", name) if key in own else () for key in ("precision", "accumulate")}
        if training.precision == "fp16" and not experiment.resources.gpus_per_worker:
            keys = (*within["precision"], "training", "precision")
            yield keys, "fp16 needs a GPU (resources.gpus_per_worker); bf16 does not"
        if training.accumulate > training.batch_sites:
            message = f"a batch of {training.batch_sites} sites has no {training.accumulate} parts: give "
            keys = (*within["accumulate"], "training", "accumulate")
            yield keys, message + "at most training.batch_sites"


def share_problems(experiment: Experiment, folds: Sequence[Fold]) -> Iterator[Problem]:
    """Tell where a model has more workers than there are sites to share out to them."""
    workers = experiment.resources.workers_per_model
    fewest = min(folds, key=lambda fold: len(fold.train.sites), default=None)
    if fewest is not None and workers > len(fewest.train.sites):
        message = f"{workers} workers cannot share out {len(fewest.train.sites)} training sites, as split "
        yield ("resources", "workers_per_model"), message + f"{fewest.split!r} has"
