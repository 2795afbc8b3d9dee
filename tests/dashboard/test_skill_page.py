"""The page Skill: which differences are clear, two models site by site, and skill in parts."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.figures.pairs import outside, pair_scatter
from thalweg.dashboard.figures.strata import strata_dots
from thalweg.dashboard.look import DARK, LIGHT, strokes
from thalweg.dashboard.measures import measures
from thalweg.dashboard.reading import cards
from thalweg.dashboard.scope import load_scope
from thalweg.dashboard.sections import differences
from thalweg.dashboard.sections.differences import compared, difference_table, size, words
from thalweg.evaluation.intervals import Difference
from thalweg.evaluation.summary import compare
from thalweg.flows.reporting.differences import Pair, compare_on
from thalweg.flows.reporting.strata import attribute_spread, strata_means
from thalweg.storage.results import Run

Open = Callable[..., AppTest]
NSE, BIAS = measures(["nse", "bias"]).values()
LINES = strokes(["hybrid", "lstm"], [], LIGHT)


def said(page: AppTest) -> str:
    assert not page.exception
    assert [error.value for error in page.error] == []
    text = " ".join(part.proto.body for part in page.html)
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.S)).split())


def scope_of(experiment: str) -> object:
    runs = [card for card in cards.read() if card.experiment == experiment and card.split == "temporal"]
    return load_scope(experiment, "temporal", runs)


def test_differences_are_those_of_the_report(evaluated_runs: Path) -> None:
    scope = scope_of("evaluated")
    mine = compared(scope, "nse", ["hybrid", "lstm"]).result(60)  # type: ignore[arg-type]
    runs = [Run(path.parent) for path in evaluated_runs.glob("*/*/manifest.json")]
    report = compare_on(scope.table, runs, "temporal", [("hybrid", "lstm")], "nse")  # type: ignore[attr-defined]
    assert [pair.comparison for pair in mine] == [pair.comparison for pair in report]
    assert mine[0].p_value == report[0].p_value
    # asked again, it is not computed again
    assert compared(scope, "nse", ["hybrid", "lstm"]).result(0) is mine  # type: ignore[arg-type]
    assert size(scope, ["hybrid"]) == 2 * 6 * 1461  # type: ignore[arg-type]


def test_the_page_does_not_wait_for_differences(open_page: Open, evaluated_runs: Path) -> None:
    page = open_page("skill", experiment="evaluated")
    assert "Which differences are clear" in said(page)
    for future in list(differences._begun.values()):
        future.result(60)
    text = said(page.run())
    assert "differences are clear. Median over sites" in text
    assert re.search(r"hybrid is better|lstm is better|no clear difference", text)


def test_a_large_comparison_is_made_when_asked_for(
    open_page: Open, evaluated_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences, "MOST_VALUES", 10)
    page = open_page("skill", experiment="evaluated", metric="rmse")
    button = next(each for each in page.button if each.label == "Compare the models")
    assert "million predicted days" in said(page)
    button.click().run()
    for future in list(differences._begun.values()):
        future.result(60)
    assert "differences are clear" in said(page.run())


def test_a_comparison_that_fails_is_one_line(
    open_page: Open, evaluated_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("the disk sleeps")

    monkeypatch.setattr(differences, "compare_on", breaks)
    page = open_page("skill", experiment="evaluated", metric="mae")
    for future in list(differences._begun.values()):
        future.exception(60)
    assert "could not be computed (the disk sleeps)" in said(page.run())


def test_skill_in_parts_follows_the_choice(open_page: Open, evaluated_runs: Path) -> None:
    page = open_page("skill", experiment="evaluated")
    assert page.selectbox(key="choice:by").options == ["Season", "Observed flow", "Region", "Attribute"]
    page.selectbox(key="choice:by").set_value("attribute").run()
    assert page.selectbox(key="choice:attribute").value == "aridity"
    assert page.query_params["by"] == "attribute"
    # distribution, map, site by site, in parts
    assert len(page.get("plotly_chart")) == 4
    said(page)


def test_a_metric_that_was_not_computed_in_parts_says_so(open_page: Open, evaluated_runs: Path) -> None:
    text = said(open_page("skill", experiment="evaluated", metric="mae"))
    assert "MAE was not computed in parts: this is NSE" in text


def test_within_a_class_of_flow_the_bias_is_shown(open_page: Open, evaluated_runs: Path) -> None:
    text = said(open_page("skill", experiment="evaluated", by="flow"))
    assert "NSE compares with the mean of the days of a class" in text
    assert "this is Bias" in text


def test_without_an_evaluation_the_command_is_told(runs: Path, open_page: Open) -> None:
    page = open_page("skill", experiment="sample", split="temporal")
    assert "When and where is a model good?" in said(page)
    assert page.code[0].value == "thalweg evaluate sample"


def test_two_models_are_chosen_in_the_address(open_page: Open, evaluated_runs: Path) -> None:
    page = open_page("skill", experiment="evaluated", across="climatology", up="lstm")
    assert page.selectbox(key="choice:across").value == "climatology"
    assert page.selectbox(key="choice:up").value == "lstm"


def test_all_metrics_are_shown_when_asked_for(open_page: Open, evaluated_runs: Path) -> None:
    assert "Missed peaks" not in said(open_page("skill", experiment="evaluated"))
    assert "Missed peaks" in said(open_page("skill", experiment="evaluated", all="1"))


def test_points_beyond_the_axes_stand_on_the_edge() -> None:
    sites = pd.DataFrame({"region": ["01", "01", "02"]}, index=["a", "b", "c"])
    first = pd.Series([0.5, -9.0, np.nan], sites.index, name="hybrid")
    second = pd.Series([0.6, 0.4, 0.3], sites.index, name="lstm")
    fig = pair_scatter(sites, first, second, NSE, LIGHT, 300)
    (points,) = (trace for trace in fig.data if trace.mode == "markers")
    assert [told[0] for told in points.customdata] == ["a", "b"]
    assert points.x[1] == pytest.approx(fig.data[0].x[0])
    assert outside(first, second, NSE) == 1
    assert {note.text for note in fig.layout.annotations} == {"lstm is better", "hybrid is better"}
    assert not pair_scatter(sites, first, second, BIAS, DARK, 300).layout.annotations


def test_regions_differ_by_colour_or_symbol() -> None:
    names = [f"{number:02d}" for number in range(18)]
    sites = pd.DataFrame({"region": names}, index=names)
    values = pd.Series(np.linspace(0, 1, 18), names, name="a")
    for look in (LIGHT, DARK):
        fig = pair_scatter(sites, values, values.rename("b"), NSE, look, 300)
        looks = {(t.marker.color, t.marker.symbol) for t in fig.data if t.mode == "markers"}
        assert len(looks) == 18
        assert not {color for color, _ in looks} & set(look.models)


def test_folds_are_averaged_by_their_sites_and_seeds_are_not_counted_twice() -> None:
    strata = pd.DataFrame(
        {
            "split": "pub",
            "model": "a",
            "seed": [1, 1, 2, 2],
            "days": "all",
            "sites_of": "01",
            "by": "region",
            "median": [0.5, 0.8, 0.5, 0.8],
            "low": 0.1,
            "high": 0.9,
            "sites": [10, 20, 10, 20],
        }
    )
    (row,) = strata_means(strata).to_dict("records")
    assert row["value"] == pytest.approx(0.7)
    assert row["sites"] == 30
    assert np.isnan(row["low"])
    alone = strata_means(strata.iloc[:1]).iloc[0]
    assert (alone["low"], alone["high"]) == (0.1, 0.9)
    assert strata_means(strata.assign(median=np.nan)).empty


def test_attributes_come_in_the_order_of_what_they_change() -> None:
    means = pd.DataFrame(
        {
            "split": "s",
            "model": "a",
            "by": ["slope", "slope", "aridity", "aridity", "flow", "flow"],
            "label": ["0 to 1", "1 to 2", "-1 to 0", "0 to 2", "0-30 %", "30-80 %"],
            "value": [0.5, 0.6, 0.8, 0.3, -9.0, 1.0],
        }
    )
    spread = attribute_spread(means)
    assert list(spread["by"]) == ["aridity", "slope"]
    assert spread["change"].to_list() == pytest.approx([-0.5, 0.1])


def test_each_class_has_a_dot_a_model_and_its_interval() -> None:
    means = pd.DataFrame(
        {"model": ["hybrid", "lstm"], "by": "season", "label": "DJF", "value": [0.5, 0.6], "sites": 5}
    ).assign(low=[0.4, np.nan], high=[0.6, np.nan])
    fig = strata_dots(means, ["hybrid", "lstm"], NSE, LINES, LIGHT, 300, "NSE by season", "season")
    assert [trace.name for trace in fig.data] == ["hybrid", "lstm"]
    assert fig.data[0].error_y.array[0] == pytest.approx(0.1)
    assert fig.data[0].x[0] < 0 < fig.data[1].x[0]
    assert fig.layout.yaxis.title.text == "median NSE (–)"


def test_a_verdict_is_said_in_words() -> None:
    index = [f"s{number}" for number in range(8)]
    metrics = pd.concat(
        pd.DataFrame({"experiment": "e", "split": "t", "model": model, "site": index, "nse": nse})
        for model, nse in (("hybrid", np.linspace(0.6, 0.9, 8)), ("lstm", np.linspace(0.3, 0.5, 8)))
    )
    (found,) = compare(metrics, "nse", "hybrid", "lstm")
    pair = Pair(found, "sites", 0.0002)
    html = difference_table([pair], NSE, LINES, LIGHT)
    assert "<b>hybrid is better</b>" in html
    assert "&lt; 0.001" in html
    assert words([pair], NSE).startswith("1 of 1 differences are clear.")
    unknown = Pair(
        type(found)(**{**vars(found), "verdict": "unknown", "difference": Difference(*[np.nan] * 4, 2)}),
        "sites",
        float("nan"),
    )
    assert "too few sites" in difference_table([unknown], NSE, LINES, LIGHT)
    assert words([unknown], BIAS).count("distances from the best value") == 1
