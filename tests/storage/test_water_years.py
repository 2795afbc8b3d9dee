"""Water years and return levels, against answers that are known."""

from datetime import date

import numpy as np
import pytest
from scipy.stats import genextreme

from thalweg.storage.water_years import annual, return_level, standardise, water_years


def test_only_whole_water_years():
    assert water_years((date(1999, 10, 1), date(2001, 9, 29))) == [(date(1999, 10, 1), date(2000, 9, 30))]
    assert water_years((date(2000, 1, 1), date(2001, 12, 31)), first_month=1) == [
        (date(2000, 1, 1), date(2000, 12, 31)),
        (date(2001, 1, 1), date(2001, 12, 31)),
    ]
    assert water_years((date(2000, 1, 1), date(2000, 6, 1))) == []
    # a leap year's last day
    assert water_years((date(1999, 3, 1), date(2000, 2, 29)), 3) == [(date(1999, 3, 1), date(2000, 2, 29))]


def test_annual_values_leave_out_missing_days_up_to_a_tenth(make_dataset):
    dataset = make_dataset(sites=3, days=800)
    (year,) = years = water_years((date(1999, 12, 30), date(2002, 3, 8)))
    inside = dataset["discharge"].sel(time=slice(*map(str, year)))
    inside.values[1, :30] = np.nan
    inside.values[2, :40] = np.nan
    mean, most = (annual(dataset, "discharge", years, which) for which in ("mean", "maximum"))
    assert mean.shape == (3, 1)
    np.testing.assert_allclose(mean[0, 0], inside.values[0].astype(float).mean())
    np.testing.assert_allclose(mean[1, 0], np.nanmean(inside.values[1].astype(float)))
    assert most[1, 0] == np.nanmax(inside.values[1])
    assert np.isnan([mean[2, 0], most[2, 0]]).all()


def test_standardised_years():
    values = np.array([[1.0, 2.0, 3.0, np.nan], [5.0, 5.0, 5.0, 5.0], [np.nan] * 4])
    found = standardise(values)
    np.testing.assert_allclose(found[0, :3], np.array([-1, 0, 1]) / np.std([1, 2, 3]))
    assert (found[1] == 0).all()
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.15])
def test_the_return_level_is_that_of_the_distribution_that_was_drawn_from(shape):
    maxima = genextreme.rvs(shape, 30.0, 8.0, size=20_000, random_state=1)
    for years in (2, 5, 20, 100):
        assert return_level(maxima, years) == pytest.approx(genextreme.isf(1 / years, shape, 30, 8), rel=0.03)


def test_the_return_level_of_few_years_is_not_far_off_and_of_too_few_unknown():
    random = np.random.default_rng(2)
    found = [return_level(genextreme.rvs(-0.1, 30, 8, size=20, random_state=random), 5) for _ in range(300)]
    # L-moments are nearly unbiased in small samples: what they were made for
    assert np.mean(found) == pytest.approx(genextreme.isf(0.2, -0.1, 30, 8), rel=0.02)
    assert np.isnan(return_level(np.array([1.0, 2, 3, 4, np.nan]), 5))
    assert np.isnan(return_level(np.full(9, 3.0), 5))
