"""Figures: what they draw is what the data say."""

import numpy as np
import pandas as pd
import pytest

from thalweg.dashboard.figures.cdf import distribution
from thalweg.dashboard.figures.hydrograph import hydrograph
from thalweg.dashboard.figures.regimes import LEAST_LOG_FLOW, flow_duration, regime
from thalweg.dashboard.figures.training import training_curve
from thalweg.dashboard.look import LIGHT, strokes
from thalweg.dashboard.measures import measures

LINES = strokes(["hybrid", "climatology"], ["climatology"], LIGHT)


@pytest.fixture
def flows() -> pd.DataFrame:
    time = pd.date_range("2003-10-01", "2004-09-30")
    observed = 1.0 + np.sin(np.arange(len(time)) / 50.0)
    observed[10:20] = np.nan
    return pd.DataFrame({"observed": observed, "hybrid": observed * 1.5, "climatology": 1.0}, index=time)


def trace(fig: object, name: str, number: int = 0) -> object:
    return [t for t in fig.data if t.name == name][number]  # type: ignore[attr-defined]


def test_hydrograph_draws_flow_and_error(flows: pd.DataFrame) -> None:
    fig = hydrograph(flows, ["hybrid", "climatology"], LINES, LIGHT, 400, log=False)
    np.testing.assert_allclose(trace(fig, "observed").y, flows["observed"])  # type: ignore[attr-defined]
    error = flows["hybrid"] - flows["observed"]
    np.testing.assert_allclose(trace(fig, "hybrid, error").y, error)  # type: ignore[attr-defined]
    assert trace(fig, "observed").line.color == LIGHT.observed  # type: ignore[attr-defined]
    assert trace(fig, "climatology").line.dash == LINES["climatology"].dash  # type: ignore[attr-defined]
    titles = [fig.layout.yaxis.title.text, fig.layout.yaxis2.title.text]
    assert titles == ["flow (mm/day)", "error (mm/day)"]


def test_a_dry_day_has_a_place_on_a_logarithmic_axis(flows: pd.DataFrame) -> None:
    flows["hybrid"] = 0.0
    fig = hydrograph(flows, ["hybrid"], LINES, LIGHT, 400, log=True)
    assert set(trace(fig, "hybrid").y) == {np.float32(LEAST_LOG_FLOW)}  # type: ignore[attr-defined]
    assert fig.layout.yaxis.type == "log"


def test_flow_duration_falls_and_counts_observed_days_only(flows: pd.DataFrame) -> None:
    fig = flow_duration(flows, ["hybrid"], LINES, LIGHT, 300)
    days = int(flows["observed"].notna().sum())
    for name in ("observed", "hybrid"):
        line = trace(fig, name)
        assert np.all(np.diff(line.y) <= 0)  # type: ignore[attr-defined]
        assert np.all(np.diff(line.x) > 0)  # type: ignore[attr-defined]
        assert line.x[0] == pytest.approx(100 / (days + 1))  # type: ignore[attr-defined]


def test_regime_is_the_mean_of_each_month(flows: pd.DataFrame) -> None:
    fig = regime(flows, ["hybrid"], LINES, LIGHT, 300)
    january = flows.loc["2004-01", "observed"].mean()
    assert trace(fig, "observed").y[0] == pytest.approx(january)  # type: ignore[attr-defined]


def test_distribution_reaches_all_sites_and_leaves_out_undefined_ones() -> None:
    nse = measures(["nse"])["nse"]
    values = {"hybrid": pd.Series([0.2, np.nan, 0.6, 0.4]), "climatology": pd.Series([np.nan])}
    fig = distribution(values, nse, LINES, LIGHT, 300)
    assert [t.name for t in fig.data] == ["hybrid"]
    assert list(fig.data[0].x) == [0.2, 0.2, 0.4, 0.6]
    np.testing.assert_allclose(fig.data[0].y, [0, 100 / 3, 200 / 3, 100])


def test_training_curve_leaves_out_a_validation_that_is_not_there() -> None:
    history = pd.DataFrame({"epoch": [1, 2], "loss": [0.8, 0.5], "validation": [np.nan, np.nan]})
    assert [t.name for t in training_curve(history, LINES["hybrid"], LIGHT, 200).data] == ["training"]
