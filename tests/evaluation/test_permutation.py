"""Permutation importance: known answers, groups, and what conditioning takes away."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thalweg.evaluation.interpretation.permutation import (
    correlated_groups,
    permutation_importance,
    shuffled_within,
    single_groups,
    subgroups,
)


def random() -> np.random.Generator:
    return np.random.default_rng(5)


def importance(table):
    return table.set_index("feature")["importance"]


def test_of_a_linear_function_it_is_twice_the_weight_squared() -> None:
    x = torch.from_numpy(random().standard_normal((4000, 3)))
    w = torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)
    found = importance(permutation_importance(lambda x: x @ w, x, single_groups("abc"), random()))
    np.testing.assert_allclose(found, [2 * 0.9, 2 * 0.1, 0.0], atol=0.06)


def test_errors_count_where_the_truth_is_given_and_gaps_do_not() -> None:
    x = torch.from_numpy(random().standard_normal((500, 2)))
    truth = x[:, 0].numpy().copy()
    truth[:100] = np.nan
    found = importance(
        permutation_importance(lambda x: x[:, 0], x, single_groups("ab"), random(), observed=truth)
    )
    assert found["a"] == pytest.approx(2.0, abs=0.2)
    assert found["b"] == 0.0


def test_a_copy_keeps_its_importance_marginally_but_adds_nothing_to_its_twin() -> None:
    draw = random()
    first = draw.standard_normal(600)
    x = torch.from_numpy(
        np.stack([first, first + 0.01 * draw.standard_normal(600), draw.standard_normal(600)], 1)
    )
    groups = single_groups(["flow", "copy", "other"])

    def ask(x):
        return x[:, 0] + x[:, 2]

    marginal = importance(permutation_importance(ask, x, groups, random()))
    conditional = importance(permutation_importance(ask, x, groups, random(), conditional=True))
    assert marginal["flow"] > 0.8
    assert conditional["flow"] < 0.05
    assert conditional["other"] == pytest.approx(marginal["other"], rel=0.3), "independent of the others"


def test_correlated_features_are_taken_together() -> None:
    draw = random()
    base = draw.standard_normal((200, 2))
    x = np.column_stack([base[:, 0], -base[:, 0] + 0.1 * draw.standard_normal(200), base[:, 1], np.ones(200)])
    assert correlated_groups(x, ["a", "b", "c", "d"]) == {"a+b": [0, 1], "c": [2], "d": [3]}
    assert correlated_groups(x[:, :1], ["a"]) == {"a": [0]}
    assert correlated_groups(x[:, :2], ["a", "b"]) == {"a+b": [0, 1]}


def test_shuffling_stays_within_classes() -> None:
    classes = np.array([0, 1, 0, 1, 1, 2])
    order = shuffled_within(classes, random())
    assert (classes[order] == classes).all()
    assert sorted(order) == list(range(6))


def test_without_other_features_all_are_alike() -> None:
    assert (subgroups(np.ones((5, 1)), [0]) == 0).all()


def test_a_constant_answer_has_no_importance() -> None:
    x = torch.zeros(10, 2, dtype=torch.float64)
    found = permutation_importance(lambda x: x[:, 0], x, single_groups("ab"), random())
    assert found["importance"].isna().all()
