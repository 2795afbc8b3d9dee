"""Distance from what was trained on."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.neighbors import NearestNeighbors

from thalweg.evaluation.extrapolation.support import (
    applicability,
    site_distances,
    skill_by_distance,
    weather_distances,
)


def test_nearest_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    known, asked = random.normal(3, [1, 100], (80, 2)), random.normal(3, [2, 200], (30, 2))
    found = site_distances(known, asked)
    spread = known.std(0)
    expected = NearestNeighbors(n_neighbors=1).fit(known / spread).kneighbors(asked / spread)[0][:, 0]
    assert found["nearest"].values == pytest.approx(expected)


def test_mahalanobis_knows_that_attributes_go_together():
    """With many sites it is the plain one: off the common line is far, along it is not."""
    random = np.random.default_rng(1)
    along = random.normal(size=5000)
    known = np.stack([along + 0.1 * random.normal(size=5000), along + 0.1 * random.normal(size=5000)], 1)
    found = site_distances(known, [[2.0, 2.0], [1.0, -1.0]])["mahalanobis"].values
    inverse = np.linalg.inv(np.cov(known.T))
    expected = [np.sqrt(off @ inverse @ off) for off in np.array([[2.0, 2.0], [1.0, -1.0]]) - known.mean(0)]
    assert found == pytest.approx(expected, rel=0.05)
    assert found[1] > 5 * found[0]


def test_more_attributes_than_sites():
    random = np.random.default_rng(2)
    found = site_distances(random.normal(size=(8, 20)), random.normal(size=(5, 20)))
    assert np.isfinite(found.to_array()).all()


def test_training_sites_themselves_are_inside():
    known = np.random.default_rng(3).normal(size=(100, 3))
    found = site_distances(known, known)
    assert found["nearest"].values == pytest.approx(0)
    assert found["applicability"].values == pytest.approx(1)


def test_applicability_of_the_same_kind_of_site_is_uniform():
    """Of sites drawn as the training sites were, one in ten is below 0.1; of far ones all are."""
    random = np.random.default_rng(4)
    below = []
    for _ in range(40):
        known = random.normal(size=(200, 4))
        found = site_distances(known, random.normal(size=(200, 4)))["applicability"]
        below.append(float((found < 0.1).mean()))
    assert np.mean(below) == pytest.approx(0.1, abs=0.03)
    assert (site_distances(known, random.normal(9, 1, (50, 4)))["applicability"] < 0.006).all()


def test_applicability_counts_those_as_far():
    assert applicability([1.0, 2.0, 3.0], [0.0, 2.0, 2.5, 9.0, np.nan]) == pytest.approx(
        [1, 0.75, 0.5, 0.25, np.nan], nan_ok=True
    )


def test_constant_and_missing_attributes_are_no_distance():
    known = [[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [np.nan, 5.0]]
    found = site_distances(known, [[2.0, 7.0], [np.nan, 5.0]])
    assert found["nearest"].values == pytest.approx(0)
    with pytest.raises(ValueError, match="2 training sites are too few"):
        site_distances(known[:2], known)


def series(values):
    values = np.asarray(values, dtype=float)
    times = pd.date_range("2000-01-01", periods=values.shape[1])
    sites = [f"s{place}" for place in range(len(values))]
    return xr.DataArray(values, {"site": sites, "time": times}, ("site", "time"))


def test_a_storm_larger_than_any_is_outside_and_the_month_after_it_less():
    random = np.random.default_rng(5)
    rain, warmth = random.gamma(0.5, 4, (6, 800)), random.normal(10, 3, (6, 800))
    asked = random.gamma(0.5, 4, (2, 800))
    asked[1, 500] = 400.0
    found = weather_distances([series(rain), series(warmth)], [series(asked), series(warmth[:2])])
    applicable = found["applicability"].values
    assert applicable[1, 500] == applicable.min() < 0.001
    assert applicable[0].mean() > 0.2
    nearest = found["nearest"].values[1]
    assert nearest[500] > nearest[510] > 3 * np.median(nearest[:500])


def test_days_that_were_not_trained_on_are_no_support():
    rain = np.random.default_rng(6).gamma(0.5, 4, (4, 400))
    rain[:, 200:] += 100
    counted = series(np.repeat((np.arange(400) < 200)[None], 4, 0)).astype(bool)
    within = weather_distances([series(rain)], [series(rain)])["nearest"]
    without = weather_distances([series(rain)], [series(rain)], counted)["nearest"]
    assert float(without[:, 200:].min()) > 10 * float(within[:, 200:].max())


def test_skill_that_falls_with_distance():
    far = np.linspace(0, 3, 60)
    noise = np.random.default_rng(7).normal(0, 0.05, 60)
    found = skill_by_distance(0.8 - 0.1 * far + noise, far)
    assert list(found["sites"]) == [12] * 5
    assert found["median"].is_monotonic_decreasing
    assert found.attrs["high"] < -0.5
    assert found.attrs["sentence"] == "skill falls with distance from what was trained on"
    assert "no clear change" in skill_by_distance(noise, far).attrs["sentence"]
    assert "too few sites (3)" in skill_by_distance([1, 2, 3], [1, 2, 3]).attrs["sentence"]
