"""Partial dependence and accumulated local effects, where they agree and where they cannot."""

from __future__ import annotations

import numpy as np
import torch

from thalweg.evaluation.interpretation.response_curves import accumulated_local_effects, partial_dependence


def uniform(count: int = 2000, columns: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).random((count, columns)))


def test_both_give_an_additive_function_back() -> None:
    x = uniform()
    function = lambda x: torch.sin(3 * x[:, 0]) + 5 * x[:, 1]  # noqa: E731
    partial = partial_dependence(function, x, 0)
    local = accumulated_local_effects(function, x, 0, bins=40)
    for table, tolerance in ((partial, 1e-9), (local, 0.02)):
        truth = np.sin(3 * table["value"])
        shift = (table["response"] - truth).mean()
        np.testing.assert_allclose(table["response"] - shift, truth, atol=tolerance)


def test_ale_is_centred_and_linear_exactly() -> None:
    x = uniform()
    table = accumulated_local_effects(lambda x: 4 * x[:, 0] - x[:, 1], x, 0, bins=7)
    slope = np.diff(table["response"]) / np.diff(table["value"])
    np.testing.assert_allclose(slope, 4.0, atol=1e-10)
    middle = (table["response"].to_numpy()[1:] + table["response"].to_numpy()[:-1]) / 2
    np.testing.assert_allclose((middle * table["samples"].to_numpy()[1:]).sum(), 0.0, atol=1e-9)
    assert table["samples"].sum() == len(x)


def test_with_correlated_features_partial_dependence_goes_where_no_sample_is() -> None:
    """x2 = x1, f = 0 wherever they agree: ALE knows, partial dependence does not."""
    x = uniform()
    x[:, 1] = x[:, 0]

    def function(x: torch.Tensor) -> torch.Tensor:
        return 100 * torch.relu((x[:, 0] - x[:, 1]).abs() - 0.25)

    assert np.ptp(partial_dependence(function, x, 0)["response"]) > 5
    assert np.ptp(accumulated_local_effects(function, x, 0)["response"]) == 0


def test_ale_of_a_product_is_the_slope_there_is() -> None:
    """f = x1 x2 with x2 = x1: the local effect is the integral of x1, not of the mean of x2."""
    x = uniform(20000)
    x[:, 1] = x[:, 0]
    table = accumulated_local_effects(lambda x: x[:, 0] * x[:, 1], x, 0, bins=50)
    truth = table["value"] ** 2 / 2
    np.testing.assert_allclose(table["response"] - table["response"].mean(), truth - truth.mean(), atol=5e-3)


def test_a_constant_feature_has_no_effect() -> None:
    x = uniform()
    x[:, 0] = 1.0
    table = accumulated_local_effects(lambda x: x.sum(1), x, 0)
    assert table["response"].tolist() == [0.0]
    assert len(partial_dependence(lambda x: x.sum(1), x, 0)) == 1
