"""Runs side by side, and what a person can take along from a page."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.look import LIGHT, strokes
from thalweg.dashboard.measures import measures
from thalweg.dashboard.reading import cards, comparing, predictions, skill
from thalweg.dashboard.sharing import share

Open = Callable[..., AppTest]


@pytest.fixture
def seeds(runs: Path) -> list[cards.Card]:
    return [
        card
        for card in cards.read()
        if card.label.startswith("hybrid · temporal") and card.experiment == "sample"
    ]


def words(app: AppTest) -> str:
    return " ".join([*(part.value for part in app.markdown), *(part.proto.body for part in app.get("html"))])


def test_a_run_is_named_by_what_tells_it_from_the_others(seeds: list[cards.Card]) -> None:
    assert list(comparing.labels(seeds).values()) == ["hybrid · seed 1", "hybrid · seed 2"]
    both = [card for card in cards.read() if card.experiment == "sample" and card.seed == 1][:2]
    assert len(set(comparing.labels(both).values())) == 2


def test_runs_of_one_model_keep_its_colour_and_differ_in_dash(seeds: list[cards.Card]) -> None:
    lines = strokes(*cards.model_names(seeds), LIGHT)
    first, second = comparing.strokes_of(seeds, lines).values()
    assert first.color == second.color == lines["hybrid"].color
    assert first.dash != second.dash


def test_scores_are_on_the_sites_that_all_were_tested_at(runs: Path) -> None:
    fold, whole = (
        next(card for card in cards.read() if card.experiment == "sample" and card.label.startswith(label))
        for label in ("lstm · ungauged_sites · fold 1", "hybrid · temporal")
    )
    table, _ = skill.metrics([fold, whole])
    found = measures(table.columns)
    scores = comparing.shared(table, [fold, whole], found)
    assert len(scores) == 4 < table["site"].nunique()
    named = comparing.labels([fold, whole])
    own = table[table["run"] == whole.id].set_index("site")["nse"]
    assert np.array_equal(scores[named[whole.id], "nse"], own[scores.index])
    assert comparing.untold([fold, whole]) == ["2 splits"]


def test_the_page_compares_the_runs_of_the_address(runs: Path, open_page: Open) -> None:
    ids = ["sample/hybrid--temporal--0--s1", "sample/lstm--temporal--0--s2"]
    app = open_page("compare", runs=",".join(ids))
    assert not app.exception
    assert not app.error
    assert app.multiselect[0].value == ids
    said = words(app)
    assert "8 sites that all 2 runs were tested at" in said
    assert "hybrid · seed 1" in said
    assert "lstm · seed 2" in said
    assert "90% interval" in said
    assert app.query_params["runs"] in (",".join(ids), [",".join(ids)])


def test_folds_of_other_sites_share_none_and_the_page_says_so(runs: Path, open_page: Open) -> None:
    ids = [f"sample/hybrid--ungauged_sites--{fold}--s1" for fold in (0, 1)]
    app = open_page("compare", runs=",".join(ids))
    assert not app.error
    assert "no site was tested by all of these runs" in words(app)


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("nightly/lstm--ungauged_sites--1--s1", "failed, loss became NaN at epoch 7"),
        ("nightly/hybrid--ungauged_sites--1--s1", "no scores"),
        ("damaged/lstm--temporal--0--s1", "metrics.parquet"),
        ("undefined/hybrid--temporal--0--s1", "undefined"),
        ("one_site/hybrid--temporal--0--s1", "one_site"),
    ],
)
def test_odd_runs_are_named_and_the_page_stands(runs: Path, open_page: Open, run: str, told: str) -> None:
    app = open_page("compare", runs=f"sample/hybrid--temporal--0--s1,{run}")
    assert not app.exception
    assert not app.error
    assert told in words(app)


def test_one_run_is_not_enough_and_unknown_ones_are_left_out(runs: Path, open_page: Open) -> None:
    app = open_page("compare", runs="sample/hybrid--temporal--0--s1,../../etc/passwd")
    assert not app.error
    assert "Pick two runs" in words(app)


def test_numbers_are_taken_along_with_units(seeds: list[cards.Card]) -> None:
    table, _ = skill.metrics(seeds)
    found = measures(table.columns)
    dataset = comparing.scores_dataset(comparing.shared(table, seeds, found), found)
    written = pd.read_csv(io.BytesIO(share.csv(dataset)))
    assert {"run", "site", "nse (1)", "bias (%)"} <= set(written.columns)
    assert len(written) == 16
    with xr.open_dataset(io.BytesIO(share.netcdf(dataset)), engine="h5netcdf") as again:
        assert again["bias"].attrs["units"] == "%"
        assert list(again["run"].values) == ["hybrid · seed 1", "hybrid · seed 2"]
        assert np.allclose(again["nse"], dataset["nse"])


def test_flow_is_taken_along_as_it_was_predicted(seeds: list[cards.Card]) -> None:
    site = str(skill.metrics(seeds)[0]["site"].iloc[0])
    table, _ = predictions.series(seeds[0].path, seeds[0].stamp, site)
    assert table is not None
    dataset = comparing.series_dataset(table, site)
    with xr.open_dataset(io.BytesIO(share.netcdf(dataset)), engine="h5netcdf") as again:
        assert again["observed"].attrs == {"units": "mm/day", "site": site}
        assert again.sizes["time"] == len(table)


def test_the_camera_saves_what_was_just_chosen(runs: Path, open_page: Open) -> None:
    app = open_page("compare", runs="sample/hybrid--temporal--0--s1,sample/lstm--temporal--0--s2")
    assert not app.radio  # nothing is made until it is asked for
    app.session_state[share.KEY] = True
    app.run()
    for kind in ("svg", "png"):
        app.radio[0].set_value(kind).run()
        assert not app.error
        saved = {json.loads(chart.proto.config)["toImageButtonOptions"]["format"] for chart in charts(app)}
        assert saved == {kind}


def test_a_click_on_the_map_shows_the_flow_of_that_site(
    runs: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = "sample/hybrid--temporal--0--s1,sample/lstm--temporal--0--s2"
    last = open_page("compare", runs=ids).selectbox(key="choice:site").options[-1]
    monkeypatch.setattr("thalweg.dashboard.figures.sitemap.clicked", lambda event: last)
    app = open_page("compare", runs=ids)
    assert app.selectbox(key="choice:site").value == last
    # the click stays on the map: another site can still be chosen from the list
    app.selectbox(key="choice:site").set_value(app.selectbox(key="choice:site").options[0]).run()
    assert app.selectbox(key="choice:site").value != last
    # clicked once more it is let go of, and can be clicked anew
    for site in (None, last):
        monkeypatch.setattr("thalweg.dashboard.figures.sitemap.clicked", lambda event, site=site: site)
        app.run()
        assert (app.selectbox(key="choice:site").value == last) is (site is not None)


def test_settings_that_are_lists_are_told_in_words() -> None:
    assert comparing._flat({"a": {"hidden": [64, 64], "varying": []}}) == {
        "a.hidden": "64, 64",
        "a.varying": "none",
    }


def charts(app: AppTest) -> list[Any]:
    return list(app.get("plotly_chart"))
