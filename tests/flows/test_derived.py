"""Forcings that follow from the dates: no store has them, and no network sees them."""

import numpy as np
import pandas as pd
import torch

from thalweg.flows.building import build_model
from thalweg.flows.check import check
from thalweg.flows.derived import DERIVED, missing_forcings
from thalweg.flows.experiment import Experiment
from thalweg.flows.preparation import Preparation
from thalweg.models.processes import find_process
from thalweg.storage.splits import make_folds
from thalweg.storage.store import open_store


def prepare(content, models):
    experiment = Experiment.model_validate(content | {"models": models})
    dataset = open_store(experiment.data.store)
    (fold,) = make_folds(dataset, experiment.splits[0].spec(), 0)
    return Preparation(dataset, experiment, fold, torch.device("cpu")), fold


def test_the_day_of_year_counts_leap_days():
    days = pd.date_range("2000-02-28", "2000-03-01").append(pd.DatetimeIndex(["2000-12-31", "2001-12-31"]))
    assert DERIVED["day_of_year"](days).tolist() == [59, 60, 61, 366, 365]


def test_a_process_gets_what_follows_from_the_dates(content):
    models = {"physics": {"kind": "calibrated", "process": "sac_sma"}, "lstm": {"kind": "lstm"}}
    prepared, fold = prepare(content, models)
    record = prepared.record(fold.test, 30)
    series = record.inputs.forcing["day_of_year"]
    assert series.shape == record.observed.shape
    np.testing.assert_array_equal(series[:, 0], record.time.day_of_year)
    assert torch.equal(series[:, 0], series[:, -1])
    assert record.inputs.sequence.shape[-1] == 3, "a network sees it"
    assert "day_of_year" not in prepared.statistics.mean
    picked = record.inputs.pick(torch.tensor([1, 0]), torch.tensor([30, 0]), 5).forcing["day_of_year"]
    assert picked[:, 0].tolist() == [1, 2, 3, 4, 5]
    only_hbv, fold = prepare(content, {"physics": {"kind": "calibrated", "process": "hbv"}})
    assert "day_of_year" not in only_hbv.record(fold.test, 30).inputs.forcing


def test_an_experiment_with_it_needs_nothing_more_from_the_store(content, write):
    content["models"] = {
        "physics": {"kind": "calibrated", "process": "sac_sma"},
        "hybrid": {"kind": "hybrid", "process": "sac_sma", "components": 2},
    }
    assert check(write(content)).problems == []
    assert missing_forcings(find_process("sac_sma"), content["data"].get("forcings", ())) == [
        "precipitation",
        "temperature",
        "potential_evapotranspiration",
    ]


def test_a_model_is_trained_with_it(content):
    spec = {"kind": "calibrated", "process": "sac_sma"}
    prepared, _ = prepare(content, {"physics": spec})
    data = prepared.training(30, 60)
    model = build_model(
        Experiment.model_validate(content | {"models": {"physics": spec}}).models["physics"],
        attributes=data.inputs.attributes,
        donors=torch.isfinite(data.observed).any(0),
        forcings=prepared.forcings,
        target="discharge",
        scale=1.0,
        seed=1,
    )
    simulated = model(data.inputs, 30).target
    simulated.mean().backward()
    assert simulated.shape[0] == data.observed.shape[0] - 30
    assert bool(torch.isfinite(model.raw.grad).all())
    assert bool((model.raw.grad != 0).any())


def test_what_is_still_missing_is_named_without_it(content, write):
    content["data"] |= {"forcings": ["precipitation", "temperature"]}
    content["models"] = {"physics": {"kind": "calibrated", "process": "sac_sma"}}
    (problem,) = [line for line in check(write(content)).problems if "process" in line]
    assert "sac_sma needs potential_evapotranspiration: add it to data.forcings" in problem
    assert "day_of_year" not in problem
