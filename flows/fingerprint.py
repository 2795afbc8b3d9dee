"""What determines a run's result, as one short text: the same text, the same result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from thalweg.flows.experiment import FLOORS, Experiment


def fingerprint(experiment: Experiment, model: str, split: str, fold: str, seed: int, snapshot: str) -> str:
    """Give the hash of all that determines a cell's result, except the software's version.

    Parameters
    ----------
    snapshot : hash of the store's content.
    """
    return hashlib.sha256(
        json.dumps(_content(experiment, model, split, fold, seed, snapshot)).encode()
    ).hexdigest()


def fingerprint_of(manifest: Mapping[str, Any]) -> str:
    """Give the fingerprint of a run that exists; empty when its manifest is of another kind."""
    try:
        return fingerprint(
            Experiment.model_validate(manifest["config"]),
            *(manifest[key] for key in ("model", "split", "fold", "seed", "snapshot")),
        )
    except (KeyError, ValidationError):
        return ""


def changes(manifest: Mapping[str, Any], experiment: Experiment, model: str, snapshot: str) -> list[str]:
    """Give the dotted keys in which a run that exists differs, for people."""
    try:
        before = Experiment.model_validate(manifest["config"])
    except (KeyError, ValidationError):
        return ["config"]
    cell = (str(manifest.get("split")), str(manifest.get("fold")), int(manifest.get("seed", 0)))
    try:
        old = _flat(_content(before, model, *cell, str(manifest.get("snapshot"))))
    except KeyError:
        return [f"models.{model}"]
    new = _flat(_content(experiment, model, *cell, snapshot))
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))


def _content(
    experiment: Experiment, model: str, split: str, fold: str, seed: int, snapshot: str
) -> dict[str, Any]:
    spec = experiment.models[model].model_dump(mode="json", exclude={"training"})
    training = experiment.training_for(model).model_dump(mode="json", exclude={"seeds", "checkpoint_every"})
    by_label = {item.label: item.model_dump(mode="json") for item in experiment.splits}
    return {
        "data": experiment.data.model_dump(mode="json", exclude={"store", "source"}),
        "splits": {split: by_label[split]},
        "models": {model: spec},
        "training": None if experiment.models[model].kind in FLOORS else training,
        # all models of an experiment are scored on the same days
        "warmup": max(experiment.training_for(name).warmup for name in experiment.models),
        "cell": [fold, seed],
        "snapshot": snapshot,
    }


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix: content}
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return found
