"""What determines a run's result, as one short text: the same text, the same result."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from thalweg.flows.experiment import FLOORS, CalibratedModel, Experiment, HybridModel

STORED = {"store", "source", "quality", "ingest"}  # of data: the snapshot says what came of them
OPTIONAL = ("head", "mc_dropout")
USUAL = {"precision": "float32", "accumulate": 1}  # of training


def fingerprint(experiment: Experiment, model: str, split: str, fold: str, seed: int, snapshot: str) -> str:
    """Give the hash of all that determines a cell's result, except the software's version.

    The process model's source counts as it is now.

    Parameters
    ----------
    snapshot : hash of the store's content, or what :func:`versions` gives of several.
    """
    return _hash(_content(experiment, model, split, fold, seed, snapshot), process_source(experiment, model))


def configuration(experiment: Experiment, model: str) -> str:
    """Give 16 digits that tell a model from every other, whatever its seed, its fold and its experiment."""
    content = _content(experiment, model, experiment.splits[0].labels[0], "", 0, "")
    own = {key: content[key] for key in ("data", "training")} | {"model": content["models"][model]}
    return _hash(own, process_source(experiment, model))[:16]


def process_source(experiment: Experiment, model: str) -> str | None:
    """Give the hash of the source that defines a model's process; None for a model without one.

    It is of the whole module of the class, and of those of the classes that it extends. A class without
    a source file, such as one typed into a session, counts by its declaration.
    """
    from thalweg.models.process import ProcessModel
    from thalweg.models.processes import find_process

    spec = experiment.models[model]
    if not isinstance(spec, CalibratedModel | HybridModel):
        return None
    bases = [base for base in type(find_process(spec.process)).__mro__ if base not in (ProcessModel, object)]
    return hashlib.sha256("\0".join(map(_source, bases)).encode()).hexdigest()


def _source(kind: type) -> str:
    try:
        return inspect.getsource(sys.modules[kind.__module__])
    except (OSError, TypeError, KeyError):
        declared = ("forcings", "states", "parameters", "fluxes", "balance")
        return repr([getattr(kind, key, None) for key in declared])


def _hash(content: dict[str, Any], source: str | None) -> str:
    return hashlib.sha256(json.dumps([content, source]).encode()).hexdigest()


def versions(snapshot: str, tested: str | None) -> str:
    """Give the versions of all stores that a run reads: of its own and, where it tests another, of that."""
    return f"{snapshot}+{tested}" if tested else snapshot


def _versions_of(manifest: Mapping[str, Any]) -> str:
    test = manifest.get("test")
    return versions(str(manifest.get("snapshot")), test.get("version") if isinstance(test, dict) else None)


def fingerprint_of(manifest: Mapping[str, Any]) -> str:
    """Give the fingerprint of a run that exists; empty when its manifest is of another kind."""
    try:
        model, split, fold, seed = (manifest[key] for key in ("model", "split", "fold", "seed"))
        experiment = Experiment.model_validate(manifest["config"])
        content = _content(experiment, model, split, fold, seed, _versions_of(manifest))
        return _hash(content, manifest.get("process_source"))
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
        old = _flat(_content(before, model, *cell, _versions_of(manifest)))
    except KeyError:
        return [f"models.{model}"]
    new = _flat(_content(experiment, model, *cell, snapshot))
    found = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    process = f"models.{model}.process"
    if process not in found and manifest.get("process_source") != process_source(experiment, model):
        found.append(f"{process} (its source changed)")
    return found


def _content(
    experiment: Experiment, model: str, split: str, fold: str, seed: int, snapshot: str
) -> dict[str, Any]:
    spec = experiment.models[model].model_dump(mode="json", exclude={"training", "conformal"})
    # as if there were no such key: runs made before there was one are the same
    spec = {key: value for key, value in spec.items() if value is not None or key not in OPTIONAL}
    saving = {"checkpoint_every", "checkpoint_seconds"}
    training = experiment.training_for(model).model_dump(mode="json", exclude={"seeds", *saving})
    training = {key: value for key, value in training.items() if value != USUAL.get(key, ...)}
    by_label = {label: item.content(label) for item in experiment.splits for label in item.labels}
    return {
        "data": experiment.data.model_dump(mode="json", exclude=STORED),
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
