"""Bootstrap intervals: known cases, coverage, and what cannot be said."""

from __future__ import annotations

import numpy as np
import pytest

from thalweg.evaluation import intervals
from thalweg.evaluation.intervals import median_interval, paired_difference


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=100)
    assert median_interval(values) == median_interval(values, seed=0)
    assert median_interval(values) != median_interval(values, seed=1)
    median, low, high = median_interval(values)
    assert low < median == np.median(values) < high
    wider = median_interval(values, level=0.99)
    assert wider.low < low
    assert wider.high > high


def test_missing_few_and_equal_values() -> None:
    assert np.isnan(median_interval([])).all()
    assert np.isnan(median_interval([np.nan, np.nan])).all()
    one = median_interval([0.5, np.nan])
    assert one.median == 0.5
    assert np.isnan([one.low, one.high]).all()
    assert median_interval([0.5, 0.5, np.nan]) == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="level"):
        median_interval([1.0], level=90)


def test_draws_in_portions_have_the_right_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=200)
    whole = median_interval(values, samples=2000)
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 1000)
    assert median_interval(values, samples=2000) == pytest.approx(whole, abs=0.03)


def test_ninety_percent_cover_the_truth_nine_times_in_ten() -> None:
    generator = np.random.default_rng(5)
    hits = 0
    for trial in range(400):
        interval = median_interval(generator.exponential(size=60), samples=300, seed=trial)
        hits += interval.low <= np.log(2) <= interval.high
    assert 0.85 < hits / 400 < 0.95


def test_pairs_tell_a_small_steady_gain_that_medians_hide() -> None:
    generator = np.random.default_rng(2)
    b = generator.normal(0.5, 0.3, 200)
    a = b + 0.02 + generator.normal(0, 0.01, 200)
    a[3] = np.nan
    result = paired_difference(a, b)
    assert result.sites == 199
    assert 0.0 < result.low < result.median < result.high < 0.03
    assert result.share_higher > 0.9
    apart = median_interval(a), median_interval(b)
    assert apart[0].low < apart[1].high, "their own intervals overlap"
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference([1.0], [1.0, 2.0])
    assert np.isnan(paired_difference([np.nan], [1.0]).share_higher)
