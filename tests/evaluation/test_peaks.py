"""Missed peaks against an example worked by hand; the timing of peaks is in test_flow_regime."""

from __future__ import annotations

import numpy as np
import pytest

from thalweg.evaluation.peaks import lags, misses
from thalweg.evaluation.skill import METRICS

missed_peaks = METRICS["missed_peaks"]


def river(peaks: dict[int, float], days: int = 500, low: float = 1.0) -> np.ndarray:
    """Low flow that falls slowly, with floods of five days."""
    flow = low * np.linspace(1.0, 0.9, days)
    for day, height in peaks.items():
        flow[day - 2 : day + 3] += height * np.array([0.3, 0.7, 1.0, 0.7, 0.3])
    return flow


def test_missed_peaks_by_hand() -> None:
    observed = river({50: 10, 150: 8, 250: 6, 350: 12, 450: 9})
    simulated = river({51: 10, 152: 8, 249: 6, 450: 9})  # 2 and 4 are missed
    assert missed_peaks(simulated[None], observed[None])[0] == pytest.approx(2 / 5)
    assert missed_peaks(observed[None], observed[None])[0] == 0.0
    assert missed_peaks(0.1 * observed[None], observed[None])[0] == 0.0, "its own quantile is the threshold"
    assert missed_peaks(np.linspace(3, 1, 500)[None], observed[None])[0] == 1.0, "no peak at all"


def test_each_peak_has_its_day() -> None:
    observed = river({50: 10, 150: 8, 350: 12})
    simulated = river({51: 10, 350: 12})
    found = misses(simulated, observed)
    assert found is not None
    assert found.days.tolist() == [50, 150, 350]
    assert found.values.tolist() == [0.0, 1.0, 0.0]
    late = lags(simulated, observed)
    assert late is not None
    assert late.values[[0, 2]].tolist() == [1.0, 0.0]


def test_of_two_peaks_in_a_month_the_higher_counts() -> None:
    observed = river({100: 10, 115: 5, 300: 10})
    simulated = river({100: 10, 300: 10})
    assert missed_peaks(simulated[None], observed[None])[0] == 0.0


def test_peaks_beside_gaps_and_ends_are_passed_over_on_both_sides() -> None:
    observed = river({50: 10, 150: 8, 250: 6})
    simulated = river({50: 10, 250: 6})
    observed[151] = np.nan
    assert missed_peaks(simulated[None], observed[None])[0] == 0.0
    gap = simulated.copy()
    gap[250:260] = np.nan
    assert np.isnan(missed_peaks(gap[None], observed[None])[0]), "a simulation may not be missing there"
    ends = np.r_[9.0, np.ones(100), 9.0]
    assert np.isnan(missed_peaks(ends[None], ends[None])[0])
    assert np.isnan(missed_peaks(np.ones((1, 40)), np.full((1, 40), np.nan))[0])
