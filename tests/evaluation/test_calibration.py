"""Calibrated probabilities: against scikit-learn and venn-abers, and with logits that were doubled."""

from __future__ import annotations

import time

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit, logit
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from venn_abers import VennAbers as ReferenceVennAbers

from thalweg.evaluation.uncertainty.calibration import Isotonic, Platt, VennAbers, adaptive_calibration_error
from thalweg.storage.errors import InputError

WAYS = [Platt, Isotonic, VennAbers]


def too_sure(days: int = 40_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts whose logits are twice the true ones, and events."""
    generator = np.random.default_rng(seed)
    true = generator.uniform(-2.5, 2.5, days)
    return expit(2 * true), (generator.random(days) < expit(true)).astype(float)


@pytest.mark.parametrize("way", WAYS)
def test_doubled_logits_are_halved_again(way: type) -> None:
    forecast, event = too_sure()
    fitted, tested = slice(0, 20_000), slice(20_000, None)
    assert adaptive_calibration_error(forecast[tested], event[tested]) == pytest.approx(0.11, abs=0.005)
    calibrated = way.fit(forecast[fitted], event[fitted])(forecast[tested])
    assert adaptive_calibration_error(calibrated, event[tested]) <= 0.02
    assert np.mean((calibrated - event[tested]) ** 2) < np.mean((forecast[tested] - event[tested]) ** 2)


def test_platt_is_that_of_scikit_learn() -> None:
    forecast, event = too_sure(3000)
    ours = Platt.fit(forecast, event)
    reference = _SigmoidCalibration().fit(logit(forecast), event)
    assert ours.slope == pytest.approx(-reference.a_, rel=1e-3)
    assert ours.intercept == pytest.approx(-reference.b_, abs=1e-3)
    np.testing.assert_allclose(ours(forecast), reference.predict(logit(forecast)), atol=1e-4)
    assert ours.slope == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_platt_survives_forecasts_without_overlap_and_certain_ones(seed: int) -> None:
    generator = np.random.default_rng(seed)
    apart = np.concatenate([generator.uniform(0, 0.3, 30), generator.uniform(0.7, 1.0, 30)])
    event = np.repeat([0.0, 1.0], 30)
    fitted = Platt.fit(apart, event)
    assert np.isfinite([fitted.slope, fitted.intercept]).all()
    assert fitted(apart)[:30].max() < 0.2 < 0.8 < fitted(apart)[30:].min()
    certain = Platt.fit(
        np.repeat([0.0, 1.0, 0.0, 1.0], [20, 20, 5, 5]), np.repeat([0.0, 1.0, 1.0, 0.0], [20, 20, 5, 5])
    )
    np.testing.assert_allclose(certain(np.array([0.0, 1.0])), [0.2, 0.8], atol=0.03)
    constant = Platt.fit(np.full(100, 0.5), np.repeat([0.0, 1.0], [70, 30]))
    assert float(constant(np.array([0.5]))[0]) == pytest.approx(0.3, abs=0.01)


def test_isotonic_is_that_of_scikit_learn() -> None:
    forecast, event = too_sure(500)
    forecast = np.round(forecast, 2)
    reference = IsotonicRegression(out_of_bounds="clip").fit(forecast, event)
    at = np.linspace(0, 1, 301)
    np.testing.assert_allclose(Isotonic.fit(forecast, event)(at), reference.predict(at), atol=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_venn_abers_is_two_isotonic_fits_for_every_forecast(seed: int) -> None:
    generator = np.random.default_rng(seed)
    score = np.round(generator.random(generator.integers(2, 30)), int(generator.integers(1, 4)))
    event = (generator.random(score.size) < score).astype(float)
    event[:2] = 0.0, 1.0
    at = np.concatenate([generator.random(5), score[:5], [0.0, 1.0]])
    for label, found in enumerate(VennAbers.fit(score, event).bounds(at)):
        fits = [
            IsotonicRegression().fit(np.append(score, new), np.append(event, label)).predict([new])[0]
            for new in at
        ]
        np.testing.assert_allclose(found, fits, atol=1e-12)


def test_venn_abers_is_that_of_its_authors_and_fast() -> None:
    forecast, event = too_sure(2000)
    reference = ReferenceVennAbers()
    reference.fit(np.stack([1 - forecast, forecast], 1), event)
    at = np.linspace(0.05, 0.95, 50)
    expected, bounds = reference.predict_proba(np.stack([1 - at, at], 1))
    ours = VennAbers.fit(forecast, event)
    np.testing.assert_allclose(ours.bounds(at)[0], bounds[:, 0], atol=1e-9)
    np.testing.assert_allclose(ours.bounds(at)[1], bounds[:, 1], atol=1e-9)
    np.testing.assert_allclose(ours(at), expected[:, 1], atol=1e-9)
    many = too_sure(100_000)
    started = time.process_time()
    VennAbers.fit(*many)
    assert time.process_time() - started < 5.0


def test_venn_abers_bounds_hold_a_calibrated_probability() -> None:
    forecast, event = too_sure(400)
    lower, upper = VennAbers.fit(forecast, event).bounds(np.linspace(0, 1, 101))
    assert (lower < upper).all()
    apart = []
    for days in (20, 20_000):
        low, high = VennAbers.fit(*too_sure(days)).bounds(np.array([0.5]))
        apart.append(float(high[0] - low[0]))
    assert apart[0] > 0.05 > apart[1]


@pytest.mark.parametrize("way", WAYS)
def test_order_and_names_are_kept_and_nothing_else_counts(way: type) -> None:
    forecast, event = too_sure(500)
    fitted = way.fit(forecast, event)
    with_gaps = way.fit(np.append(forecast, [np.nan, 0.5]), np.append(event, [1.0, np.nan]))
    grid = xr.DataArray(np.linspace(0, 1, 12).reshape(3, 4), {"site": ["a", "b", "c"]}, ("site", "time"))
    grid[1, 2] = np.nan
    found = fitted(grid)
    xr.testing.assert_equal(found, with_gaps(grid))
    assert found.dims == ("site", "time")
    assert found["site"].values.tolist() == ["a", "b", "c"]
    assert np.isnan(found.values).sum() == 1
    flat = found.values.ravel()[~np.isnan(found.values.ravel())]
    assert (np.diff(flat) >= 0).all()
    assert 0.0 <= flat.min() <= flat.max() <= 1.0


def test_the_calibration_error_of_known_forecasts() -> None:
    assert adaptive_calibration_error(np.full(100, 0.3), np.repeat([1.0, 0.0], [30, 70])) == pytest.approx(
        0.0
    )
    assert adaptive_calibration_error(np.full(100, 0.5), np.repeat([1.0, 0.0], [30, 70])) == pytest.approx(
        0.2
    )
    # two halves off by 0.1 in opposite directions are not right on the whole
    forecast, event = np.repeat([0.2, 0.8], 50), np.repeat([1.0, 0.0, 1.0, 0.0], [15, 35, 35, 15])
    assert adaptive_calibration_error(forecast, event, bins=2) == pytest.approx(0.1)
    assert adaptive_calibration_error(forecast, event, bins=1) == pytest.approx(0.0)
    ordered = adaptive_calibration_error(*too_sure(3000))
    shuffled = np.random.default_rng(0).permutation(3000)
    again = adaptive_calibration_error(*(part[shuffled] for part in too_sure(3000)))
    assert ordered == pytest.approx(again, abs=1e-12)
    generator = np.random.default_rng(1)
    perfect = generator.random(30_000)
    chance = 0.8 * np.sqrt(np.mean(perfect * (1 - perfect)) * 15 / 30_000)
    error = adaptive_calibration_error(perfect, generator.random(30_000) < perfect)
    assert error == pytest.approx(chance, rel=0.5)


def test_refusals_say_what_would_be_right() -> None:
    good = np.array([0.1, 0.9, 0.4])
    for forecast, event, message in (
        (np.array([0.1, 1.2, 0.4]), [0, 1, 0], "probabilities in"),
        (good, [0, 2, 1], "events 0 or 1"),
        (good, [0, 1], "different shapes"),
        (good * np.nan, [0, 1, 0], "not all of them missing"),
        (good, [0, 0, 0], "never happened in 3 days"),
        (good, [1, 1, 1], "always happened in 3 days"),
    ):
        with pytest.raises(InputError, match=message):
            Platt.fit(forecast, event)
    with pytest.raises(InputError, match="probabilities lie in"):
        Isotonic.fit(good, [0, 1, 0])(np.array([1.5]))
    with pytest.raises(InputError, match="15 bins for 3 days"):
        adaptive_calibration_error(good, [0, 1, 0])
