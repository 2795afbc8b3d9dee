"""Trends of yearly flow."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.evaluation.extrapolation.trends import trend_skill, trends
from thalweg.storage.errors import InputError


def series(slopes, years=20, seed=0):
    """Flow (mm/day) that grows by a slope a decade, with weather."""
    times = pd.date_range("1980-10-01", f"{1980 + years}-09-30")
    decade = (times - times[0]).days.to_numpy() / 3652.5
    noise = np.random.default_rng(seed).gamma(2, 0.02, times.size)
    values = 2 + np.asarray(slopes)[:, None] * decade + noise
    return xr.DataArray(
        values, {"site": [f"s{i}" for i in range(len(slopes))], "time": times}, ("site", "time")
    )


def test_slopes_are_found_again():
    slopes = [0.5, 0.0, -0.3]
    found = trends(series(slopes, seed=1), series(slopes))
    for name in ("observed", "simulated"):
        assert found[name].values == pytest.approx(np.repeat(np.array(slopes)[:, None], 3, 1), abs=0.02)
        assert (found[f"{name}_p"].sel(site=["s0", "s2"]) < 1e-6).all()
    assert (found["years"] == 20).all()


def test_a_year_with_gaps_does_not_count_and_few_years_give_none():
    observed = series([0.5])
    observed[0, 400:500] = np.nan
    found = trends(series([0.5]), observed)
    assert found["years"].item() == 19
    assert found["observed"].sel(flow="mean").item() == pytest.approx(0.5, abs=0.02)
    assert trends(series([0.5], 7), series([0.5], 7))["observed"].isnull().all()


def test_constant_flow_has_no_trend():
    flat = series([0.0]) * 0 + 1
    found = trends(flat, flat)
    assert (found["observed"] == 0).all()
    assert (found["observed_p"] == 1).all()


def test_the_table_tells_signs_and_order():
    slopes = np.linspace(-0.5, 0.5, 12)
    found = trend_skill(trends(series(slopes * 0.5), series(slopes))).set_index("flow")
    assert found.loc["mean", "correlation"] == pytest.approx(1)
    assert found.loc["mean", "same_sign"] == 1
    assert found.loc["mean", "clear"] == 12
    wrong = trend_skill(trends(series(-slopes), series(slopes))).set_index("flow")
    assert wrong.loc["mean", "correlation"] == pytest.approx(-1)
    assert wrong.loc["mean", "same_sign"] == 0


def test_other_days_are_refused():
    with pytest.raises(InputError, match="differ"):
        trends(series([0.1], 9), series([0.1], 10))
