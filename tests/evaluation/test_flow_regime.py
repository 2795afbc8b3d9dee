"""Flow duration curve, low and high flows, ranks and peaks against examples worked by hand."""

from __future__ import annotations

import hydroeval
import numpy as np
import pytest
from scipy.stats import spearmanr

from thalweg.evaluation.skill import METRICS

REGIME = [name for name, metric in METRICS.items() if metric.of == "series"]


def shuffled(values: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(values)[None, :]


def test_fhv_by_hand() -> None:
    observed = np.arange(1.0, 101.0)  # the two highest of a hundred: 100, 99
    simulated = observed.copy()
    simulated[-3:] = [60.0, 150.0, 90.0]  # the two highest: 150, 97
    expected = 100 * (150 + 97 - 199) / 199
    assert METRICS["fhv"](shuffled(simulated, 1), shuffled(observed, 2))[0] == pytest.approx(expected)


def test_flv_by_hand() -> None:
    observed = np.exp(np.arange(10.0))  # the three lowest: e^0, e^1, e^2, from the lowest 0 + 1 + 2
    simulated = np.exp(np.array([5.0, 5.5, 6.0, 7, 8, 9, 10, 11, 12, 13]))  # 0 + 0.5 + 1
    assert METRICS["flv"](shuffled(simulated, 1), shuffled(observed, 2))[0] == pytest.approx(50.0)
    assert METRICS["flv"](shuffled(observed, 1), shuffled(simulated, 2))[0] == pytest.approx(-100.0)


def test_flv_counts_flows_below_a_millionth_as_one() -> None:
    observed = np.exp(np.arange(10.0))
    dry = np.array([-1.0, 0.0, 1e-6, 1e-6, 1, 1, 1, 1, 1, 1])
    assert METRICS["flv"](dry[None], observed[None])[0] == pytest.approx(100.0), "no variation at all"
    assert np.isnan(METRICS["flv"](observed[None], dry[None])[0]), "a river dry 30 % of the time"


def test_fms_by_hand() -> None:
    # 20 % and 70 % of ten values in falling order: the third and the eighth
    observed = np.exp(np.array([9.0, 8, 6, 5, 4, 3, 2.5, 2, 1, 0]))
    simulated = np.exp(np.array([9.0, 8, 7, 5, 4, 3, 2.5, 1, 0, 0]))
    assert METRICS["fms"](shuffled(simulated, 1), shuffled(observed, 2))[0] == pytest.approx(
        100 * (6 - 4) / 4
    )
    assert np.isnan(METRICS["fms"](simulated[None], np.ones((1, 10)))[0])


def test_log_nse_by_hand() -> None:
    observed, simulated = np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, -5.0])
    epsilon = 0.03
    o, s = np.log(observed + epsilon), np.log(np.array([2.0, 2.0, 0.0]) + epsilon)
    expected = 1 - ((s - o) ** 2).sum() / ((o - o.mean()) ** 2).sum()
    assert METRICS["log_nse"](simulated[None], observed[None])[0] == pytest.approx(expected)
    assert np.isnan(METRICS["log_nse"](simulated[None], np.zeros((1, 3)))[0])


def flood(days: int, peaks: dict[int, float]) -> np.ndarray:
    """Low flow with triangular floods two days long at each foot."""
    flow = np.ones(days)
    for day, height in peaks.items():
        flow[day - 2 : day + 3] += height * np.array([0.2, 0.6, 1.0, 0.6, 0.2])
    return flow


def test_peak_timing_by_hand() -> None:
    observed = flood(600, {100: 10, 300: 12, 500: 9})
    simulated = flood(600, {101: 8, 298: 20, 500: 9})
    assert METRICS["peak_timing"](simulated[None], observed[None])[0] == pytest.approx((1 + 2 + 0) / 3)
    assert METRICS["peak_timing"](np.roll(observed, 9)[None], observed[None])[0] <= 3.0, "within the window"


def test_a_local_maximum_on_the_day_itself_is_the_peak() -> None:
    observed = flood(300, {150: 10})
    simulated = flood(300, {150: 3})
    simulated[153] = 100.0
    assert METRICS["peak_timing"](simulated[None], observed[None])[0] == 0.0


def test_peaks_near_gaps_and_ends_are_passed_over() -> None:
    observed = flood(600, {100: 10, 300: 12, 500: 9})
    simulated = flood(600, {101: 10, 303: 12, 500: 9})
    observed[302] = np.nan
    assert METRICS["peak_timing"](simulated[None], observed[None])[0] == pytest.approx(0.5)
    observed[200] = np.nan
    assert METRICS["peak_timing"](simulated[None], observed[None])[0] == pytest.approx(0.5), "a gap elsewhere"
    ends = flood(200, {2: 10, 197: 10})
    assert np.isnan(METRICS["peak_timing"](ends[None], ends[None])[0])
    flat = np.ones((1, 200))
    assert np.isnan(METRICS["peak_timing"](flat, flat)[0])


def test_small_waves_are_no_peaks() -> None:
    observed = flood(600, {100: 10, 300: 0.1, 500: 9})
    simulated = flood(600, {100: 10, 302: 0.1, 500: 9})
    assert METRICS["peak_timing"](simulated[None], observed[None])[0] == 0.0


@pytest.mark.parametrize("name", REGIME)
def test_perfect_masked_and_undefined(name: str) -> None:
    metric = METRICS[name]
    generator = np.random.default_rng(7)
    observed = generator.lognormal(0, 1, (3, 900))
    simulated = observed * generator.lognormal(0, 0.4, (3, 900))
    np.testing.assert_allclose(metric(observed, observed), metric.perfect, atol=1e-12)

    gap = observed.copy()
    gap[:, 400:450] = np.nan
    beside = simulated.copy()
    beside[:, 400:450] = np.nan
    np.testing.assert_array_equal(metric(simulated, gap), metric(beside, gap))
    assert np.isfinite(metric(simulated, gap)).all()

    broken = simulated.copy()
    broken[1, 5] = np.nan
    scores = metric(broken, observed)
    assert np.isnan(scores).tolist() == [False, True, False]
    np.testing.assert_array_equal(scores[[0, 2]], metric(simulated, observed)[[0, 2]])
    for hopeless in (
        np.full((2, 40), np.nan),
        np.ones((2, 40)),
        np.zeros((2, 40)),
        np.ones((2, 1)),
        np.ones((2, 0)),
    ):
        value = metric(np.ones_like(hopeless), hopeless)
        assert value.shape == (2,)
        assert not np.isinf(value).any()
        if name not in ("fhv", "rmse_high", "rmse_low"):
            assert np.isnan(value).all()


@pytest.mark.parametrize(("name", "days"), [("fhv", 26), ("rmse_high", 26), ("rmse_low", 2)])
def test_as_many_days_are_needed_as_make_the_share(name: str, days: int) -> None:
    for length, defined in ((days - 1, False), (days, True)):
        assert np.isfinite(METRICS[name](np.ones((1, length)), np.ones((1, length)))[0]) == defined


def test_rmse_of_high_and_low_flows_is_of_the_same_days() -> None:
    observed = np.arange(1.0, 101.0)
    simulated = observed.copy()
    simulated[[98, 99]] = [102.0, 96.0]  # the two highest of a hundred: errors of 3 and -4
    simulated[:30] += 2.0
    simulated[50] = 1000.0  # the highest simulated flow is on no day of flood
    order = np.random.default_rng(1).permutation(100)
    s, o = simulated[order][None], observed[order][None]
    assert METRICS["rmse_high"](s, o)[0] == pytest.approx(np.sqrt((9 + 16) / 2))
    assert METRICS["rmse_low"](s, o)[0] == pytest.approx(2.0)


def test_days_as_dry_as_the_bound_all_count_whatever_their_order() -> None:
    observed = np.concatenate([np.zeros(50), np.arange(1.0, 51.0)])
    simulated = np.concatenate([np.arange(50.0), np.arange(1.0, 51.0)])
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(100)
        value = METRICS["rmse_low"](simulated[order][None], observed[order][None])[0]
        assert value == pytest.approx(np.sqrt((np.arange(50.0) ** 2).mean()))


def test_kge_np_by_hand() -> None:
    observed, simulated = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[2.0, 2.0, 8.0, 4.0]])
    # ranks 1 2 3 4 and 1.5 1.5 4 3: covariance 3.5 / 4, variances 5 / 4 and 4.5 / 4
    spearman = 3.5 / np.sqrt(5 * 4.5)
    curves = np.abs(np.array([2, 2, 4, 8]) / 16 - np.array([1, 2, 3, 4]) / 10)
    expected = 1 - np.sqrt((spearman - 1) ** 2 + (curves.sum() / 2) ** 2 + (16 / 10 - 1) ** 2)
    assert METRICS["kge_np"](simulated, observed)[0] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_kge_np_against_hydroeval_and_scipy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    observed = generator.lognormal(0, 1, (3, 500))
    simulated = observed * generator.lognormal(0.1, 0.6, (3, 500))
    observed[:, generator.random(500) < 0.2] = np.nan
    there = ~np.isnan(observed[0])
    s, o = simulated[:, there], observed[:, there]
    reference = hydroeval.kgenp(s.T, o.T)
    np.testing.assert_allclose(METRICS["kge_np"](simulated, observed), reference[0], rtol=1e-12)
    for site in range(3):
        assert reference[1, site] == pytest.approx(spearmanr(s[site], o[site]).statistic), "no ties"


def test_kge_np_is_not_moved_by_one_outlier_as_the_others_are() -> None:
    observed = np.random.default_rng(1).lognormal(0, 0.5, (1, 1000))
    simulated = observed.copy()
    simulated[0, 10] = 100.0
    fall = {name: 1 - METRICS[name](simulated, observed)[0] for name in ("kge_np", "kge_2009", "nse")}
    assert fall["kge_np"] < 0.2 < fall["kge_2009"] < fall["nse"]
