"""What makes a run another run, and what does not."""

import importlib
import os
import sys

import pytest

from thalweg.flows.experiment import Experiment, override
from thalweg.flows.fingerprint import changes, fingerprint, fingerprint_of, process_source


@pytest.fixture
def experiment(content):
    return Experiment.model_validate(content)


def of(experiment, model="hybrid", split="temporal", fold="0", seed=1, snapshot="abc"):
    return fingerprint(experiment, model, split, fold, seed, snapshot)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.seeds", [1, 2]),
        ("training.checkpoint_every", 5),
        ("training.checkpoint_seconds", 5),
        ("resources.memory", 2.5),
        ("data.store", "moved.zarr"),
        ("name", "other"),
        ("resources.cpus_per_worker", 2),
        ("resources.workers_per_model", 2),
        ("training.precision", "float32"),
        ("models.physics.components", 3),
        ("splits.ungauged_regions.validate_share", 0.5),
    ],
)
def test_the_same_run(experiment, key, value):
    assert of(override(experiment, {key: value})) == of(experiment)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.epochs", 3),
        ("training.precision", "bf16"),
        ("training.warmup", 80),
        ("models.hybrid.components", 3),
        ("models.hybrid.training.learning_rate", 0.1),
        ("models.physics.training.warmup", 200),  # moves the days that all models are scored on
        ("data.attributes", ["slope"]),
        ("splits.temporal.test", ["2002-01-01", "2002-06-30"]),
    ],
)
def test_another_run(experiment, key, value):
    assert of(override(experiment, {key: value})) != of(experiment)


def test_cells_differ(experiment):
    texts = {
        of(experiment),
        of(experiment, seed=2),
        of(experiment, snapshot="abd"),
        of(experiment, model="physics"),
        of(experiment, split="ungauged_regions"),
        of(experiment, split="ungauged_regions", fold="A"),
    }
    assert len(texts) == 6


def test_a_manifest_is_compared(experiment):
    cell = {"model": "hybrid", "split": "temporal", "fold": "0", "seed": 1, "snapshot": "abc"}
    source = process_source(experiment, "hybrid")
    manifest = {**cell, "config": experiment.model_dump(mode="json"), "process_source": source}
    assert fingerprint_of(manifest) == of(experiment)
    assert fingerprint_of({"config": {"name": "x"}}) == ""
    changed = override(experiment, {"training.epochs": 3, "models.hybrid.network.hidden": [5]})
    assert changes(manifest, changed, "hybrid", "abc") == ["models.hybrid.network.hidden", "training.epochs"]
    assert changes(manifest, experiment, "hybrid", "other") == ["snapshot"]


def test_an_edited_process_is_another_run(content, folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    file = folder / "edited_lab.py"
    text = "from thalweg.models.processes.hbv import Hbv\n\n\nclass Mine(Hbv):\n    pass\n"
    file.write_text(text)
    content["models"]["hybrid"]["process"] = "edited_lab:Mine"
    experiment = Experiment.model_validate(content)
    cell = {"model": "hybrid", "split": "temporal", "fold": "0", "seed": 1, "snapshot": "abc"}
    manifest = {**cell, "config": experiment.model_dump(mode="json")}
    manifest["process_source"] = process_source(experiment, "hybrid")
    assert fingerprint_of(manifest) == of(experiment)
    assert changes(manifest, experiment, "hybrid", "abc") == []

    file.write_text(text + "    bent = True\n")
    os.utime(file, (1, 1))  # an edit within one second must be seen by the import too
    importlib.reload(sys.modules["edited_lab"])
    assert fingerprint_of(manifest) != of(experiment)
    assert changes(manifest, experiment, "hybrid", "abc") == ["models.hybrid.process (its source changed)"]


def test_models_without_a_process_have_no_source(experiment):
    assert process_source(experiment, "climatology") is None
    assert process_source(experiment, "hybrid") == process_source(experiment, "physics")
