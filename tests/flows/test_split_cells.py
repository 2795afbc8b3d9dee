"""Cells on parts with holes and on another store: what trains, what is scored, and that nothing leaks."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import torch
import xarray as xr

from thalweg.flows import preparation
from thalweg.flows.cell import Cell, make_trainer, prepare, run_cell
from thalweg.flows.check import check
from thalweg.flows.experiment import Experiment
from thalweg.flows.fingerprint import configuration, fingerprint, versions
from thalweg.flows.outcome import write_floor
from thalweg.flows.plan import FOLD_SEED, make_jobs
from thalweg.flows.preparation import Preparation
from thalweg.flows.reproduction import cell_of
from thalweg.flows.twin import twin
from thalweg.models.training_data import StreamedData, TrainingData
from thalweg.storage import looks, sites
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run
from thalweg.storage.splits import Part, make_folds
from thalweg.storage.store import ingest, open_store, write_store

SITES, YEARS = 6, 7
SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": SITES, "regions": 2, "years": YEARS, "seed": 3}
PERIODS = {"period": ["2001-01-01", "2006-12-30"], "first_month": 1}
SPLITS = {
    "wettest": {"kind": "extreme_years", "share": 0.25, "validate_share": 0.3, **PERIODS},
    "floods": {"kind": "extreme_years", "extreme": "floods", "return_period": 3, "event_days": 20, **PERIODS},
    "dry-to-wet": {"kind": "differential", **PERIODS},
    "blocks": {"kind": "spatial_blocks", "folds": 2, "block_km": 400, "buffer_km": 0},
    "share": {"kind": "data_share", "shares": [1.0, 0.5], "test_share": 0.4},
    "record": {
        "kind": "data_share",
        "of": "years",
        "shares": [0.34],
        "train": ["2001-01-01", "2003-12-31"],
        "test": ["2004-01-01", "2005-12-31"],
    },
}
MODELS = {
    "lstm": {"kind": "lstm", "hidden": 4},
    "hybrid": {"kind": "hybrid", "components": 2, "network": {"kind": "mlp", "hidden": [4]}},
    "climatology": {"kind": "climatology"},
    "persistence": {"kind": "persistence"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "twin.zarr"
    ingest(path, SOURCE)
    return path


def experiment(store, split, memory=1.0, **training):
    options = {"epochs": 1, "steps_per_epoch": 3, "window": 120, "warmup": 180, "batch_sites": 3, **training}
    return Experiment.model_validate(
        {
            "name": "small",
            "data": {"store": str(store)},
            "splits": [split],
            "models": MODELS,
            "training": options,
            "resources": {"memory": memory},
        }
    )


def cell_on(store, split, model="lstm", **options):
    spec = experiment(store, split if isinstance(split, dict) else SPLITS[split], **options)
    fold = make_folds(open_store(store), spec.splits[0].spec(), FOLD_SEED, "discharge")[0]
    return Cell(spec, model, fold, 1)


@pytest.mark.parametrize("split", sorted(SPLITS))
def test_a_cell_is_scored_on_the_days_of_its_test_alone(store, split, tmp_path):
    cell = cell_on(store, split)
    run_cell(cell, tmp_path / "small" / f"lstm--{cell.fold.split}--0--s1")
    run = Run(tmp_path / "small" / f"lstm--{cell.fold.split}--0--s1")
    assert (run.state, run.problems) == ("done", [])
    found = run.predictions().load()
    test = cell.fold.test
    assert tuple(found.site.values) == test.sites
    there = np.isfinite(found["observed"].values)
    np.testing.assert_array_equal(there, test.counted(found.time.values).T)
    assert np.isfinite(found["simulated"].values).all()
    metrics = run.metrics()
    assert metrics["n_days"].tolist() == there.sum(1).tolist()
    assert metrics["nse"].notna().all()
    assert run.manifest["test"]["id"] == test.digest("discharge")
    assert run.manifest["test"].get("days") == test.summary().get("days")
    assert (run.manifest["nearest_trained_km"] is None) == (set(test.sites) <= set(cell.fold.train.sites))
    assert looks.count(tmp_path, [test.digest("discharge")]).models == 1
    assert len(run.validation()) == (0 if cell.fold.validate is None else SITES)


def poison(dataset, part, name="discharge", *, keep):
    """Nonsense on the days of a part, or on all others."""
    names = [str(site) for site in dataset["site"].values]
    inside = np.zeros((len(names), dataset.sizes["time"]), dtype=bool)
    inside[[names.index(site) for site in part.sites]] = part.counted(dataset["time"].values).T
    mask = xr.DataArray(inside if keep else ~inside, dims=("site", "time"))
    return dataset.assign({name: dataset[name].where(mask, 777.0)})


def prepared(dataset, cell):
    return Preparation(dataset, cell.experiment, cell.fold, torch.device("cpu"))


@pytest.mark.parametrize("split", ["wettest", "floods", "dry-to-wet", "record"])
def test_training_sees_no_observation_of_another_day(store, split):
    cell, dataset = cell_on(store, split), open_store(store).load()
    clean = prepared(dataset, cell).training(180, 120)
    spoilt = prepared(poison(dataset, cell.fold.train, keep=True), cell).training(180, 120)
    torch.testing.assert_close(spoilt.observed, clean.observed, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(spoilt.deviation, clean.deviation, rtol=0, atol=0)
    torch.testing.assert_close(spoilt.inputs.sequence, clean.inputs.sequence, rtol=0, atol=0)
    counted = cell.fold.train.counted(dataset["time"].values)
    assert int(torch.isfinite(clean.observed).sum()) == int(counted.sum())
    # windows to learn from, although most days do not count
    trainer = make_trainer(cell, prepared(dataset, cell), None)
    for _ in range(20):
        assert torch.isfinite(trainer.batches.draw().observed).any(0).all()


def test_scaling_and_floors_know_nothing_of_the_test(store, tmp_path):
    cell, dataset = cell_on(store, "wettest", "climatology"), open_store(store).load()
    spoilt = poison(dataset, cell.fold.test, keep=False)
    for name in cell.experiment.data.forcings:
        spoilt = poison(spoilt, cell.fold.test, name, keep=False)
    assert prepared(spoilt, cell).statistics.hash == prepared(dataset, cell).statistics.hash
    found = []
    for number, data in enumerate((dataset, spoilt)):
        write_floor("climatology", prepared(data, cell), tmp_path / str(number))
        found.append(Run(tmp_path / str(number)).predictions()["simulated"].values)
    np.testing.assert_array_equal(*found)


def test_the_score_and_the_choice_of_weights_know_nothing_of_other_days(store):
    cell, dataset = cell_on(store, "wettest"), open_store(store).load()
    for part in (cell.fold.test, cell.fold.validate):
        clean, spoilt = (
            prepared(data, cell).record(part, 180) for data in (dataset, poison(dataset, part, keep=True))
        )
        torch.testing.assert_close(spoilt.target, clean.target, rtol=0, atol=0, equal_nan=True)
        assert torch.isfinite(clean.target).any(0).all()


def test_a_test_that_lies_in_the_warm_up_is_refused(store):
    cell = cell_on(store, "wettest")
    early = [(date(2000, 1, 1), date(2000, 2, 1)), (date(2000, 3, 1), date(2000, 5, 31))]
    fold = replace(cell.fold, test=Part.of_periods(dict.fromkeys(cell.fold.test.sites, early)))
    with pytest.raises(
        InputError, match=r"nothing of 2000-01-01 to 2000-05-31 is left after 180 days of warm-up"
    ):
        prepare(replace(cell, fold=fold)).test()


def test_persistence_is_told_the_day_before_also_where_it_does_not_count(store, tmp_path):
    cell = cell_on(store, "floods", "persistence")
    write_floor("persistence", prepare(cell), tmp_path)
    found = Run(tmp_path).predictions().load()
    truth = open_store(store)["discharge"].sel(site=found.site, time=found.time).values
    np.testing.assert_allclose(found["simulated"].values[:, 1:], truth[:, :-1], rtol=1e-6)


def test_a_part_with_holes_is_streamed_to_the_same_numbers(store, monkeypatch):
    monkeypatch.setattr(preparation, "CHUNK_SITES", 2)
    monkeypatch.setattr(sites, "CHUNK_SITES", 2)
    whole = prepare(cell_on(store, "wettest")).training(180, 120)
    parts = prepare(cell_on(store, "wettest", memory=2e-4)).training(180, 120)
    assert isinstance(whole, TrainingData)
    assert isinstance(parts, StreamedData)
    some = parts.read([4, 1])
    assert some.sparse
    torch.testing.assert_close(some.observed, whole.observed[:, [4, 1]], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(some.inputs.sequence, whole.inputs.sequence[:, [4, 1]], rtol=0, atol=0)
    torch.testing.assert_close(parts.deviation, whole.deviation)
    assert torch.equal(parts.observed_days, torch.isfinite(whole.observed[180:]).sum(0))


def test_baseflow_of_the_test_days_alone(store, tmp_path):
    cell = cell_on(store, "wettest", "hybrid")
    folder = tmp_path / "small" / "hybrid--t--0--s1"
    run_cell(cell, folder)
    run = Run(folder)
    fluxes = run.fluxes().load()
    counted = xr.DataArray(cell.fold.test.counted(fluxes.time.values).T, dims=("site", "time"))
    share = (
        fluxes["baseflow"].where(counted).sum("time") / fluxes["discharge"].where(counted).sum("time")
    ).values
    np.testing.assert_allclose(run.metrics()["baseflow_index_simulated"], share, rtol=1e-4)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Other rivers, far from those of the store."""
    path = tmp_path_factory.mktemp("other") / "other.zarr"
    made = twin(sites=4, regions=2, years=3, seed=9, start="2003-01-01")
    made = made.assign_coords(site=[f"far_{number}" for number in range(4)], latitude=made["latitude"] - 60)
    write_store(path, made, {"kind": "made", "number": 1})
    return path


def test_another_store_is_scored_and_its_version_belongs_to_the_run(store, other, tmp_path):
    split = {"kind": "another_store", "store": str(other), "train": ["2001-01-01", "2005-12-31"]}
    cell = cell_on(store, split, "hybrid")
    folder = tmp_path / "small" / "hybrid--another_store--0--s1"
    run_cell(cell, folder)
    run = Run(folder)
    found = run.predictions().load()
    assert list(found.site.values) == ["far_0", "far_1", "far_2", "far_3"]
    elsewhere = open_store(other)
    np.testing.assert_allclose(found["latitude"], elsewhere["latitude"])
    truth = elsewhere["discharge"].sel(time=found.time).values
    np.testing.assert_allclose(found["observed"].values, truth, rtol=1e-6)
    assert str(found.time.values[0])[:10] == "2003-06-30"  # after the warm-up that the other store allows
    reference = run.metrics()["baseflow_index_reference"]
    expected = elsewhere["baseflow"].sel(time=found.time).sum("time") / truth.sum(1)
    np.testing.assert_allclose(reference, expected, rtol=1e-5)
    snapshot, tested = str(open_store(store).attrs["snapshot"]), str(elsewhere.attrs["snapshot"])
    assert run.manifest["test"]["version"] == tested
    pinned = replace(cell, snapshot=snapshot)
    (job,) = make_jobs([pinned], tmp_path, snapshot)
    assert job.state == "kept"
    assert cell_of(run).fold == cell.fold
    changed = replace(pinned, fold=replace(cell.fold, test=replace(cell.fold.test, version="newer")))
    (job,) = make_jobs([changed], tmp_path, snapshot, force=True)
    assert job.replaces


def test_a_store_that_lacks_what_models_are_trained_on(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = twin(sites=4, regions=2, years=3, seed=9).drop_vars(["slope", "potential_evapotranspiration"])
    made = made.assign_coords(site=[f"far_{number}" for number in range(4)], latitude=made["latitude"] - 60)
    write_store("other.zarr", made, {"kind": "made"})
    file = tmp_path / "e.yaml"
    file.write_text(
        f"name: e\ndata: {{store: {store}}}\nmodels: {{l: {{kind: lstm}}}}\n"
        "splits: [{kind: another_store, store: other.zarr}]\n"
    )
    (problem,) = check(file).problems
    assert "e.yaml:4: splits.0.store: other.zarr lacks potential_evapotranspiration, slope, which" in problem


def test_a_share_that_is_added_changes_no_other_run(store):
    few, more = (
        experiment(store, {"kind": "data_share", "shares": shares}) for shares in ([0.5], [0.5, 0.25])
    )
    digests = {fingerprint(each, "lstm", "data_share-50", "0", 1, "x") for each in (few, more)}
    assert len(digests) == 1
    assert versions("x", None) == "x"
    assert versions("x", "y") != versions("x", "z")


def test_a_configuration_is_of_the_model_alone(store):
    one, two = experiment(store, SPLITS["wettest"]), experiment(store, SPLITS["blocks"])
    assert configuration(one, "lstm") == configuration(two, "lstm")
    assert configuration(one, "lstm") != configuration(one, "hybrid")
    assert configuration(one, "lstm") != configuration(experiment(store, SPLITS["blocks"], window=90), "lstm")
