"""A cell from store to run folder: on a small twin, so that the answer is known."""

from datetime import date

import numpy as np
import pytest
import torch
import xarray as xr

from thalweg.flows.cell import Cell, prepare, run_cell, train_cell
from thalweg.flows.experiment import Experiment
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run
from thalweg.storage.splits import make_folds
from thalweg.storage.statistics import Statistics
from thalweg.storage.store import ingest, open_store, write_store

SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": 8, "regions": 2, "years": 3, "seed": 3}
TEMPORAL = {
    "kind": "temporal",
    "train": (date(2001, 1, 1), date(2001, 12, 31)),
    "test": (date(2002, 1, 1), date(2002, 12, 31)),
}
REGIONS = {**TEMPORAL, "kind": "ungauged_regions"}
MODELS = {
    "physics": {"kind": "calibrated", "process": "hbv"},
    "lstm": {"kind": "lstm", "hidden": 8, "dropout": 0.1},
    "hybrid": {
        "kind": "hybrid",
        "process": "hbv",
        "components": 2,
        "network": {"kind": "mlp", "hidden": [8]},
    },
    "varying": {
        "kind": "hybrid",
        "process": "hbv",
        "components": 2,
        "network": {"kind": "lstm", "hidden": 4},
        "varying": ["recharge_exponent"],
    },
    "climatology": {"kind": "climatology"},
    "persistence": {"kind": "persistence"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "twin.zarr"
    ingest(path, SOURCE)
    return path


def experiment(store, split=TEMPORAL, **training):
    options = {"epochs": 2, "window": 90, "warmup": 180, "batch_sites": 4, "learning_rate": 0.02}
    return Experiment.model_validate(
        {
            "name": "small",
            "data": {"store": str(store)},
            "splits": [split],
            "models": MODELS,
            "training": {**options, **training},
        }
    )


def cells(store, model, split=TEMPORAL, seed=1, **training):
    spec = experiment(store, split, **training)
    folds = make_folds(open_store(store), spec.splits[0].spec(), seed=seed)
    return [Cell(spec, model, fold, seed) for fold in folds]


@pytest.mark.parametrize("model", sorted(MODELS))
def test_a_cell_leaves_a_complete_run_folder(store, model, tmp_path):
    (cell,) = cells(store, model)
    status = run_cell(cell, tmp_path / "e" / f"{model}--temporal--0--s1")
    run = Run(tmp_path / "e" / f"{model}--temporal--0--s1")
    assert status["state"] == run.state == "done"
    assert run.problems == []
    metrics = run.metrics()
    assert len(metrics) == 8
    assert metrics["nse"].notna().all()
    assert set(metrics["region"]) == {"A", "B"}
    predictions = run.predictions()
    assert predictions.sizes == {"site": 8, "time": 365}
    assert str(predictions.time.values[0])[:10] == "2002-01-01"
    assert run.manifest["snapshot"] == open_store(store).attrs["snapshot"]
    if model in ("climatology", "persistence"):
        assert run.kind == "floor"
        return
    assert len(run.history()) == 2
    statistics = Statistics.from_json((run.path / "statistics.json").read_text())
    assert run.manifest["statistics_hash"] == statistics.hash
    torch.load(run.path / "weights.pt", weights_only=True)
    if model == "lstm":
        return
    fluxes, parameters = run.fluxes(), run.parameters()
    assert fluxes["discharge"].dims == ("site", "time")
    assert fluxes["soil_moisture"].attrs["units"] == "mm"
    assert parameters["field_capacity"].dims == ("site", "component")
    if model == "varying":
        assert parameters["recharge_exponent"].dims == ("site", "time")
    # the reference is the truth's own baseflow, which no model was given
    truth = open_store(store).sel(time=fluxes.time)
    expected = truth["baseflow"].sum("time") / truth["discharge"].sum("time")
    np.testing.assert_allclose(metrics["baseflow_index_reference"], expected, rtol=1e-5)
    simulated = (fluxes["baseflow"].sum("time") / fluxes["discharge"].sum("time")).values
    np.testing.assert_allclose(metrics["baseflow_index_simulated"], simulated, rtol=1e-4)


def test_persistence_is_yesterday(store, tmp_path):
    (cell,) = cells(store, "persistence")
    run_cell(cell, tmp_path / "e" / "p--temporal--0--s0")
    simulated = Run(tmp_path / "e" / "p--temporal--0--s0").predictions()["simulated"].values
    observed = open_store(store)["discharge"].sel(time=slice("2001-12-31", "2002-12-30")).values
    np.testing.assert_array_equal(simulated, observed)


def test_ungauged_regions_are_tested_on_sites_never_trained_on(store, tmp_path):
    for cell in cells(store, "physics", REGIONS):
        folder = tmp_path / "e" / f"physics--ungauged_regions--{cell.fold.fold}--s1"
        run_cell(cell, folder)
        assert set(Run(folder).metrics()["site"]) == set(cell.fold.test.sites)
        assert not set(cell.fold.test.sites) & set(cell.fold.train.sites)


@pytest.mark.parametrize("model", ["lstm", "hybrid", "physics"])
def test_nothing_of_the_test_part_reaches_weights_or_statistics(store, model, tmp_path):
    """Held-out sites and the held-out years are changed wildly: not one bit of the model moves."""
    cell = cells(store, model, REGIONS)[0]
    run_cell(cell, tmp_path / "e" / "a--r--0--s1")

    dataset = open_store(store).load()
    wild = dataset.copy(deep=True)
    held_out = list(cell.fold.test.sites)
    for name in wild.data_vars:
        if wild[name].dtype.kind == "f":
            wild[name].loc[{"site": held_out}] = wild[name].sel(site=held_out) * 37.0 + 11.0
    later = wild.time > np.datetime64("2001-12-31")
    wild["discharge"] = xr.where(later, wild["discharge"] * 5 + 3, wild["discharge"], keep_attrs=True)
    changed = tmp_path / "wild.zarr"
    write_store(changed, wild, {"kind": "changed"})

    data = cell.experiment.data.model_copy(update={"store": str(changed)})
    spec = cell.experiment.model_copy(update={"data": data})
    run_cell(Cell(spec, model, cell.fold, 1), tmp_path / "e" / "b--r--0--s1")
    first, second = (tmp_path / "e" / name for name in ("a--r--0--s1", "b--r--0--s1"))
    a, b = (torch.load(folder / "weights.pt", weights_only=True) for folder in (first, second))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (first / "statistics.json").read_text() == (second / "statistics.json").read_text()
    assert not Run(first).metrics()["nse"].equals(Run(second).metrics()["nse"]), "the test part did change"


def test_an_interrupted_cell_goes_on_to_the_same_bits(store, tmp_path):
    (cell,) = cells(store, "lstm", epochs=4)
    run_cell(cell, tmp_path / "e" / "whole--t--0--s1")
    folder = tmp_path / "e" / "cut--t--0--s1"

    def interrupt(epoch):
        if epoch["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cell(cell, folder, interrupt)
    assert Run(folder).state == "stopped"
    run_cell(cell, folder)
    whole, cut = Run(tmp_path / "e" / "whole--t--0--s1"), Run(folder)
    assert cut.state == "done"
    assert list(cut.history()["epoch"]) == [1, 2, 3, 4]
    assert cut.history()["loss"].equals(whole.history()["loss"])
    assert cut.metrics()["nse"].equals(whole.metrics()["nse"])


def test_a_search_trial_reports_validation_and_stops_when_told(store):
    early, late = (date(2002, 1, 1), date(2002, 6, 30)), (date(2002, 7, 1), date(2002, 12, 31))
    split = {**TEMPORAL, "validate": early, "test": late}
    (cell,) = cells(store, "lstm", split, epochs=5)
    seen = []

    def on_epoch(epoch):
        seen.append(epoch["validation"])
        return len(seen) == 2

    measures = train_cell(cell, None, on_epoch)
    assert len(seen) == 2
    assert all(np.isfinite(seen))
    # an LSTM of 8 cells on 3 forcings and the attributes, with two biases, and its head
    attributes = len(prepare(cell).attributes)
    assert measures == {"parameters": 4 * 8 * (3 + attributes + 8 + 2) + 8 + 1}


@pytest.mark.parametrize("training", [{"window": 400, "warmup": 400}, {"warmup": 1200, "window": 10}])
def test_a_window_longer_than_the_record_is_refused(store, training, tmp_path):
    (cell,) = cells(store, "lstm", **training)
    with pytest.raises(InputError, match="do not fit into"):
        run_cell(cell, tmp_path / "e" / "x--t--0--s1")
    assert Run(tmp_path / "e" / "x--t--0--s1").state == "failed"


def test_a_missing_forcing_is_named(store, tmp_path):
    (cell,) = cells(store, "physics")
    data = cell.experiment.data.model_copy(update={"forcings": ("precipitation", "temperature")})
    spec = cell.experiment.model_copy(update={"data": data})
    with pytest.raises(InputError, match="potential_evapotranspiration"):
        run_cell(Cell(spec, "physics", cell.fold, 1), tmp_path / "e" / "x--t--0--s1")


@pytest.mark.parametrize("model", ["lstm", "hybrid"])
def test_a_site_that_lacks_one_attribute_is_named(store, model, tmp_path):
    dataset = open_store(store).load().copy(deep=True)
    dataset["slope"].loc[{"site": "twin_0003"}] = np.nan
    write_store(tmp_path / "gap.zarr", dataset, {"kind": "gap"})
    (cell,) = cells(tmp_path / "gap.zarr", model)
    with pytest.raises(InputError, match=r"'slope' is missing .* twin_0003"):
        run_cell(cell, tmp_path / "e" / "x--t--0--s1")


def test_a_hybrid_without_attributes_is_refused(store, tmp_path):
    (cell,) = cells(store, "hybrid")
    data = cell.experiment.data.model_copy(update={"attributes": ()})
    spec = cell.experiment.model_copy(update={"data": data})
    with pytest.raises(InputError, match="maps attributes to parameters"):
        run_cell(Cell(spec, "hybrid", cell.fold, 1), tmp_path / "e" / "x--t--0--s1")


def test_a_test_part_too_short_to_score_is_refused(store):
    split = {**TEMPORAL, "test": (date(2002, 1, 1), date(2002, 1, 10))}
    with pytest.raises(InputError, match="at most 10 observed days"):
        cells(store, "lstm", split)
