"""Sums over days add up, to the last bit, however the days are split."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.evaluation.moments import Moments, exact_sum
from thalweg.evaluation.skill import METRICS, skill_of_moments


def rivers(sites: int = 20, days: int = 800, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Skewed discharge (mm/day) over many magnitudes, with gaps; as float32 values, as stored."""
    generator = np.random.default_rng(seed)
    scale = 10.0 ** generator.uniform(-4, 2, (sites, 1))
    observed = (scale * generator.lognormal(0, 1.5, (sites, days))).astype(np.float32).astype(float)
    simulated = (observed * generator.lognormal(0, 0.5, (sites, days))).astype(np.float32).astype(float)
    observed[generator.random((sites, days)) < 0.1] = np.nan
    return simulated, observed


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 800), max_size=12), seed=st.integers(0, 1000), shuffled=st.booleans())
def test_any_split_over_time_gives_the_same_numbers_to_the_last_bit(
    cuts: list[int], seed: int, shuffled: bool
) -> None:
    simulated, observed = rivers(seed=seed)
    whole = skill_of_moments(Moments.of(simulated, observed))
    edges = [0, *sorted(cuts), 800]
    parts = [Moments.of(simulated[:, a:b], observed[:, a:b]) for a, b in pairwise(edges)]
    if shuffled:
        np.random.default_rng(seed).shuffle(parts)  # type: ignore[arg-type]
    merged = skill_of_moments(reduce(add, parts))
    assert set(merged) == {name for name, metric in METRICS.items() if metric.of == "moments"}
    for name, values in whole.items():
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(merged[name], values, err_msg=name)


def test_sums_are_exact_where_plain_ones_are_not() -> None:
    values = np.array([[1e16, 1.0, -1e16, 1.0, 1e-9]])
    high, low = exact_sum(values)
    assert high[0] == 2.0 + 1e-9
    assert low[0] == pytest.approx(0.0, abs=1e-15)
    assert values.sum() != high[0]
    for empty in (exact_sum(np.zeros((3, 0))), exact_sum(np.zeros((3, 1)))):
        np.testing.assert_array_equal(empty, np.zeros((2, 3)))


def test_moments_of_a_small_example() -> None:
    simulated = np.array([[2.0, 4.0, 9.0, 9.0]])
    observed = np.array([[1.0, 3.0, 5.0, np.nan]])
    moments = Moments.of(simulated, observed)
    assert moments.days.tolist() == [3]
    assert moments.mean_simulated[0] == 5.0
    assert moments.mean_observed[0] == 3.0
    assert moments.variance_simulated[0] == pytest.approx(26 / 3)
    assert moments.variance_observed[0] == pytest.approx(8 / 3)
    assert moments.covariance[0] == pytest.approx((2 * 1 + 4 * 3 + 9 * 5) / 3 - 15)
    assert moments.mean_squared_error[0] == pytest.approx((1 + 1 + 16) / 3)
    assert moments.mean_absolute_error[0] == pytest.approx((1 + 1 + 4) / 3)
    assert (moments.least[:, 0].tolist(), moments.most[:, 0].tolist()) == ([2.0, 1.0], [9.0, 5.0])


def test_nothing_added_changes_nothing_and_no_days_have_no_score() -> None:
    simulated, observed = rivers(sites=2, days=50)
    nothing = Moments.of(simulated[:, :0], observed[:, :0])
    assert nothing.days.tolist() == [0, 0]
    some = Moments.of(simulated, observed)
    np.testing.assert_array_equal((some + nothing).high, some.high)
    np.testing.assert_array_equal((nothing + some).most, some.most)
    for name, metric in METRICS.items():
        if metric.of == "moments":
            assert np.isnan(metric.function(nothing)).all(), name


def test_a_series_of_one_value_has_no_variance_whatever_rounding_does() -> None:
    for value in (0.1, 1 / 3, 1e-9, 12345.678):
        constant = np.full((1, 997), value)
        assert Moments.of(constant, constant).variance_observed[0] == 0.0
        parts = Moments.of(constant[:, :13], constant[:, :13]) + Moments.of(
            constant[:, 13:], constant[:, 13:]
        )
        assert parts.variance_simulated[0] == 0.0
