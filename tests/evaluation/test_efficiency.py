"""NSE, KGE and their kin against hand-computed examples, hydroeval, scores and xskillscore."""

from __future__ import annotations

import hydroeval
import numpy as np
import pytest
import xarray as xr
import xskillscore
from scores import continuous

from thalweg.evaluation.skill import METRICS

S = np.array([[2.0, 4.0, 9.0]])
O = np.array([[1.0, 3.0, 5.0]])  # noqa: E741 - the formulas' letter
# means 5 and 3; variances 26/3 and 8/3; covariance 14/3 from deviations (-3, -1, 4) and (-2, 0, 2)
R, ALPHA, BETA = 14 / np.sqrt(26 * 8), np.sqrt(26 / 8), 5 / 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nse", 1 - 18 / 8),
        ("rmse", np.sqrt(18 / 3)),
        ("mae", 6 / 3),
        ("mean_ratio", BETA),
        ("bias", 100 * (15 - 9) / 9),
        ("correlation", R),
        ("variance_ratio", ALPHA),
        ("kge_2009", 1 - np.sqrt((R - 1) ** 2 + (ALPHA - 1) ** 2 + (BETA - 1) ** 2)),
        ("kge_2012", 1 - np.sqrt((R - 1) ** 2 + (ALPHA / BETA - 1) ** 2 + (BETA - 1) ** 2)),
    ],
)
def test_by_hand(name: str, expected: float) -> None:
    assert METRICS[name](S, O)[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_against_hydroeval(seed: int) -> None:
    generator = np.random.default_rng(seed)
    observed = generator.lognormal(0, 1, (4, 500))
    simulated = observed * generator.lognormal(0.1, 0.6, (4, 500))
    there = generator.random(500) > 0.2
    observed[:, ~there] = np.nan
    reference = {
        "nse": lambda s, o: hydroeval.nse(s, o),
        "kge_2009": lambda s, o: hydroeval.kge(s, o)[0, 0],
        "kge_2012": lambda s, o: hydroeval.kgeprime(s, o)[0, 0],
        "correlation": lambda s, o: hydroeval.kge(s, o)[1, 0],
        "variance_ratio": lambda s, o: hydroeval.kge(s, o)[2, 0],
        "rmse": lambda s, o: hydroeval.rmse(s, o),
        "bias": lambda s, o: -hydroeval.pbias(s, o),  # its sign is the other one
        "mean_ratio": lambda s, o: hydroeval.kge(s, o)[3, 0],
    }
    for name, function in reference.items():
        expected = [function(simulated[i, there], observed[i, there]) for i in range(4)]
        np.testing.assert_allclose(METRICS[name](simulated, observed), expected, rtol=1e-12, err_msg=name)


def test_against_scores_and_xskillscore() -> None:
    generator = np.random.default_rng(9)
    observed = generator.lognormal(0, 1, (4, 500))
    simulated = observed * generator.lognormal(0.1, 0.6, (4, 500))
    observed[generator.random((4, 500)) > 0.8] = np.nan
    s, o = (xr.DataArray(series, dims=("site", "time")) for series in (simulated, observed))
    one = {"reduce_dims": "time"}
    reference = {
        "nse": [continuous.nse(s, o, **one), xskillscore.r2(o, s, "time", skipna=True)],
        "rmse": [continuous.rmse(s, o, **one), xskillscore.rmse(s, o, "time", skipna=True)],
        "mae": [continuous.mae(s, o, **one), xskillscore.mae(s, o, "time", skipna=True)],
        "bias": [continuous.pbias(s, o, **one)],
        "correlation": [
            continuous.correlation.pearsonr(s, o, **one),
            xskillscore.pearson_r(s, o, "time", skipna=True),
        ],
        "kge_2009": [continuous.kge(s, o, **one)],
        "kge_2012": [continuous.kge(s, o, method="2012", **one)],
        "mean_ratio": [continuous.multiplicative_bias(s, o, **one)],
    }
    for name, values in reference.items():
        for value in values:
            np.testing.assert_allclose(METRICS[name](simulated, observed), value, rtol=1e-12, err_msg=name)


def test_perfect_and_known_simulations() -> None:
    observed = np.random.default_rng(1).lognormal(0, 1, (1, 400))
    for name, metric in METRICS.items():
        if metric.of == "moments":
            assert metric(observed, observed)[0] == pytest.approx(metric.perfect, abs=1e-12), name
    mean = np.full_like(observed, observed.mean())
    assert METRICS["nse"](mean, observed)[0] == pytest.approx(0.0, abs=1e-12)
    assert METRICS["variance_ratio"](mean, observed)[0] == 0.0
    assert METRICS["bias"](2 * observed, observed)[0] == pytest.approx(100.0)
    double = METRICS["kge_2009"](2 * observed, observed)[0]
    assert double == pytest.approx(1 - np.sqrt(2)), "α = β = 2"
    assert METRICS["kge_2012"](2 * observed, observed)[0] == pytest.approx(0.0), "γ = 1, β = 2"


def test_undefined_is_nan_and_never_infinite() -> None:
    varied = np.array([[0.1, 0.2, 0.7, 0.3]])
    constant, dry, none = np.full((1, 4), 0.1), np.zeros((1, 4)), np.full((1, 4), np.nan)
    undefined = {
        "nse": [constant, dry, none],
        "kge_2009": [constant, dry, none],
        "kge_2012": [constant, dry, none],
        "correlation": [constant, dry, none],
        "variance_ratio": [constant, dry, none],
        "bias": [dry, none],
        "mean_ratio": [dry, none],
        "mae": [none],
        "rmse": [none],
    }
    for name, cases in undefined.items():
        for observed in cases:
            assert np.isnan(METRICS[name](varied, observed)[0]), name
        assert np.isnan(METRICS[name](none, varied)[0]), name
    for name in ("correlation", "kge_2009", "kge_2012"):
        assert np.isnan(METRICS[name](constant, varied)[0]), name
    assert np.isfinite(METRICS["nse"](constant, varied)[0]), "a flat simulation can be scored by NSE"


def test_large_baseflow_does_not_lose_the_variance() -> None:
    generator = np.random.default_rng(3)
    observed = 1000.0 + generator.normal(0, 1, (1, 3650))
    simulated = observed + generator.normal(0, 0.5, (1, 3650))
    expected = 1 - ((simulated - observed) ** 2).sum() / ((observed - observed.mean()) ** 2).sum()
    assert METRICS["nse"](simulated, observed)[0] == pytest.approx(expected, rel=1e-8)
