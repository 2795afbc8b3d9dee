"""The page Site: weather, intervals, where models are wrong, and the signatures of the river."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.figures.hydrograph import Band, hydrograph
from thalweg.dashboard.figures.residuals import autocorrelation, by_flow, by_month, class_errors, memory
from thalweg.dashboard.look import LIGHT, strokes
from thalweg.dashboard.reading import cards, intervals, skill
from thalweg.dashboard.reading.weather import Weather, weather
from thalweg.dashboard.sections.signatures import signature_table, signatures_of
from thalweg.evaluation.signatures import compare_signatures
from thalweg.storage.evaluations import FOLDER
from thalweg.storage.results import Run
from thalweg.storage.store import open_store

Open = Callable[..., AppTest]
LINES = strokes(["hybrid", "lstm"], [], LIGHT)
TIME = pd.date_range("1999-10-01", "2001-09-30")


def said(page: AppTest) -> str:
    assert not page.exception
    assert [error.value for error in page.error] == []
    text = " ".join(part.proto.body for part in page.html)
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.S)).split())


@pytest.fixture
def card(evaluated_runs: Path) -> cards.Card:
    return next(card for card in cards.read() if card.model == "hybrid")


@pytest.fixture
def site(card: cards.Card) -> str:
    return str(skill.metrics([card])[0]["site"].iloc[3])


def test_the_weather_is_that_of_the_store(card: cards.Card, site: str, evaluated_runs: Path) -> None:
    found = weather(card, site)
    assert found.missing == ""
    assert found.units == {"precipitation": "mm/day", "temperature": "degC"}
    store = open_store(evaluated_runs.parent / "weather.zarr").sel(site=site)
    np.testing.assert_allclose(found.table["precipitation"], store["precipitation"])
    assert found.name == str(store["gauge_name"].values)
    assert found.area == pytest.approx(float(store["area"]))


def test_a_store_that_is_gone_is_said_to_be_and_the_rest_is_drawn(
    open_page: Open, evaluated_runs: Path, card: cards.Card, site: str
) -> None:
    store = evaluated_runs.parent / "weather.zarr"
    store.rename(store.with_name("gone"))
    try:
        assert "is not there any more" in weather(card, site).missing
        page = open_page("site", experiment="evaluated", site=site)
        assert "No weather above: the store" in said(page)
        assert "Runoff ratio and elasticity need the precipitation" in said(page)
        assert len(page.get("plotly_chart")) == 7
    finally:
        store.with_name("gone").rename(store)
    assert weather(card, site).missing == ""


def test_a_run_without_a_store_says_so(runs: Path, open_page: Open) -> None:
    page = open_page("site", experiment="sample", split="temporal")
    assert "No weather above: the run does not name its store" in said(page)
    assert "Elasticity of streamflow" not in said(page)


def test_an_unknown_site_or_version_has_no_weather(card: cards.Card) -> None:
    assert "cannot be read" in weather(card, "nowhere").missing


def test_intervals_are_those_of_the_run(card: cards.Card, site: str, evaluated_runs: Path) -> None:
    assert intervals.kinds(card) == [intervals.CONFORMAL]
    found = intervals.interval(card, intervals.CONFORMAL, site)
    simulated = Run(Path(card.path)).predictions()["simulated"].sel(site=site)  # type: ignore[index]
    assert found.level == 0.8
    np.testing.assert_allclose(found.table["lower"], 0.5 * simulated, rtol=1e-5)
    lstm = next(card for card in cards.read() if card.model == "lstm")
    assert intervals.kinds(lstm) == [intervals.OWN]
    own = intervals.interval(lstm, intervals.OWN, site)
    simulated = Run(Path(lstm.path)).predictions()["simulated"].sel(site=site)  # type: ignore[index]
    np.testing.assert_allclose(own.table["upper"], 1.8 * simulated, rtol=1e-5)
    assert own.level == 0.9


def test_a_damaged_interval_leaves_the_hydrograph(open_page: Open, evaluated_runs: Path, site: str) -> None:
    place = evaluated_runs / "evaluated" / "hybrid--temporal--0--s1" / FOLDER / "intervals.zarr"
    (place / "zarr.json").rename(place / "away.json")
    try:
        page = open_page("site", experiment="evaluated", site=site, band="hybrid conformal")
        assert "hybrid: the conformal interval cannot be read" in said(page)
        assert len(page.get("plotly_chart")) == 7
    finally:
        (place / "away.json").rename(place / "zarr.json")


def test_the_interval_is_a_choice_in_the_address(open_page: Open, evaluated_runs: Path, site: str) -> None:
    page = open_page("site", experiment="evaluated", site=site, band="lstm own")
    box = page.selectbox(key="choice:band")
    assert box.value == "lstm own"
    assert box.options == ["None", "hybrid: conformal interval", "lstm: its own interval"]
    text = said(page)
    assert "River 3" in text
    assert "Signatures of the river" in text
    page.selectbox(key="choice:band").set_value("none").run()
    assert page.query_params["band"] == "none"


@pytest.fixture
def table() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    observed = np.exp(generator.normal(0, 1, len(TIME)))
    observed[100:110] = np.nan
    return pd.DataFrame({"observed": observed, "hybrid": observed * 1.5, "lstm": 2.0}, index=TIME)


def test_rain_hangs_above_flow_and_error(table: pd.DataFrame) -> None:
    sky = Weather(
        pd.DataFrame({"precipitation": 3.0, "temperature": 5.0}, index=TIME[:-1]),
        {"precipitation": "mm/day", "temperature": "degC"},
    )
    band = Band("hybrid", "hybrid, 90% own interval", pd.DataFrame({"lower": 0.0, "upper": 4.0}, index=TIME))
    fig = hydrograph(table, ["hybrid"], LINES, LIGHT, 400, True, sky, band)
    bars = next(trace for trace in fig.data if trace.type == "bar")
    assert len(bars.y) == len(table)
    assert fig.layout.yaxis.range[0] > fig.layout.yaxis.range[1] == 0  # upside down
    titles = {axis.title.text for axis in fig.select_yaxes()}
    assert {"rain, snow<br>(mm/day)", "temperature<br>(°C)", "flow (mm/day)", "error (mm/day)"} == titles
    lower, upper = (trace for trace in fig.data if trace.name == band.label)
    assert min(lower.y) > 0  # a logarithmic axis has no zero
    assert upper.fill == "tonexty"
    assert [lower.showlegend, upper.showlegend] == [False, True]


def test_a_store_without_rain_or_without_temperature_is_drawn(table: pd.DataFrame) -> None:
    for name in ("precipitation", "temperature"):
        sky = Weather(pd.DataFrame({name: 1.0}, index=TIME), {name: "x"})
        fig = hydrograph(table, ["hybrid"], LINES, LIGHT, 400, False, sky)
        assert any(trace.name == name for trace in fig.data)


def test_errors_are_by_tenths_of_observed_days(table: pd.DataFrame) -> None:
    seen = table[table["observed"].notna()]
    errors = class_errors(seen, ["hybrid", "lstm"])
    assert list(errors.index) == list(range(1, 11))
    np.testing.assert_allclose(errors["hybrid"], 50.0)
    top = seen["observed"].nlargest(len(seen) // 10)
    assert errors.loc[10, "lstm"] == pytest.approx(100 * (2 / top.mean() - 1), rel=0.02)
    dry = seen.assign(observed=np.where(seen["observed"] < 1, 0.0, seen["observed"]))
    assert np.isnan(class_errors(dry, ["lstm"]).loc[1, "lstm"])
    assert len(by_flow(table, ["hybrid", "lstm"], LINES, LIGHT, 300).data) == 2
    assert len(by_flow(table.iloc[:5], ["hybrid"], LINES, LIGHT, 300).data) == 0


def test_monthly_errors_leave_out_unknown_days(table: pd.DataFrame) -> None:
    fig = by_month(table, ["hybrid"], LINES, LIGHT, 300)
    january = table[table.index.month == 1]
    expected = (january["hybrid"] - january["observed"]).mean()
    assert fig.data[0].y[0] == pytest.approx(expected)


def test_autocorrelation_is_that_of_a_known_process() -> None:
    generator = np.random.default_rng(1)
    errors = np.zeros(20_000)
    for day in range(1, len(errors)):
        errors[day] = 0.8 * errors[day - 1] + generator.normal()
    found = autocorrelation(errors, 5)
    np.testing.assert_allclose(found, 0.8 ** np.arange(1, 6), atol=0.04)
    gaps = errors.copy()
    gaps[generator.random(len(gaps)) < 0.3] = np.nan
    np.testing.assert_allclose(autocorrelation(gaps, 5), found, atol=0.04)
    assert np.isnan(autocorrelation(np.full(100, np.nan))).all()
    assert np.isnan(autocorrelation(np.ones(100))).all()
    assert np.isnan(autocorrelation(errors[:20])).all()


def test_memory_shows_what_is_chance(table: pd.DataFrame) -> None:
    fig = memory(table, ["hybrid"], LINES, LIGHT, 300)
    assert fig.layout.shapes[0].y1 == pytest.approx(1.96 / np.sqrt(table["observed"].notna().sum()))


def test_signatures_are_those_of_the_evaluation(card: cards.Card, site: str) -> None:
    found = Run(Path(card.path)).predictions()
    assert found is not None
    one = found.sel(site=[site]).load()
    flows = pd.DataFrame(
        {"observed": one["observed"].values[0], "hybrid": one["simulated"].values[0]},
        index=pd.DatetimeIndex(one["time"].values),
    )
    mine = signatures_of(flows, ["hybrid"], None)
    expected = compare_signatures(one["simulated"], one["observed"])
    for name in expected:
        for series, row in (("observed", "observed"), ("simulated", "hybrid")):
            value = float(expected[name].sel(series=series).isel(site=0))
            assert mine.loc[row, name] == pytest.approx(value, nan_ok=True), name


def test_all_that_come_closest_are_bold() -> None:
    found = pd.DataFrame(
        {"q_mean": [1.0, 1.1, 0.9, 2.0], "q5": [0.0, 0.0, 0.0, 0.0]},
        index=["observed", "hybrid", "lstm", "physics"],
    )
    lines = strokes(list(found.index[1:]), [], LIGHT)
    html = signature_table(found, lines)
    assert html.count('class="best"') in (1, 2)  # 1.1 and 0.9 are equally far, but for the last bit
    assert "mean of daily discharge" in html
    assert "q5" not in html
