"""Trends on the page Extrapolation, and skill outside by skill inside."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.figures.lines import on_the_line, trend_scatter
from thalweg.dashboard.look import LIGHT, strokes
from thalweg.dashboard.measures import measures
from thalweg.dashboard.sections import trends
from thalweg.storage import evaluations
from thalweg.storage.results import find_runs

NSE = measures(["nse"])["nse"]
LINES = strokes(["a", "b"], [], LIGHT)
OBSERVED = np.linspace(-0.3, 0.6, 10)


def product(model: str, split: str, factor: float, seed: int = 1) -> pd.DataFrame:
    """A run's table of trends, whose simulated ones are so many times the observed ones."""
    sites = [f"s{number}" for number in range(10)]
    return pd.DataFrame(
        {
            "site": sites,
            "flow": "mean",
            "observed": OBSERVED,
            "simulated": factor * OBSERVED,
            "observed_p": np.where(np.abs(OBSERVED) > 0.15, 0.01, 0.5),
            "simulated_p": 0.5,
            "years": 10,
        }
    ).assign(run=f"{model}{split}{seed}", model=model, split=split, seed=seed)


def test_bias_and_sign_of_trends_are_those_that_were_made() -> None:
    found = trends.by_site(pd.concat([product("a", "t", 0.5), product("b", "t", -1.0)]))
    scores = trends.trend_scores(found, "mean").set_index("model")
    assert scores.loc["a", "observed"] == pytest.approx(0.15)
    assert scores.loc["a", "bias"] == pytest.approx(-0.075)
    assert scores.loc["a", "same_sign"] == 1.0
    assert scores.loc["a", "clear"] == np.sum(np.abs(OBSERVED) > 0.15)
    assert scores.loc["a", "correlation"] == pytest.approx(1.0)
    assert (scores.loc["b", "same_sign"], scores.loc["b", "correlation"]) == (0.0, pytest.approx(-1.0))


def test_runs_of_a_site_are_averaged_and_unknown_trends_left_out() -> None:
    second = product("a", "t", 1.5, 2)
    second.loc[0, ["observed", "simulated"]] = np.nan
    first = product("a", "t", 0.5).drop(index=0)
    found = trends.by_site(pd.concat([first, second]))
    assert len(found) == 9
    assert np.allclose(found["simulated"], found["observed"])
    assert trends.by_site(pd.DataFrame()).empty


def test_the_page_shows_trends_once_they_were_evaluated(
    runs: Path, open_page: Callable[..., AppTest]
) -> None:
    mine = [run for run in find_runs(runs, "sample") if run.state == "done" and run.model == "lstm"]
    for run in mine:
        sites = run.metrics()["site"]
        table = (
            product("lstm", run.split, 0.5).head(len(sites)).drop(columns=["run", "model", "split", "seed"])
        )
        evaluations.write_product(run.path, "trends", {"trends": table.assign(site=sites)}, "x")
    try:
        page = open_page("extrapolation", experiment="sample")
        assert not page.exception
        text = " ".join(re.sub(r"<[^>]+>", " ", part.proto.body) for part in page.html)
        assert "Trends over the tested years (mm/day a decade)" in text
        assert page.segmented_control(key="choice:trends").options == ["temporal", "ungauged\\_sites"]
        assert any(chart.proto.id.endswith("trends-temporal-mean") for chart in page.get("plotly_chart"))
    finally:
        for run in mine:
            (run.path / "evaluation" / "made.json").unlink()


@pytest.mark.parametrize(("asked", "shown"), [("low", "high"), ("high", "high"), ("mean", "mean")])
def test_only_flows_with_a_known_trend_are_offered(
    runs: Path, open_page: Callable[..., AppTest], asked: str, shown: str
) -> None:
    (run,) = (run for run in find_runs(runs, "sample") if run.id.endswith("lstm--temporal--0--s1"))
    table = product("lstm", "temporal", 0.5).head(8).assign(site=run.metrics()["site"].to_numpy())
    never = table.assign(flow="low", observed=np.nan)  # as of rivers that fall dry
    both = pd.concat([table.assign(flow="high"), *([table] if asked == "mean" else []), never])
    both = both.drop(columns=["run", "model", "split", "seed"])
    evaluations.write_product(run.path, "trends", {"trends": both}, "x")
    try:
        page = open_page("extrapolation", experiment="sample", flow=asked)
        assert not page.exception
        assert not page.error
        assert len(page.segmented_control(key="choice:flow").options) == (2 if asked == "mean" else 1)
        assert page.query_params["flow"] == shown
        assert any(chart.proto.id.endswith(f"trends-temporal-{shown}") for chart in page.get("plotly_chart"))
    finally:
        (run.path / "evaluation" / "made.json").unlink()


def test_axes_of_trends_are_equal_and_have_units() -> None:
    fig = trend_scatter(product("a", "t", 0.5), LINES, LIGHT, 300, "Trends", trends.UNITS)
    assert fig.layout.xaxis.range == fig.layout.yaxis.range
    assert fig.layout.xaxis.title.text == "observed trend (mm/day a decade)"
    points = fig.data[1]
    assert points.marker.color == LINES["a"].color
    assert len(set(points.marker.size)) == 2  # clear and unclear ones


def test_a_point_a_model_in_its_colour_and_a_symbol_a_split() -> None:
    line = pd.DataFrame(
        {
            "model": ["a", "b"],
            "inside": [0.7, 0.6],
            "outside": [0.6, 0.5],
            "expected": np.nan,
            "above": np.nan,
        }
    )
    fig = on_the_line({"pub": line, "pur": line}, NSE, LINES, LIGHT, 300, "time")
    shown = [trace for trace in fig.data if trace.customdata is not None]
    assert [list(trace.marker.color) for trace in shown] == [[LINES["a"].color, LINES["b"].color]] * 2
    assert shown[0].marker.symbol != shown[1].marker.symbol
    assert "inside (time)" in fig.layout.xaxis.title.text
    assert [trace.name for trace in fig.data if trace.showlegend is not False] == [
        "as good outside", "pub", "pur", "a", "b",
    ]  # fmt: skip
    # fewer than three points have no line, and nothing is off it
    assert [told for trace in shown for _, told in trace.customdata] == [""] * 4
    assert not any(trace.mode == "lines" and trace.name != "as good outside" for trace in fig.data)


def test_models_that_share_a_colour_differ_in_their_symbols() -> None:
    names = [f"m{number:02d}" for number in range(17)]
    drawn = strokes(names, [], LIGHT)
    assert drawn["m00"].color == drawn["m08"].color == drawn["m16"].color
    line = pd.DataFrame({"model": names, "inside": 0.7, "outside": 0.6, "expected": 0.5, "above": 0.1})
    fig = on_the_line({"pub": line}, NSE, drawn, LIGHT, 300, "time")
    (shown,) = (trace for trace in fig.data if trace.customdata is not None)
    looks = set(zip(shown.marker.symbol, shown.marker.color, strict=True))
    assert len(looks) == 17
    assert shown.customdata[0][1] == "<br>+0.100 off the line"
    legend = [trace.marker for trace in fig.data if trace.name in names]
    assert len({(marker.symbol, marker.color) for marker in legend}) == 17
    every = pd.concat([product(name, "t", 0.5) for name in names])
    scattered = trend_scatter(every, drawn, LIGHT, 300, "Trends", trends.UNITS).data[1:]
    assert len({(trace.marker.symbol, trace.marker.color) for trace in scattered}) == 17
