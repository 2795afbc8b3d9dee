"""Scores of resampled records against those of records that were really made, and what they cover."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from thalweg.evaluation import resampling
from thalweg.evaluation.resampling import Draws, draw_blocks, rebuilt, resample_scores, score_intervals
from thalweg.evaluation.skill import METRICS, skill
from thalweg.storage.errors import InputError

# the whole record's ε serves all samples; curves are compared on a grid
APPROXIMATE = {"log_nse": 0.02, "kge_np": 0.002}
PEAKS = ("peak_timing", "missed_peaks")


def wrap(values: np.ndarray, start: str = "1989-10-01") -> xr.DataArray:
    names = [f"s{number}" for number in range(len(values))]
    coords = {"site": names, "time": pd.date_range(start, periods=values.shape[1])}
    return xr.DataArray(values, coords, ("site", "time"))


def rivers(days: int = 2192, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lively, often dry, coarsely measured, overestimated and gappy rivers (mm/day)."""
    generator = np.random.default_rng(seed)
    observed = generator.lognormal(0, 1.5, (5, days))
    simulated = observed * generator.lognormal(0, 0.5, (5, days))
    observed[1] = np.where(generator.random(days) < 0.5, 0.0, observed[1])
    observed[2] = np.round(observed[2], 1)
    simulated[3] += 1.0
    observed[4, generator.random(days) < 0.3] = np.nan
    return simulated, observed


@pytest.mark.parametrize("blocks", ["water_year", 200])
def test_no_score_differs_from_that_of_a_record_really_made(blocks: int | str) -> None:
    simulated, observed = rivers()
    draws = draw_blocks(wrap(observed)["time"], blocks, samples=40)
    scores = resample_scores({"m": wrap(simulated)}, wrap(observed), draws)["m"]
    assert list(scores) == list(METRICS)
    for name, values in scores.items():
        if name in PEAKS:
            continue
        expected = rebuilt(simulated, observed, draws, name)
        np.testing.assert_array_equal(np.isnan(values), np.isnan(expected), err_msg=name)
        tolerance = {"atol": APPROXIMATE[name]} if name in APPROXIMATE else {"rtol": 1e-6}
        np.testing.assert_allclose(values, expected, err_msg=name, **tolerance)


def test_peaks_in_the_midst_of_blocks_are_those_of_records_really_made() -> None:
    generator = np.random.default_rng(2)
    observed, simulated = np.ones((2, 3, 2000))
    for number in range(10):
        middle = 200 * number + 100
        observed[:, middle - 1 : middle + 2] += generator.uniform(5, 9) * np.array([0.5, 1.0, 0.5])
        for site, late in enumerate(generator.integers(-3, 4, 3)):
            simulated[site, middle + late - 1 : middle + late + 2] += 7 * np.array([0.5, 1.0, 0.5])
    draws = draw_blocks(wrap(observed)["time"], 200, samples=50)
    scores = resample_scores({"m": wrap(simulated)}, wrap(observed), draws, metrics=PEAKS)["m"]
    for name, values in scores.items():
        np.testing.assert_allclose(values, rebuilt(simulated, observed, draws, name), rtol=1e-6, err_msg=name)
        assert values.std() > 0.05, name


def test_the_record_itself_as_the_sample_gives_its_own_scores() -> None:
    simulated, observed = rivers()
    once = Draws(np.arange(2192) // 366, np.ones((1, 6), np.int64))
    scores = resample_scores({"m": wrap(simulated)}, wrap(observed), once)["m"]
    whole = skill(wrap(simulated), wrap(observed))
    for name, values in scores.items():
        tolerance = 0.002 if name == "kge_np" else 1e-5
        np.testing.assert_allclose(values[0], whole[name], rtol=tolerance, err_msg=name)


@settings(max_examples=8, deadline=None)
@given(cuts=st.sets(st.integers(1, 4), max_size=4), seed=st.integers(0, 99))
def test_sites_scored_apart_or_together_give_the_same_digits(cuts: set[int], seed: int) -> None:
    simulated, observed = (wrap(series) for series in rivers(days=1500, seed=seed))
    draws = draw_blocks(observed["time"], 250, samples=10, seed=seed)
    whole = resample_scores({"m": simulated}, observed, draws)["m"]
    edges = [0, *sorted(cuts), 5]
    for first, last in pairwise(edges):
        part = resample_scores({"m": simulated[first:last]}, observed[first:last], draws)["m"]
        for name, values in part.items():
            np.testing.assert_array_equal(values, whole[name][:, first:last], err_msg=name)


def test_missing_days_absent_sites_and_dead_simulations() -> None:
    simulated, observed = rivers(days=1000)
    observed[0] = np.nan
    observed[1, 200:] = np.nan  # known in the first block alone
    simulated[2, 5] = np.nan
    simulated[3] = 0.0
    draws = draw_blocks(wrap(observed)["time"], 200, samples=50)
    scores = resample_scores({"m": wrap(simulated)}, wrap(observed), draws)["m"]
    first = draws.counts[:, 0] > 0
    for name, values in scores.items():
        assert np.isnan(values[:, [0, 2]]).all(), name
        assert np.isnan(values[~first, 1]).all(), name
    assert np.isfinite(scores["kge_np"][first, 1]).all()
    assert np.isfinite(scores["rmse"][:, 3]).all()
    assert np.isnan(scores["kge_np"][:, 3]).all()


def test_a_metric_without_a_fast_way_is_scored_on_real_records(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated, observed = rivers(days=600)
    draws = draw_blocks(wrap(observed)["time"], 100, samples=5)
    monkeypatch.setattr(resampling, "CURVES", {})
    scores = resample_scores({"m": wrap(simulated)}, wrap(observed), draws, metrics=["fhv"])["m"]
    np.testing.assert_array_equal(scores["fhv"], rebuilt(simulated, observed, draws, "fhv"))


def test_blocks_are_water_years_years_or_days() -> None:
    times = pd.date_range("1990-09-29", "1999-10-02")
    draws = draw_blocks(times, samples=3)
    assert draws.counts.shape == (3, 11), "two broken years at the ends count as blocks"
    assert draws.block[[0, 1, 2, 3]].tolist() == [0, 0, 1, 1]
    assert (draws.counts.sum(axis=1) == 11).all()
    assert draw_blocks(times, "year").counts.shape == (1000, 10)
    assert np.bincount(draw_blocks(times, 365).block)[:3].tolist() == [365] * 3
    assert (draw_blocks(times, seed=1).counts == draw_blocks(times, seed=1).counts).all()
    assert (draw_blocks(times, seed=1).counts != draw_blocks(times, seed=2).counts).any()


def test_what_cannot_be_resampled_is_refused() -> None:
    times = pd.date_range("1990-10-01", periods=1461)
    with pytest.raises(InputError, match="4 blocks of a water year; at least 5 are needed"):
        draw_blocks(times)
    with pytest.raises(InputError, match="'month': give 'water_year'"):
        draw_blocks(times, "month")
    with pytest.raises(InputError, match="blocks 0"):
        draw_blocks(times, 0)
    simulated, observed = (wrap(series) for series in rivers(days=1461))
    with pytest.raises(InputError, match="draws are of 1461 days, the record has 1000"):
        resample_scores({"m": simulated[:, :1000]}, observed[:, :1000], draw_blocks(times, 100))
    with pytest.raises(InputError, match="unknown metric nsee"):
        resample_scores({"m": simulated}, observed, draw_blocks(times, 100), metrics=["nsee"])
    with pytest.raises(ValueError, match="level 90"):
        score_intervals(simulated, observed, draw_blocks(times, 100), level=90)


def test_intervals_of_sites_hold_their_scores_and_widen_with_fewer_years() -> None:
    simulated, observed = (wrap(series) for series in rivers(days=7305))
    table = score_intervals(simulated, observed, metrics=["nse", "fhv"])
    assert table["nse"].dims == ("bound", "site")
    assert table["fhv"].attrs["units"] == "%"
    whole = skill(simulated, observed, metrics=["nse", "fhv"])
    for name in ("nse", "fhv"):
        assert (table[name].sel(bound="low") < whole[name]).all()
        assert (table[name].sel(bound="high") > whole[name]).all()
    short = score_intervals(simulated[:, :2192], observed[:, :2192], metrics=["fhv"])
    assert (short["fhv"].diff("bound") > 1.2 * table["fhv"].diff("bound")).sum() >= 4


def test_nine_intervals_in_ten_hold_the_mean_error_of_a_river_with_memory() -> None:
    noise = np.random.default_rng(3).normal(0, 1, (150, 10 * 365 + 500))
    error = lfilter([1.0], [1.0, -0.95], noise)[:, 500:]
    observed = np.full(error.shape, 50.0)
    simulated, known = wrap(observed + error), wrap(observed)
    covered = {}
    for blocks in (10, 180):
        draws = draw_blocks(known["time"], blocks, samples=200)
        table = score_intervals(simulated, known, draws, metrics=["mean_ratio"])["mean_ratio"]
        covered[blocks] = float(((table[0] < 1.0) & (table[1] > 1.0)).mean())
    assert 0.82 < covered[180] < 0.95
    assert covered[10] < 0.75, "short blocks take memory for evidence"
