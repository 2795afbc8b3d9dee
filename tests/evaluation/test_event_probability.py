"""Event probabilities against scikit-learn, scores and xskillscore; tables that add up exactly."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import xskillscore
from hypothesis import given, settings
from hypothesis import strategies as st
from scores import probability as scores_probability
from sklearn import metrics as sklearn_metrics

from thalweg.evaluation.uncertainty.event_probability import (
    PROBABILITY_METRICS,
    ForecastCounts,
    auprc,
    auroc,
    brier,
    brier_parts,
    murphy_parts,
    probability_skill,
    recalibrated,
    reliability_curve,
    scores_of,
)
from thalweg.storage.errors import InputError


def forecasts(days: int = 2000, seed: int = 0, members: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities of an event, of an ensemble where it has members, and what came."""
    generator = np.random.default_rng(seed)
    p = generator.beta(0.5, 1.5, days)
    event = (generator.random(days) < p).astype(float)
    return (np.round(p * members) / members if members else p), event


@pytest.mark.parametrize("members", [0, 10])
def test_against_other_programs(members: int) -> None:
    p, y = forecasts(members=members)
    counts = ForecastCounts.of(p, y)
    assert brier(counts) == pytest.approx(sklearn_metrics.brier_score_loss(y, p), rel=1e-12)
    assert auroc(counts) == pytest.approx(sklearn_metrics.roc_auc_score(y, p), rel=1e-12)
    assert auprc(counts) == pytest.approx(sklearn_metrics.average_precision_score(y, p), rel=1e-12)
    forecast, event = (xr.DataArray(values, dims="time") for values in (p, y))
    assert brier(counts) == pytest.approx(float(scores_probability.brier_score(forecast, event)), rel=1e-12)
    assert brier(counts) == pytest.approx(float(xskillscore.brier_score(event, forecast)), rel=1e-12)
    if members:
        area = xskillscore.roc((event == 1).astype("uint8"), forecast)
        assert auroc(counts) == pytest.approx(float(area), rel=1e-12)
    isotonic = scores_probability.isotonic_fit(forecast, event)
    expected = np.interp(counts.probability, isotonic["fcst_sorted"], isotonic["regression_values"])
    np.testing.assert_allclose(recalibrated(counts), expected, atol=1e-12)


def test_reliability_against_xskillscore_and_scikit_learn() -> None:
    p, y = forecasts()
    curve = reliability_curve(ForecastCounts.of(p, y), bins=5)
    edges = np.linspace(0, 1, 6)
    reference = xskillscore.reliability(
        xr.DataArray(y == 1, dims="time"), xr.DataArray(p, dims="time"), probability_bin_edges=edges
    )
    np.testing.assert_allclose(curve["observed"], reference, rtol=1e-12)
    np.testing.assert_array_equal(curve["days"], reference["samples"])
    from sklearn.calibration import calibration_curve

    observed, forecast = calibration_curve(y, p, n_bins=5)
    np.testing.assert_allclose(curve["observed"], observed, rtol=1e-12)
    np.testing.assert_allclose(curve["forecast"], forecast, rtol=1e-12)


def test_the_parts_add_up_to_the_brier_score() -> None:
    for seed, members in ((1, 0), (2, 10), (3, 4)):
        counts = ForecastCounts.of(*forecasts(seed=seed, members=members))
        miscalibration, discrimination, uncertainty = brier_parts(counts)
        assert miscalibration - discrimination + uncertainty == pytest.approx(brier(counts), rel=1e-12)
        assert min(miscalibration, discrimination) >= 0
        reliability, resolution, other, within = murphy_parts(counts)
        assert reliability - resolution + other + within == pytest.approx(brier(counts), rel=1e-12)
        assert other == uncertainty
    assert murphy_parts(counts, bins=10)[3] == pytest.approx(0.0, abs=1e-15), "one value a bin"


def test_murphy_by_hand() -> None:
    # forecasts of 0.2 on five days with one event, of 0.8 on five days with three
    counts = ForecastCounts.of(np.repeat([0.2, 0.8], 5), np.array([1, 0, 0, 0, 0, 1, 1, 1, 0, 0]))
    reliability, resolution, uncertainty, within = murphy_parts(counts)
    assert reliability == pytest.approx(0.5 * (0.6 - 0.8) ** 2)
    assert resolution == pytest.approx(0.5 * (0.2 - 0.4) ** 2 + 0.5 * (0.6 - 0.4) ** 2)
    assert uncertainty == pytest.approx(0.24)
    assert within == pytest.approx(0.0, abs=1e-15)
    assert brier_parts(counts) == pytest.approx((reliability, resolution, uncertainty))
    curve = reliability_curve(counts)
    assert curve.to_dict("list") == {"forecast": [0.2, 0.8], "observed": [0.2, 0.6], "days": [5, 5]}
    assert reliability_curve(counts, bins=None)["observed"].tolist() == pytest.approx([0.2, 0.6])


def test_doubled_logits_are_miscalibrated_and_tell_days_apart_as_well_as_before() -> None:
    p, y = forecasts(days=20000)
    odds = (p / (1 - p)) ** 2
    before, after = (scores_of(ForecastCounts.of(q, y)) for q in (p, odds / (1 + odds)))
    assert after["auroc"] == before["auroc"]
    assert after["discrimination"] == before["discrimination"]
    assert after["miscalibration"] > 5 * before["miscalibration"]
    assert after["brier_skill"] < before["brier_skill"]


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 2000), max_size=8), seed=st.integers(0, 99), shuffled=st.booleans())
def test_any_split_gives_the_same_digits(cuts: list[int], seed: int, shuffled: bool) -> None:
    p, y = forecasts(seed=seed)
    whole = scores_of(ForecastCounts.of(p, y))
    parts = [ForecastCounts.of(p[a:b], y[a:b]) for a, b in pairwise([0, *sorted(cuts), 2000])]
    if shuffled:
        np.random.default_rng(seed).shuffle(parts)  # type: ignore[arg-type]
    assert scores_of(reduce(add, parts)) == whole


def test_no_skill_and_perfect_skill() -> None:
    y = np.random.default_rng(0).random(1000) < 0.1
    nothing = scores_of(ForecastCounts.of(np.full(1000, y.mean()), y))
    assert nothing["auroc"] == 0.5
    assert nothing["auprc"] == pytest.approx(nothing["frequency"]) == pytest.approx(y.mean())
    assert nothing["brier_skill"] == pytest.approx(0.0)
    perfect = scores_of(ForecastCounts.of(y.astype(float), y))
    for name, (_, best) in PROBABILITY_METRICS.items():
        if not np.isnan(best):
            assert perfect[name] == pytest.approx(best), name


def test_what_is_undefined_is_nan_and_what_is_wrong_is_refused() -> None:
    never = scores_of(ForecastCounts.of(np.array([0.1, 0.2]), np.zeros(2)))
    assert never["brier"] == pytest.approx(0.025)
    assert np.isnan([never["auroc"], never["auprc"], never["brier_skill"]]).all()
    empty = scores_of(ForecastCounts.of(np.zeros(0), np.zeros(0)))
    assert empty.pop("n_days") == 0
    assert np.isnan(list(empty.values())).all()
    for p, y, match in (
        ([1.2], [1.0], "probability 1.2 is not in"),
        ([0.2], [2.0], "events must be 0, 1"),
        ([0.2, 0.3], [1.0], "they must agree"),
    ):
        with pytest.raises(InputError, match=match):
            ForecastCounts.of(np.array(p), np.array(y))
    with pytest.raises(InputError, match="0 bins"):
        reliability_curve(ForecastCounts.of(np.array([0.2]), np.array([1.0])), bins=0)


def test_every_site_has_its_scores() -> None:
    pairs = [forecasts(seed=seed, days=400) for seed in range(3)]
    coords = {
        "site": ["a", "b", "c"],
        "time": pd.date_range("2000-01-01", periods=400),
        "region": ("site", list("xyz")),
    }
    p, y = (xr.DataArray(np.stack(values), coords, ("site", "time")) for values in zip(*pairs, strict=True))
    y[1, :100] = np.nan
    y[2] = np.nan
    table = probability_skill(p.transpose("time", "site"), y)
    assert list(table.data_vars) == [*PROBABILITY_METRICS, "n_days"]
    assert table["n_days"].values.tolist() == [400, 300, 0]
    assert float(table["auroc"][0]) == sklearn_metrics.roc_auc_score(y[0], p[0])
    assert table.isel(site=2)[list(PROBABILITY_METRICS)].to_array().isnull().all()
    assert table["region"].values.tolist() == ["x", "y", "z"]
    with pytest.raises(InputError, match="along site"):
        probability_skill(p[:2], y)
