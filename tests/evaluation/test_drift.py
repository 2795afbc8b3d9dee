"""Drift: silent while errors are as in the test, loud when they grow."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.evaluation.drift import drift

SITES = [f"s{number}" for number in range(12)]


def series(days, seed, start="2000-01-01", growth=1.0, sites=12):
    """Give flow with errors that last for days and are shared by neighbours, as they are in rivers."""
    random = np.random.default_rng(seed)
    time = pd.date_range(start, periods=days)
    season = 2 + np.sin(2 * np.pi * np.asarray(time.day_of_year) / 365.25)
    observed = season * np.exp(_lasting(random, days, sites, 0.9, 0.3))
    error = 0.15 * growth * (_lasting(random, days, sites, 0.8, 1.0) + _lasting(random, days, 1, 0.8, 0.5))
    simulated = np.square(np.sqrt(observed) * (1 + error))
    dims = ("site", "time")
    return xr.Dataset(
        {"observed": (dims, observed), "simulated": (dims, simulated)},
        {"site": SITES[:sites], "time": time},
    )


def _lasting(random, days, sites, memory, spread):
    noise = random.standard_normal((sites, days)) * spread * np.sqrt(1 - memory**2)
    found = np.zeros((sites, days))
    for day in range(1, days):
        found[:, day] = memory * found[:, day - 1] + noise[:, day]
    return found


def test_silent_without_drift_and_loud_with_it():
    """Of 25 nights without drift at most one rings at a level of 1 %; of those with it, nearly all."""
    rings = {1.0: 0, 1.6: 0}
    for growth in rings:
        for seed in range(25):
            whole = series(10 * 365, seed)
            recent = series(90, 1000 + seed, "2010-01-01", growth)
            rings[growth] += drift(whole, recent).drift
    assert rings[1.0] <= 1
    assert rings[1.6] >= 22


def test_the_ratio_is_that_of_the_errors():
    """Errors that are exactly twice those of the same days of the test."""
    whole = series(3 * 365, 1)
    root = np.sqrt(whole["observed"])
    small = 0.2 * (np.sqrt(whole["simulated"]) - root)  # else a root could become negative
    whole = whole.assign(simulated=np.square(root + small))
    recent = whole.assign(simulated=np.square(root + 2 * small))
    found = drift(xr.concat([whole] * 4, "time"), recent)
    assert found.ratio == pytest.approx(2.0, rel=1e-9)
    assert found.drift
    assert found.sites == 12
    assert found.share == 1.0


def test_a_scale_changes_nothing():
    whole, recent = series(1000, 1), series(60, 2)
    one, two = drift(whole, recent), drift(whole * 24.0, recent * 24.0)
    assert one.ratio == pytest.approx(two.ratio)
    assert one.limit == pytest.approx(two.limit)


def test_temperatures_below_zero():
    """Roots are for what is never negative; errors of others are compared as they are."""
    whole, recent = series(1000, 1) - 2.5, series(60, 2) - 2.5
    found = drift(whole, recent)
    assert np.isfinite(found.ratio)


def test_gaps_and_other_sites():
    whole, recent = series(1500, 3), series(60, 4)
    recent["observed"][0, :] = np.nan
    recent["observed"][1, 20:] = np.nan  # a third of its days
    fewer = drift(whole, recent)
    assert fewer.sites == 10
    assert drift(whole, recent.assign_coords(site=[f"other{n}" for n in range(12)])) is None


def test_too_little_to_say():
    whole, recent = series(400, 3), series(120, 4)
    assert drift(whole, recent) is None  # not four windows
    assert drift(whole, recent.isel(time=slice(0, 0))) is None
    nothing = recent.isel(time=slice(0, 60)).copy(deep=True)
    nothing["observed"][:] = np.nan
    assert drift(whole, nothing) is None


@pytest.mark.parametrize(("level", "margin"), [(0.0, 1.1), (0.5, 1.1), (0.01, 0.9)])
def test_senseless_options(level, margin):
    with pytest.raises(ValueError, match="level"):
        drift(series(400, 1), series(30, 2), level=level, margin=margin)
