"""Remove and retrain, shuffled weights, and the random forest: rankings and models with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from thalweg.evaluation.interpretation import retraining
from thalweg.evaluation.interpretation.forest import r_squared, random_forest
from thalweg.evaluation.interpretation.gradients import gradient
from thalweg.evaluation.interpretation.permutation import single_groups
from thalweg.evaluation.interpretation.randomised import randomised_weights, shuffled
from thalweg.evaluation.interpretation.retraining import leave_one_out, remove_and_retrain


def known(samples: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Five features that matter and five that do not."""
    x = np.random.default_rng(1).standard_normal((samples, 10))
    return x, x[:, :5].sum(axis=1)


def least_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Answer each half by a linear model of the other."""
    half = np.random.default_rng(0).random(len(x)) < 0.5
    design, answer = np.column_stack([x, np.ones(len(x))]), np.empty(len(x))
    for own in (half, ~half):
        answer[own] = design[own] @ np.linalg.lstsq(design[~own], y[~own], rcond=None)[0]
    return answer


@pytest.mark.parametrize("fit", [least_squares, leave_one_out])
def test_an_oracle_scores_and_chance_does_not(fit) -> None:
    x, y = known(1500 if fit is least_squares else 200)
    oracle = np.array([1.0] * 5 + [0.0] * 5)
    rankings = {"oracle": oracle, "backwards": 1 - oracle}
    random = np.random.default_rng(0)
    table = remove_and_retrain(x, y, rankings, random, shares=(0.5,), fit=fit, repeats=30).set_index(
        "ranking"
    )
    assert table.loc["oracle", "score"] >= 0.4
    assert table.loc["backwards", "score"] <= -0.4
    assert abs(table.loc["oracle", "random"]) <= 0.03
    assert table["passes"].to_dict() == {"oracle": True, "backwards": False}


def test_left_out_answers_are_those_of_trainings_without_the_sample() -> None:
    """The closed form against as many real trainings, at the one ridge that is tried."""
    x, y = known(30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retraining, "RIDGES", (0.1,))
        found = leave_one_out(x, y)
    scaled = x / x.std(axis=0)
    squared = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
    kernel = np.exp(-squared / (2 * np.median(squared[np.triu_indices(30, 1)])))
    for out in (0, 7):
        rest = np.delete(np.arange(30), out)
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.1 * np.eye(29), y[rest] - y.mean())
        assert found[out] == pytest.approx(y.mean() + kernel[out, rest] @ weights)
    assert np.isfinite(leave_one_out(np.zeros((5, 2)), np.arange(5.0))).all()


def test_rankings_of_single_samples() -> None:
    """What matters differs from sample to sample: the sign of the last feature says which half."""
    x = np.random.default_rng(1).standard_normal((3000, 5))
    left = x[:, 4] > 0
    y = np.where(left, x[:, 0] + x[:, 1], x[:, 2] + x[:, 3])
    own = np.zeros_like(x)
    own[:, 4] = 3
    own[left, :2] = 1
    own[~left, 2:4] = 1
    table = remove_and_retrain(
        x, y, {"own": own}, np.random.default_rng(0), shares=(0.6,), fit=least_squares, repeats=3
    )
    assert table["highest"][0] > 0.9, "masking took away what confuses a linear model"
    assert table["passes"].all()


def test_an_explanation_that_ignores_the_weights_is_found_out() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)).double()
    with torch.no_grad():  # as if trained: it looks at two features
        network[0].weight[:, 2:] *= 0.01
    x = torch.randn(40, 8, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    blind = randomised_weights(network, lambda model: x, generator)
    assert (blind.alike, blind.passes) == (1.0, False)
    seeing = randomised_weights(network, lambda m: gradient(lambda x: m(x).squeeze(-1), x), generator)
    assert seeing.passes
    assert seeing.lowest <= seeing.alike <= seeing.highest < 0.5


def test_shuffled_weights_are_the_same_numbers_elsewhere_and_leave_the_model_alone() -> None:
    network = nn.Linear(5, 4)
    before = network.weight.detach().clone()
    other = shuffled(network, torch.Generator().manual_seed(0))
    assert torch.equal(network.weight, before)
    assert not torch.equal(other.weight, before)
    assert torch.equal(other.weight.flatten().sort().values, before.flatten().sort().values)


def test_the_forest_finds_what_matters() -> None:
    x, y = known(300)
    forest = random_forest(x, y, single_groups([f"x{i}" for i in range(10)]))
    assert forest.skill > 0.5
    table = forest.importance.set_index("feature")
    for column in ("importance", "impurity"):
        assert set(table[column].nlargest(5).index) == {f"x{i}" for i in range(5)}
    assert table["impurity"].sum() == pytest.approx(1.0)


def test_the_forest_says_nothing_where_there_is_nothing_to_learn() -> None:
    x, y = known(20)
    assert np.isnan(random_forest(x, 0 * y, single_groups("abcdefghij")).skill)
    assert np.isnan(random_forest(x[:5], y[:5], single_groups("abcdefghij")).skill)
    y[3] = np.nan
    forest = random_forest(x, y, single_groups("abcdefghij"))
    assert np.isfinite(forest.answer).all()
    assert np.isnan(r_squared(np.ones(3), np.ones(3)))
