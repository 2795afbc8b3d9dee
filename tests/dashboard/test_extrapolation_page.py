"""The page Extrapolation."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.figures.extrapolation import by_distance, data_efficiency, inside_outside
from thalweg.dashboard.look import LIGHT, strokes
from thalweg.dashboard.measures import measures
from thalweg.storage import evaluations
from thalweg.storage.results import find_runs

Open = Callable[..., AppTest]
pytestmark = pytest.mark.usefixtures("runs")
NSE = measures(["nse"])["nse"]
LINES = strokes(["a", "b"], [], LIGHT)


def said(page: AppTest) -> str:
    assert not page.exception
    text = " ".join(part.proto.body for part in page.html)
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.S)


def test_gaps_of_every_model_and_a_map(open_page: Open) -> None:
    page = open_page("extrapolation", experiment="sample")
    text = said(page)
    for word in ("hybrid", "lstm", "physics", "ungauged_sites", "temporal", "Gap, inside less outside"):
        assert word in text
    assert "climatology" not in text  # a floor is not trained
    assert len(page.get("plotly_chart")) == 4
    assert page.code[0].value == "thalweg evaluate sample"


def test_the_model_on_the_map_stands_in_the_address(open_page: Open) -> None:
    page = open_page("extrapolation", experiment="sample", map="lstm", metric="kge_2012")
    assert page.segmented_control(key="choice:map").value == "lstm"
    assert page.query_params["metric"] == "kge_2012"


def test_distances_are_shown_once_they_were_evaluated(open_page: Open, runs: Path) -> None:
    mine = [run for run in find_runs(runs, "sample") if run.split == "ungauged_sites" and run.state == "done"]
    for run in mine:
        sites = run.metrics()["site"]
        far = np.linspace(0.5, 2, len(sites))
        table = pd.DataFrame({"site": sites, "nearest": far, "applicability": 0.01, "days_outside": 0.5})
        evaluations.write_product(run.path, "support", {"support": table}, "x")
    try:
        page = open_page("extrapolation", experiment="sample")
        assert "distance" in {figure.key for figure in page.get("plotly_chart")}
        assert "100% of sites and 50.0% of days lie outside" in said(page)
    finally:
        for run in mine:
            (run.path / "evaluation" / "made.json").unlink()


@pytest.mark.parametrize("experiment", ["nightly", "one_site"])
def test_an_experiment_with_little_to_show_says_so(open_page: Open, experiment: str) -> None:
    assert "Nothing here extrapolates" in said(open_page("extrapolation", experiment=experiment))


def test_each_row_is_one_model_on_one_split() -> None:
    gaps = pd.DataFrame(
        {
            "model": ["a", "b"],
            "split": "pub",
            "inside_split": "time",
            "inside": [0.7, 0.6],
            "outside": [0.5, 0.6],
        }
    )
    fig = inside_outside(gaps, NSE, LINES, LIGHT)
    assert [tuple(trace.x) for trace in fig.data] == [(0.6, 0.6), (0.7, 0.5)]
    assert list(fig.layout.yaxis.ticktext) == ["b", "a"]
    assert "NSE" in fig.layout.xaxis.title.text


def test_curves_name_their_axes_and_units() -> None:
    classes = pd.DataFrame({"from": [0.0, 1.0], "to": [1.0, 2.0], "sites": [5, 5], "median": [0.7, 0.6]})
    far = by_distance({"a": classes}, NSE, LINES, LIGHT, 300)
    assert "standard deviations" in far.layout.xaxis.title.text
    assert list(far.data[0].x) == [0.5, 1.5]
    curve = pd.DataFrame(
        {"share": [100.0, 10.0], "median": [0.7, 0.5], "low": [0.6, 0.4], "high": [0.8, 0.6]}
    )
    shares = data_efficiency({"a": curve}, NSE, LINES, LIGHT, 300)
    assert list(shares.data[1].x) == [10.0, 100.0]
    assert list(shares.layout.xaxis.ticktext) == ["10", "100"]


def test_floods_of_every_split_once_they_were_evaluated(open_page: Open, runs: Path) -> None:
    mine = [run for run in find_runs(runs, "sample") if run.state == "done" and run.model == "lstm"]
    for run in mine:
        inside = run.split == "temporal"
        # each site's mean over the seeds, then the median over sites: 0.6 inside, 0.4 outside
        pod = (0.5 if inside else 0.3) + 0.2 * (run.seed == 2)
        table = pd.DataFrame({"site": run.metrics()["site"], "pod": pod, "far": 0.25, "csi": np.nan})
        evaluations.write_product(run.path, "events", {"events": table}, "x")
    try:
        text = said(open_page("extrapolation", experiment="sample"))
        assert "Floods, inside and outside" in text
        told = " ".join(text.split())
        assert "lstm temporal 60 % 25 % –" in told
        assert "lstm ungauged_sites 40 % 25 % –" in told
    finally:
        for run in mine:
            (run.path / "evaluation" / "made.json").unlink()
