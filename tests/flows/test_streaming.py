"""Cells whose data do not fit into the memory they may take: streamed, and otherwise the same."""

from datetime import date

import numpy as np
import pytest
import torch
import xarray as xr

from thalweg.flows import preparation
from thalweg.flows.cell import Cell, make_trainer, prepare, run_cell
from thalweg.flows.experiment import Experiment
from thalweg.flows.memory import data_budget, device_budget, whole_memory
from thalweg.flows.outcome import write_trained
from thalweg.flows.prediction import validation_score
from thalweg.flows.search_spec import Resources
from thalweg.models.training_data import StreamedData, TrainingData
from thalweg.storage import sites
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run
from thalweg.storage.splits import make_folds
from thalweg.storage.store import ingest, open_store, write_store

SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": 9, "regions": 2, "years": 3, "seed": 3}
SPLIT = {
    "kind": "temporal",
    "train": (date(2001, 1, 1), date(2001, 12, 31)),
    "validate": (date(2002, 1, 1), date(2002, 6, 30)),
    "test": (date(2002, 7, 1), date(2002, 12, 31)),
}
MODELS = {
    "lstm": {"kind": "lstm", "hidden": 4},
    "headed": {"kind": "lstm", "hidden": 4, "head": {"kind": "cmal", "components": 2}},
    "hybrid": {"kind": "hybrid", "process": "hbv", "components": 2},
    "physics": {"kind": "calibrated", "process": "hbv"},
    "persistence": {"kind": "persistence"},
}
# 545 days of 3 forcings twice and a target take 15 kB a site: blocks of 2 sites
MEMORY = 110e3 / 1e9


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "twin.zarr"
    ingest(path, SOURCE)
    return path


def cell(store, model="lstm", memory=MEMORY, **training):
    spec = Experiment.model_validate(
        {
            "name": "small",
            "data": {"store": str(store)},
            "splits": [SPLIT],
            "models": MODELS,
            "training": {"epochs": 2, "window": 60, "warmup": 180, "batch_sites": 2, **training},
            "resources": {"memory": memory},
        }
    )
    (fold,) = make_folds(open_store(store), spec.splits[0].spec(), seed=1)
    return Cell(spec, model, fold, 1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Two sites lie together, so that nine of them are several groups."""
    monkeypatch.setattr(preparation, "CHUNK_SITES", 2)
    monkeypatch.setattr(sites, "CHUNK_SITES", 2)


def test_what_does_not_fit_is_streamed_and_the_same_in_every_number(store):
    whole = prepare(cell(store, memory=1.0)).training(180, 60)
    parts = prepare(cell(store)).training(180, 60)
    assert isinstance(whole, TrainingData)
    assert isinstance(parts, StreamedData)
    assert 2 <= parts.block_sites < 9
    places = [7, 2, 5]
    some = parts.read(places)
    torch.testing.assert_close(some.inputs.sequence, whole.inputs.sequence[:, places], rtol=0, atol=0)
    torch.testing.assert_close(some.observed, whole.observed[:, places], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(some.inputs.site, torch.tensor(places))
    torch.testing.assert_close(parts.attributes, whole.attributes, rtol=0, atol=0)
    torch.testing.assert_close(parts.deviation, whole.deviation)
    assert torch.equal(parts.donors, whole.donors)
    assert torch.equal(parts.observed_days, torch.isfinite(whole.observed[180:]).sum(0))


@pytest.mark.parametrize("model", ["lstm", "hybrid", "physics", "persistence"])
def test_a_streamed_cell_leaves_a_complete_run_folder(store, model, tmp_path):
    folder = tmp_path / "e" / f"{model}--temporal--0--s1"
    status = run_cell(cell(store, model), folder)
    run = Run(folder)
    assert run.state == "done"
    assert run.problems == []
    assert run.metrics()["nse"].notna().all()
    assert sorted(run.metrics()["site"]) == sorted(open_store(store)["site"].values)
    assert run.predictions().sizes == {"site": 9, "time": 184}
    if model != "persistence":
        assert 0 < status["seconds"]["waiting"] < status["seconds"]["train"]
        assert run.history()["waiting"].sum() == pytest.approx(status["seconds"]["waiting"])


@pytest.mark.parametrize("model", ["headed", "hybrid"])
def test_validation_and_test_in_blocks_change_no_number(store, model, tmp_path):
    found = {}
    for name, memory in (("whole", 1.0), ("blocks", MEMORY)):
        this = cell(store, model, memory)
        prepared = prepare(this)
        trainer = make_trainer(this, prepared, None)
        count = len(list(prepared.test()))
        assert count == 1 if name == "whole" else count > 3
        folder = tmp_path / "e" / f"{name}--t--0--s1"
        folder.mkdir(parents=True)
        write_trained(trainer.model, prepared, folder)
        run = Run(folder)
        found[name] = [validation_score(trainer.model, prepared.validation()), run.metrics()]
        found[name] += [run.predictions().load(), run.fluxes(), run.parameters()]
        found[name] += [run.forecast(), run.validated().load(), run.validated_forecast()]
    whole, blocks = found["whole"], found["blocks"]
    assert whole[0] == pytest.approx(blocks[0], abs=1e-5)
    for column in whole[1].select_dtypes("number"):
        np.testing.assert_allclose(whole[1][column], blocks[1][column], rtol=1e-3, atol=1e-4)
    for a, b in zip(whole[2:], blocks[2:], strict=True):
        if a is not None:
            xr.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            assert a.attrs.get("floor") == b.attrs.get("floor")
            assert a["region"].values.tolist() == b["region"].values.tolist()
            assert {n: v.attrs.get("units") for n, v in a.items()} == {
                n: v.attrs.get("units") for n, v in b.items()
            }


def test_an_interrupted_streamed_cell_goes_on_to_the_same_bits(store, tmp_path):
    this = cell(store, epochs=3)
    run_cell(this, tmp_path / "e" / "whole--t--0--s1")
    folder = tmp_path / "e" / "cut--t--0--s1"

    def interrupt(epoch):
        if epoch["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cell(this, folder, interrupt)
    run_cell(this, folder)
    whole, cut = Run(tmp_path / "e" / "whole--t--0--s1"), Run(folder)
    assert cut.history()["loss"].equals(whole.history()["loss"])
    assert cut.metrics()["nse"].equals(whole.metrics()["nse"])


def test_a_gap_in_a_forcing_is_said_before_anything_is_trained(store, tmp_path):
    dataset = open_store(store).load().copy(deep=True)
    dataset["temperature"].loc[{"site": "twin_0004", "time": "2001-05-05"}] = np.nan
    write_store(tmp_path / "gap.zarr", dataset, {"kind": "gap"})
    with pytest.raises(InputError, match="forcing 'temperature' is missing at site twin_0004"):
        prepare(cell(tmp_path / "gap.zarr")).training(180, 60)


def test_the_budget_is_what_is_given_or_a_share_of_the_machines():
    assert data_budget(Resources(memory=2.5)) == 2_500_000_000
    one, four = data_budget(Resources(workers=1)), data_budget(Resources(workers=4))
    assert 0 < one < whole_memory()
    assert one / four == pytest.approx(4, rel=0.2)
    assert device_budget(torch.device("cpu"), Resources()) == float("inf")
