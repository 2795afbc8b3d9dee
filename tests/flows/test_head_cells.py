"""Cells of models that give distributions: what they leave, of the test and of validation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thalweg.evaluation.uncertainty.probabilistic import probabilistic_skill
from thalweg.flows.cell import Cell, run_cell, train_cell
from thalweg.flows.experiment import Experiment
from thalweg.flows.products.run_data import RunData
from thalweg.storage.results import Run, forecast_of
from thalweg.storage.splits import make_folds
from thalweg.storage.store import open_store

HYBRID = {
    "kind": "hybrid",
    "process": "hbv",
    "components": 2,
    "network": {"kind": "mlp", "hidden": [8], "dropout": 0.2},
}
MODELS = {
    "gaussian": {"kind": "lstm", "hidden": 8, "head": {"kind": "gaussian"}},
    "cmal": {"kind": "lstm", "hidden": 8, "head": {"kind": "cmal", "components": 2}},
    "hybrid": {**HYBRID, "head": {"kind": "gaussian_mixture"}},
    "hybrid-quantiles": {**HYBRID, "head": {"kind": "quantiles", "levels": [0.05, 0.5, 0.95]}},
    "physics": {"kind": "calibrated", "head": {"kind": "gaussian"}},
    "dropout": {"kind": "lstm", "hidden": 8, "dropout": 0.3, "mc_dropout": 6},
    "hybrid-dropout": {**HYBRID, "mc_dropout": 6},
    "plain": {"kind": "lstm", "hidden": 8},
}
KEPT = {
    "gaussian": ({"weight", "location", "scale"}, {"component": 1}),
    "cmal": ({"weight", "location", "scale", "asymmetry"}, {"component": 2}),
    "hybrid": ({"weight", "location", "scale"}, {"component": 3}),
    "hybrid-quantiles": ({"quantiles"}, {"quantile": 3}),
    "physics": ({"weight", "location", "scale"}, {"component": 1}),
    "dropout": ({"members"}, {"member": 6}),
    "hybrid-dropout": ({"members"}, {"member": 6}),
}


def cell(store, model, seed=1):
    split = {
        "kind": "temporal",
        "train": ["2001-01-01", "2001-12-31"],
        "test": ["2002-01-01", "2002-12-31"],
        "validate": ["2000-07-01", "2000-12-31"],
    }
    training = {"epochs": 2, "window": 90, "warmup": 90, "batch_sites": 4, "learning_rate": 0.02}
    experiment = Experiment.model_validate(
        {
            "name": "heads",
            "data": {"store": str(store)},
            "splits": [split],
            "models": MODELS,
            "training": training,
        }
    )
    (fold,) = make_folds(open_store(store), experiment.splits[0].spec(), seed=0)
    return Cell(experiment, model, fold, seed)


@pytest.mark.parametrize("model", sorted(KEPT))
def test_a_cell_keeps_the_distribution_of_test_and_validation(twin_store, model, tmp_path):
    folder = tmp_path / "heads" / f"{model}--temporal--0--s1"
    run_cell(cell(twin_store, model), folder)
    run = Run(folder)
    assert run.state == "done"
    assert run.problems == []
    assert run.metrics()["nse"].notna().all()
    names, size = KEPT[model]
    parts = ((run.predictions(), run.forecast(), 365), (run.validated(), run.validated_forecast(), 184))
    for predictions, forecast, days in parts:
        assert set(forecast.data_vars) == names
        assert forecast.sizes == {"site": 8, "time": days, **size}
        assert forecast.attrs.get("floor") == (0.0 if "scale" in names else None)
        scores = probabilistic_skill(forecast_of(forecast), predictions["observed"])
        assert np.isfinite(scores["crps"]).all()
        assert float(predictions["simulated"].min()) >= 0.0
    if "members" in names:
        mean = run.forecast()["members"].mean("member").transpose("site", "time")
        np.testing.assert_allclose(run.predictions()["simulated"], mean, rtol=1e-5, atol=1e-6)
        assert float(run.forecast()["members"].std("member").mean()) > 0.0
    if model in ("hybrid", "physics", "hybrid-quantiles", "hybrid-dropout"):
        assert {"discharge", "baseflow"} <= set(run.fluxes().data_vars)
        assert "field_capacity" in run.parameters()


def test_the_kept_mean_is_that_of_the_kept_distribution(twin_store, tmp_path):
    folder = tmp_path / "heads" / "cmal--temporal--0--s1"
    run_cell(cell(twin_store, "cmal"), folder)
    from thalweg.evaluation.uncertainty.forecasts import Distribution

    forecast = Run(folder).forecast().transpose("component", "site", "time")
    parameters = [forecast[name].values.astype(float) for name in ("location", "scale", "asymmetry")]
    kept = Distribution.of("asymmetric_laplace", forecast["weight"].values.astype(float), parameters, 0.0)
    mean, _ = kept.spread()
    np.testing.assert_allclose(Run(folder).predictions()["simulated"], mean, rtol=1e-3, atol=1e-3)


def test_a_model_without_a_distribution_keeps_its_validation_for_conformal(twin_store, tmp_path):
    folder = tmp_path / "heads" / "plain--temporal--0--s1"
    run_cell(cell(twin_store, "plain"), folder)
    run = Run(folder)
    assert run.forecast() is None
    assert run.validated_forecast() is None
    assert run.validated().sizes == {"site": 8, "time": 184}


@pytest.mark.parametrize("model", ["cmal", "hybrid"])
def test_the_same_seed_gives_the_same_bits_and_the_model_comes_back(twin_store, model, tmp_path):
    folders = [tmp_path / "heads" / f"{model}--temporal--{name}--s1" for name in ("0", "1")]
    for folder in folders:
        run_cell(cell(twin_store, model), folder)
    first, second = (torch.load(folder / "weights.pt", weights_only=True) for folder in folders)
    assert all(torch.equal(first[name], second[name]) for name in first)
    data = RunData(Run(folders[0]))
    weights = data.model.state_dict()
    assert all(torch.equal(first[name], weights[name]) for name in first)


def test_a_trial_of_a_search_trains_a_head(twin_store):
    seen = []
    train_cell(cell(twin_store, "hybrid"), None, lambda epoch: seen.append(epoch["validation"]))
    assert len(seen) == 2
    assert np.isfinite(seen).all()
