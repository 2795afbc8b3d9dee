"""Shapley values: linear functions, games with a known answer, additivity, groups."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from thalweg.evaluation.interpretation.permutation import single_groups
from thalweg.evaluation.interpretation.shapley import shapley_values


def samples(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("evaluations", [10**6, 200])
def test_of_a_linear_model_they_are_weights_times_the_distance_from_the_mean(evaluations: int) -> None:
    """Exact or drawn, to rounding: each order gives the same, and every background counts as often."""
    x, w = samples((40, 6)), samples((6,), 1)
    background = x[:5]
    found = shapley_values(
        lambda x: x @ w + 1, x, background, single_groups("abcdef"), generator(), evaluations=evaluations
    )
    assert found.exact == (evaluations == 10**6)
    expected = (w * (x - background.mean(0))).numpy()
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-12)


def test_a_product_is_shared_alike() -> None:
    x = samples((10, 3))
    found = shapley_values(
        lambda x: x[:, 0] * x[:, 1], x, torch.zeros(1, 3), single_groups("abc"), generator()
    )
    half = (x[:, 0] * x[:, 1] / 2).numpy()
    np.testing.assert_allclose(found.values, np.stack([half, half, 0 * half], 1), atol=1e-14)


def test_the_glove_game() -> None:
    """One left glove and two right ones: 2/3 for the left, 1/6 for each right one."""

    def pairs(x: Tensor) -> Tensor:
        return torch.minimum(x[:, 0], x[:, 1] + x[:, 2])

    def value(x: Tensor) -> Tensor:
        return (x[:, 0] > 0).double() * ((x[:, 1] > 0) | (x[:, 2] > 0)).double()

    for game in (value, lambda x: pairs(x).clamp(max=1.0)):
        found = shapley_values(
            game, torch.ones(1, 3).double(), torch.zeros(1, 3), single_groups("abc"), generator()
        )
        np.testing.assert_allclose(found.values, [[2 / 3, 1 / 6, 1 / 6]], atol=1e-14)


def test_drawn_orders_come_near_and_add_up() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(9, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    x = samples((30, 9))

    def function(x: Tensor) -> Tensor:
        return network(x).squeeze(-1)

    names = single_groups("abcdefghi")
    exact = shapley_values(function, x, x[:4], names, generator(), evaluations=10**5)
    drawn = shapley_values(function, x, x[:4], names, generator(), evaluations=1500)
    assert exact.exact
    assert not drawn.exact
    assert max(exact.missed, drawn.missed) < 1e-12
    np.testing.assert_allclose(drawn.base, exact.base, atol=1e-12)
    apart = np.abs(drawn.values - exact.values) / drawn.error
    assert (apart < 3).mean() > 0.95, "the standard errors say how far"


def test_groups_are_given_together_what_their_features_are() -> None:
    x, w = samples((10, 4)), torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    groups = {"ab": [0, 1], "c": [2], "d": [3]}
    found = shapley_values(lambda x: x @ w, x, torch.zeros(1, 4), groups, generator())
    single = (w * x).numpy()
    np.testing.assert_allclose(found.values[:, 0], single[:, :2].sum(1), atol=1e-12)
    assert found.groups == ("ab", "c", "d")


def test_whole_series_take_part() -> None:
    x = samples((6, 10, 2))
    found = shapley_values(
        lambda x: x[..., 0].sum(1) - x[..., 1].mean(1),
        x,
        torch.zeros(1, 10, 2),
        single_groups("ab"),
        generator(),
    )
    np.testing.assert_allclose(found.values[:, 0], x[..., 0].sum(1).numpy(), atol=1e-12)


def test_nothing_to_share_is_refused() -> None:
    with pytest.raises(ValueError, match="0 groups"):
        shapley_values(lambda x: x[:, 0], samples((3, 2)), samples((1, 2)), {}, generator())


def test_as_captum_gives_them() -> None:
    attr = pytest.importorskip("captum.attr")
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    x = samples((5, 4))
    theirs = attr.ShapleyValues(lambda x: network(x).squeeze(-1)).attribute(x, torch.zeros_like(x))
    ours = shapley_values(
        lambda x: network(x).squeeze(-1), x, torch.zeros(1, 4), single_groups("abcd"), generator()
    )
    np.testing.assert_allclose(
        ours.values, theirs.detach().numpy(), atol=1e-6
    )  # theirs are summed in single precision
