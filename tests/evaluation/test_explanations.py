"""Whole explanations of networks whose workings are known, with their checks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from thalweg.evaluation.interpretation.explain_lags import band_sums, explain_lags, lag_table
from thalweg.evaluation.interpretation.explain_sites import explain, explain_briefly
from thalweg.evaluation.interpretation.network_questions import (
    lag_question,
    outcome_question,
    parameter_question,
)
from thalweg.evaluation.interpretation.question import Question, answers
from thalweg.flows.twin import ATTRIBUTES, twin
from thalweg.models.hybrids import Hybrid
from thalweg.models.model import Model, Prediction
from thalweg.models.networks import Lstm
from thalweg.models.process import names
from thalweg.models.processes import find_process

FORCINGS = names(find_process("hbv").forcings)


@pytest.fixture(scope="module")
def store():
    return twin(sites=40, years=2, seed=4)


@pytest.fixture(scope="module")
def inputs(store, as_inputs):
    return as_inputs(store)


@pytest.fixture(scope="module")
def hybrid() -> Hybrid:
    """Its network looks at the first two attributes alone, and most at the first."""
    torch.manual_seed(0)
    model = Hybrid(find_process("hbv"), len(ATTRIBUTES), 3, components=2, hidden=(16,))
    with torch.no_grad():
        first = model.static_network[0].weight
        first[:, 2:] = 0.0
        first[:, 0] *= 3.0
    return model.eval()


def shares(table: pd.DataFrame) -> pd.DataFrame:
    return table.pivot(index="feature", columns="method", values="share")


def test_every_method_finds_what_the_network_looks_at(hybrid, inputs, store) -> None:
    sites = list(store["site"].values)

    def ask(model: Model) -> Question:
        return parameter_question(model, inputs, "field_capacity", ATTRIBUTES, sites)

    found = explain(hybrid, ask, evaluations=100)
    table = shares(found.importance)
    exact = ["integrated gradients", "smooth gradient", "Shapley", "permutation"]
    assert (table.loc[["wetness", "elevation"], exact].sum() > 0.999).all()
    assert (table.loc["wetness"] > 0.5).all(), table.to_string()
    checks = found.checks.set_index(["method", "check"])["passes"]
    assert checks.xs("completeness", level=1).all()
    assert checks.xs("remove and retrain", level=1).all()
    assert set(found.curves["curve"]) == {"partial_dependence", "ale"}
    for _, flat in found.curves[found.curves["feature"] == "clay"].groupby("curve"):
        assert np.ptp(flat["response"]) < 1e-3
    per_site = found.attributions[found.attributions["method"] == "Shapley"].groupby("sample")["value"].sum()
    answer = answers(ask(hybrid).function, inputs.attributes)
    np.testing.assert_allclose(
        per_site[sites] - per_site[sites].iloc[0], answer - answer[0], rtol=0, atol=1e-3
    )
    assert set(found.tables()) == {"attributions", "importance", "curves", "checks"}


def test_through_the_physics_each_site_keeps_its_weather(hybrid, inputs, store) -> None:
    sites = list(store["site"].values)

    def ask(model: Model) -> Question:
        return outcome_question(model, inputs, 365, ATTRIBUTES, sites)

    question = ask(hybrid)
    with torch.no_grad():
        expected = hybrid(inputs, 365).target.mean(0)
    torch.testing.assert_close(
        torch.from_numpy(answers(question.function, inputs.attributes)), expected.double()
    )
    found = explain_briefly(hybrid, ask, evaluations=60)
    checks = found.checks.set_index(["method", "check"])["passes"]
    assert checks["Shapley", "completeness"]
    value = found.checks.set_index(["method", "check"])["value"]
    assert value["integrated gradients", "completeness"] < 0.05, "HBV's threshold between rain and snow jumps"
    table = shares(found.importance)
    assert (table.loc[["wetness", "elevation"]].sum() > 0.999).all()


class Echo(Model):
    """Discharge is the rain (the first variable) of some days before, and nothing else."""

    def __init__(self, lag: int) -> None:
        super().__init__()
        self.lag = lag
        self.weight = nn.Parameter(torch.tensor([2.0, 0.0, 0.0]))

    def forward(self, inputs, warmup: int, details: bool = False) -> Prediction:
        rain = inputs.sequence @ self.weight
        return Prediction(torch.cat([rain[: self.lag] * 0, rain[: len(rain) - self.lag]])[warmup:])


@pytest.mark.parametrize("lag", [0, 5])
def test_the_day_that_counts_is_found(inputs, store, lag: int) -> None:
    samples = [(site, day) for site in range(40) for day in (100, 300)]

    def ask(model: Model) -> Question:
        return lag_question(model, inputs, samples, 60, FORCINGS, list(store["site"].values))

    found, lags = explain_lags(Echo(lag), ask, steps=4)
    size = lags.pivot(index="lag", columns="variable", values="size")
    assert size["precipitation"].drop(lag).sum() == 0
    assert size["precipitation"][lag] > 0
    assert (size[["temperature", "potential_evapotranspiration"]] == 0).all(axis=None)
    reach = lags[lags["variable"] == "precipitation"].set_index("lag")["reach"]
    assert reach[lag] == pytest.approx(1.0)
    assert lag == 0 or reach[lag - 1] == 0
    checks = found.checks.set_index(["method", "check"])["passes"]
    assert checks.xs("completeness", level=1).all()
    table = shares(found.importance)
    assert (table.loc["precipitation", ["integrated gradients", "Shapley", "permutation"]] == 1).all()


def test_networks_over_time(inputs, store) -> None:
    torch.manual_seed(0)
    sites, samples = list(store["site"].values), [(site, 400) for site in range(40)]
    lstm = Lstm(3, len(ATTRIBUTES), 16, 0.2, 1.0)
    moving = Hybrid(
        find_process("hbv"), len(ATTRIBUTES), 3, components=2, hidden=(8,), varying=("recharge_exponent",),
        varying_hidden=8,
    )  # fmt: skip
    with (
        torch.no_grad()
    ):  # small weights: large random ones switch between two states, over no distance at all
        for weights in (*lstm.network.lstm.parameters(), *moving.varying_network.lstm.parameters()):
            weights *= 0.3
    for model, parameter in ((lstm, None), (moving, "recharge_exponent"), (moving, None)):

        def ask(model: Model, parameter: str | None = parameter) -> Question:
            return lag_question(model, inputs, samples, 90, FORCINGS, sites, parameter=parameter)

        found, lags = explain_lags(model, ask, steps=8)
        assert found.checks.set_index(["method", "check"])["passes"]["integrated gradients", "completeness"]
        assert np.isfinite(lags["size"]).all()
        assert lags["size"].max() > 0
    lag = lag_question(lstm, inputs, samples, 400, FORCINGS, sites)
    with torch.no_grad():
        whole = lstm(inputs, 0).target[400]
    np.testing.assert_allclose(answers(lag.function, lag.inputs), whole, rtol=1e-4)


def test_bands_of_lags() -> None:
    values = np.arange(12.0).reshape(1, 12, 1)
    assert band_sums(values).tolist() == [[11.0, 10.0 + 9.0, 8.0 + 7 + 6 + 5 + 4, 3.0 + 2 + 1 + 0]]
    table = lag_table(values, ["rain"])
    assert table["size"].tolist() == list(range(11, -1, -1))
    assert table["reach"].iloc[-1] == 1.0


def test_what_cannot_be_asked(hybrid, inputs, store) -> None:
    sites = list(store["site"].values)
    with pytest.raises(ValueError, match="no static parameter 'nonsense'; it has recharge_exponent"):
        parameter_question(hybrid, inputs, "nonsense", ATTRIBUTES, sites)
    with pytest.raises(ValueError, match="day 3 has fewer than 59 days before"):
        lag_question(hybrid, inputs, [(0, 3)], 60, FORCINGS, sites)
    question = lag_question(hybrid, inputs, [(0, 70)], 60, FORCINGS, sites, parameter="field_capacity")
    with pytest.raises(ValueError, match="no parameter 'field_capacity' that varies"):
        answers(question.function, question.inputs)
    with pytest.raises(ValueError, match="40 samples and 7 features"):
        parameter_question(hybrid, inputs, "field_capacity", ATTRIBUTES[1:], sites)
