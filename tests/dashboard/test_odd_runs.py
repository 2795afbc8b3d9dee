"""Runs that are odd in one way each never take a page, or another run, with them."""

import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.reading import cards, skill
from thalweg.storage.results import Run, collect_metrics

Open = Callable[..., AppTest]
NAME = '<img src=x onerror=alert(1)>, "a" $x$ **b** ñ ' + 180 * "m"


@pytest.fixture
def place(made_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs with two experiments, of which a test may damage the one called `odd`."""
    st.cache_data.clear()
    root = tmp_path / "runs"
    for experiment in ("odd", "whole"):
        for model in ("hybrid", "lstm"):
            name = f"{model}--temporal--0--s1"
            shutil.copytree(made_runs / "sample" / name, root / experiment / name)
    monkeypatch.setenv("THALWEG_RUNS", str(root))
    return root


def words(page: AppTest) -> str:
    html = " ".join(part.proto.body for part in page.get("html"))
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S)).split())


def stands(page: AppTest) -> AppTest:
    assert not page.exception
    assert [error.value for error in page.error] == []
    return page


def rewrite(file: Path, **told: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | told))


@pytest.mark.parametrize(
    "told",
    [
        {"epoch": float("inf"), "epochs": 3},
        {"epoch": float("nan"), "epochs": float("nan"), "state": "running"},
        {"epoch": "a", "epochs": []},
        {"seconds": {"total": float("inf")}},
        {"seconds": -5, "updated": "yesterday"},
        {"state": None, "message": {"a": 1}},
    ],
)
def test_a_status_with_odd_values_is_one_runs_matter(place: Path, told: dict[str, Any]) -> None:
    rewrite(place / "odd" / "lstm--temporal--0--s1" / "status.json", **told)
    assert len(cards.read()) == 4


@pytest.mark.parametrize(
    "told",
    [
        {"format": 99},
        {"format": "x"},
        {"model": ["a"], "split": {"b": 1}},
        {"seed": "abc", "test": [1], "config": [1, 2]},
        {"store": 5, "snapshot": ["a"]},
        {"model": NAME},
    ],
)
@pytest.mark.parametrize("name", ["overview", "skill", "extrapolation", "site", "compare"])
def test_a_manifest_with_odd_values_leaves_every_page_standing(
    place: Path, open_page: Open, name: str, told: dict[str, Any]
) -> None:
    rewrite(place / "odd" / "lstm--temporal--0--s1" / "manifest.json", **told)
    stands(open_page(name, experiment="odd"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.assign(nse="bad"), "not numbers: nse"),
        (lambda table: pd.concat([table, table]), "8 sites stand twice"),
        (lambda table: table[["site"]], "lacks latitude"),
    ],
)
@pytest.mark.parametrize("name", ["overview", "skill", "extrapolation", "site", "compare"])
def test_metrics_that_are_none_are_told_and_the_others_shown(
    place: Path, open_page: Open, name: str, change: Callable[[pd.DataFrame], pd.DataFrame], told: str
) -> None:
    file = place / "odd" / "lstm--temporal--0--s1" / "metrics.parquet"
    change(pd.read_parquet(file)).to_parquet(file)
    page = stands(
        open_page(name, experiment="odd", runs="odd/hybrid--temporal--0--s1,odd/lstm--temporal--0--s1")
    )
    if name != "extrapolation":  # which has nothing to tell of runs of one split
        assert "hybrid" in words(page)
    if name != "overview":
        assert told in words(page)


def test_sites_that_are_numbers_are_names(place: Path) -> None:
    file = place / "odd" / "lstm--temporal--0--s1" / "metrics.parquet"
    table = pd.read_parquet(file)
    table.assign(site=range(len(table))).to_parquet(file)
    assert list(Run(file.parent).metrics()["site"]) == [str(number) for number in range(len(table))]
    medians = skill.model_medians(tuple(card.source for card in cards.read()), ("nse",))
    assert set(medians["model"]) == {card.model for card in cards.read()}


def test_seeds_that_were_tested_on_one_side_alone_take_no_page_along(
    made_runs: Path, place: Path, open_page: Open
) -> None:
    for run in (place / "odd").iterdir():
        shutil.rmtree(run)
    for name in ("lstm--temporal--0--s1", "lstm--ungauged_sites--0--s2", "lstm--ungauged_sites--1--s2"):
        shutil.copytree(made_runs / "sample" / name, place / "odd" / name)
    page = stands(open_page("extrapolation", experiment="odd"))
    assert "No seed of a model was tested both inside and outside" in words(page)
    assert not any(chart.proto.id.endswith("on-the-line") for chart in page.get("plotly_chart"))
    assert any("change-ungauged_sites" in chart.proto.id for chart in page.get("plotly_chart"))


def test_a_metric_without_any_value_is_no_damage(place: Path) -> None:
    file = place / "odd" / "lstm--temporal--0--s1" / "metrics.parquet"
    pd.read_parquet(file).assign(nse=None).to_parquet(file)
    run = Run(file.parent)
    assert len(collect_metrics([run])) == 8
    assert run.problems == []


def test_the_overview_does_not_wait_for_a_metric_that_no_run_has(place: Path, open_page: Open) -> None:
    for run in (place / "odd").iterdir():
        pd.read_parquet(run / "metrics.parquet").drop(columns="nse").to_parquet(run / "metrics.parquet")
    page = stands(open_page("overview", experiment="odd"))
    assert "Reading the metrics" not in words(page)
    (row,) = (row for row in page.dataframe[0].value.to_dict("records") if row["experiment"] == "odd")
    assert row["of:temporal"] == ""


def test_a_very_long_name_is_cut_short_in_tables_and_told_whole_under_the_pointer(
    place: Path, open_page: Open
) -> None:
    rewrite(place / "odd" / "lstm--temporal--0--s1" / "manifest.json", model=NAME)
    html = " ".join(part.proto.body for part in stands(open_page("skill", experiment="odd")).get("html"))
    assert '<span class="name" title="&lt;img src=x onerror' in html
    assert "<img src=x" not in html
