"""Integrated gradients and SmoothGrad: linear functions, completeness, symmetry, no gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from thalweg.evaluation.interpretation.gradients import gradient, integrated_gradients, smooth_gradient

WEIGHTS = torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64)


def linear(x: Tensor) -> Tensor:
    return x @ WEIGHTS + 3.0


def samples(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_of_a_linear_function_they_are_weights_times_the_distance() -> None:
    x, baseline = samples((20, 3)), torch.tensor([0.5, 0.0, -1.0], dtype=torch.float64)
    found = integrated_gradients(linear, x, baseline, steps=1)
    torch.testing.assert_close(found.values, WEIGHTS * (x - baseline), rtol=0, atol=1e-12)
    assert found.complete
    assert found.error < 1e-12
    assert (found.values[:, 2] == 0).all(), "what makes no difference is given nothing"


def test_a_polynomial_is_integrated_exactly() -> None:
    x = samples((20, 2))
    found = integrated_gradients(lambda x: x[:, 0] ** 3 * x[:, 1] ** 2, x, torch.zeros(2), steps=3)
    assert found.error < 1e-12, "three points are exact for a polynomial of degree five"
    product = x[:, 0] ** 3 * x[:, 1] ** 2
    torch.testing.assert_close(found.values[:, 0], 3 / 5 * product)


def test_steps_are_added_until_the_attributions_add_up() -> None:
    def kinked(x: Tensor) -> Tensor:
        return torch.relu(20 * (x[:, 0] - 0.31)) - torch.relu(10 * (x[:, 1] - 0.77))

    x = samples((50, 2)).abs()
    few = integrated_gradients(kinked, x, torch.zeros(2), steps=2, most=2)
    many = integrated_gradients(kinked, x, torch.zeros(2), steps=2)
    assert not few.complete
    assert many.complete
    assert many.steps > few.steps == 2


def test_series_and_a_context_by_place() -> None:
    x, context = samples((5, 7, 3)), torch.arange(5.0, dtype=torch.float64)
    found = integrated_gradients(lambda x: context * linear(x.sum(1)), x, torch.zeros(3))
    torch.testing.assert_close(found.values, context[:, None, None] * WEIGHTS * x)
    assert found.complete


def test_a_function_without_any_gradient_has_none() -> None:
    x = samples((4, 3))
    assert (gradient(lambda x: torch.zeros(len(x)), x) == 0).all()
    assert integrated_gradients(lambda x: torch.ones(len(x)), x, torch.zeros(3)).error == 0.0


def test_smooth_gradient_of_a_linear_function_is_its_weights() -> None:
    x, generator = samples((20, 3)), torch.Generator().manual_seed(1)
    found = smooth_gradient(linear, x, generator, draws=3)
    torch.testing.assert_close(found, WEIGHTS.expand(20, 3))


def test_smooth_gradient_averages_a_kink_away() -> None:
    x = samples((2000, 1))
    found = smooth_gradient(
        lambda x: x[:, 0].abs(), x, torch.Generator().manual_seed(1), noise=1.0, draws=200
    )
    near = found[x[:, 0].abs() < 0.1]
    assert float(near.abs().mean()) < 0.15, "left and right cancel"
    assert float(found[x[:, 0] > 2.5].mean()) == pytest.approx(1.0, abs=0.02)


def test_as_captum_gives_them() -> None:
    attr = pytest.importorskip("captum.attr")
    network = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    x = samples((30, 4))
    theirs = attr.IntegratedGradients(network).attribute(
        x, torch.zeros_like(x), n_steps=32, method="gausslegendre"
    )
    ours = integrated_gradients(lambda x: network(x).squeeze(-1), x, torch.zeros(4), steps=32)
    torch.testing.assert_close(ours.values, theirs, rtol=1e-6, atol=1e-9)
