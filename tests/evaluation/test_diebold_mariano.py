"""The Diebold-Mariano test against another program, its false alarms, and what it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.signal import lfilter
from scores.stats import statistical_tests

from thalweg.evaluation.diebold_mariano import compare_errors, diebold_mariano
from thalweg.storage.errors import InputError


def wrap(values: np.ndarray) -> xr.DataArray:
    names = [f"s{number:03d}" for number in range(len(values))]
    coords = {"site": names, "time": pd.date_range("1989-10-01", periods=values.shape[1])}
    return xr.DataArray(values, coords, ("site", "time"))


def models(sites: int = 6, days: int = 800, seed: int = 0, worse: float = 1.1) -> list[xr.DataArray]:
    """Two simulations with errors of their own, the second's larger, and the observations."""
    generator = np.random.default_rng(seed)
    observed = generator.lognormal(0, 1, (sites, days))
    noise = lfilter([1.0], [1.0, -0.7], generator.normal(0, 0.2, (2, sites, days)))
    return [wrap(observed + noise[0]), wrap(observed + worse * noise[1]), wrap(observed)]


@pytest.mark.parametrize("horizon", [1, 2, 7])
@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_against_the_scores_package(horizon: int, loss: str) -> None:
    a, b, observed = models()
    of = {"squared": np.square, "absolute": np.abs}[loss]
    gain = (of(a - observed) - of(b - observed)).assign_coords(h=("site", [horizon] * 6))
    reference = statistical_tests.diebold_mariano(gain, "site", "h", method="HLN", statistic_distribution="t")
    test = diebold_mariano(a, b, observed, horizon=horizon, loss=loss)  # type: ignore[arg-type]
    np.testing.assert_allclose(test["difference"], reference["mean"], rtol=1e-12)
    np.testing.assert_allclose(test["statistic"], reference["dm_test_stat"], rtol=1e-12)
    one_sided = reference["confidence_gt_0"]
    np.testing.assert_allclose(test["p_value"], 2 * np.minimum(one_sided, 1 - one_sided), rtol=1e-9)
    assert (test["days"] == 800).all()


def test_by_hand() -> None:
    observed = wrap(np.zeros((1, 5)))
    a, b = wrap(np.sqrt([[2.0, 1.0, 4.0, 3.0, 5.0]])), wrap(np.ones((1, 5)))
    # differences 1 0 3 2 4: mean 2, deviations -1 -2 1 0 2, variance 10 / 5, covariance of a lag of 1
    # (2 - 2 + 0 + 0) / 5
    test = diebold_mariano(a, b, observed, horizon=2)
    plain = 2 / np.sqrt(2.0 / 5)
    assert float(test["statistic"][0]) == pytest.approx(plain * np.sqrt((5 + 1 - 4 + 2 / 5) / 5))


def test_memory_longer_than_the_horizon_gives_false_alarms() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (2, 400, 4150))
    error = np.exp(
        0.3 * lfilter([1.0], [1.0, -0.9], noise)[:, :, 500:]
    )  # sizes of errors that last for weeks
    observed = wrap(np.zeros(error.shape[1:]))
    alarms = {
        horizon: float(
            (diebold_mariano(*map(wrap, error), observed, horizon=horizon)["p_value"] < 0.1).mean()
        )
        for horizon in (1, 30)
    }
    assert 0.06 < alarms[30] < 0.15, "one in ten"
    assert alarms[1] > 0.4


def test_gaps_keep_days_apart() -> None:
    a, b, observed = models(days=1200)
    observed[:, 300:500] = np.nan
    a[0, 7] = np.nan
    test = diebold_mariano(a, b, observed, horizon=5)
    assert test["days"].values.tolist() == [999, *[1000] * 5]
    assert test["statistic"].notnull().all()
    cut = [series.isel(time=np.r_[:300, 500:1200]) for series in (a, b, observed)]
    xr.testing.assert_allclose(diebold_mariano(*cut, horizon=5), test)


def test_series_that_cannot_be_tested() -> None:
    a, b, observed = models(sites=3, days=40)
    constant = wrap(observed.values + 1.0)
    flat = diebold_mariano(constant, observed, observed, horizon=2)
    assert flat["statistic"].isnull().all(), "the same difference on every day has no spread"
    np.testing.assert_allclose(flat["difference"], 1.0)
    assert diebold_mariano(a, b, observed, horizon=40)["p_value"].isnull().all()
    same = diebold_mariano(a, a, observed, horizon=2)
    assert (same["statistic"] == 0).all()
    assert (same["p_value"] == 1).all()
    assert diebold_mariano(a[:0], b[:0], observed[:0]).sizes["site"] == 0
    with pytest.raises(InputError, match="horizon of 0 days"):
        diebold_mariano(a, b, observed, horizon=0)
    with pytest.raises(InputError, match="loss 'log': give one of squared, absolute"):
        diebold_mariano(a, b, observed, loss="log")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="along time"):
        diebold_mariano(a[:, :20], b, observed)


def test_a_negative_sum_of_covariances_still_gives_a_test() -> None:
    alternating = wrap(np.sqrt(2.0 + np.tile([1.0, -1.0], 50))[None] + 0.0)
    test = diebold_mariano(alternating, wrap(np.ones((1, 100))), wrap(np.zeros((1, 100))), horizon=2)
    assert np.isfinite(test["statistic"]).all()
    assert float(test["statistic"][0]) > 0


def test_what_is_said_of_better_worse_and_no_different_models() -> None:
    a, b, observed = models(sites=20, days=3000, worse=1.4)
    found = compare_errors(a, b, observed, ("lstm", "hbv"))
    assert (found.verdict, found.sites, found.days) == ("a", 20, 3000)
    assert found.statistic < 0
    assert found.clear_a > 10
    assert found.clear_b == 0
    assert found.sentence.startswith(
        "lstm has smaller daily squared errors than hbv (Diebold-Mariano statistic "
    )
    other = compare_errors(b, a, observed, ("hbv", "lstm"))
    assert other.verdict == "b"
    assert other.sentence == found.sentence, "the better one comes first, whichever way one asks"
    even = compare_errors(*models(sites=20, days=3000, worse=1.0), ("lstm", "hbv"), loss="absolute")
    assert even.verdict == "none"
    assert even.sentence.startswith("no clear difference between lstm and hbv in daily absolute errors")
    same = compare_errors(a, a, observed)
    assert (same.verdict, same.p_value) == ("none", 1.0)
    assert compare_errors(a[:, :20], b[:, :20], observed[:, :20]).verdict == "unknown"


def test_large_rivers_do_not_decide_alone_and_constant_ones_not_at_all() -> None:
    a, b, observed = models(sites=12, days=2000, worse=1.4)
    scale = xr.DataArray(np.r_[1e4, np.ones(11)], {"site": observed["site"]}, ("site",))
    swapped = [xr.where(scale > 1, second, first) for first, second in ((a, b), (b, a))]
    large = compare_errors(*(scale * series for series in swapped), scale * observed)  # type: ignore[arg-type]
    assert large.verdict == "a", "eleven of twelve"
    flat = observed.copy()
    flat[0] = 0.3
    assert compare_errors(a, b, flat).sites == 11


def test_the_difference_is_that_of_mean_nse() -> None:
    a, b, observed = models()
    nse = [1 - ((s - observed) ** 2).mean("time") / observed.var("time") for s in (a, b)]
    found = compare_errors(a, b, observed)
    assert found.difference == pytest.approx(float((nse[1] - nse[0]).mean()))


def test_losses_of_several_seeds_are_averaged_day_by_day() -> None:
    a, b, observed = models()
    one = diebold_mariano(a, b, observed)
    xr.testing.assert_allclose(diebold_mariano([a, a], b, observed), one)
    both = diebold_mariano([a, b], b, observed)
    np.testing.assert_allclose(both["difference"], one["difference"] / 2.0)
    np.testing.assert_allclose(both["p_value"], one["p_value"], rtol=1e-9)
    with pytest.raises(InputError, match="align them first"):
        compare_errors([a, a.assign_coords(site=observed["site"].values[::-1])], b, observed)
