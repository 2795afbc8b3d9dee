"""The page Interpretation: verdicts in words, no attribution without its checks, and what is missing."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from streamlit.testing.v1 import AppTest

from thalweg.dashboard.figures.attributions import importance, reaches
from thalweg.dashboard.figures.courses import courses, flood_days
from thalweg.dashboard.figures.frame import luminance
from thalweg.dashboard.figures.parameters import _mixed, correlations, response
from thalweg.dashboard.figures.physics import budyko, network_shares, untrained
from thalweg.dashboard.figures.water import by_month, equation, monthly_balance, regional_balance, stores
from thalweg.dashboard.look import DARK, LIGHT, Look, strokes
from thalweg.dashboard.reading import cards, inside
from thalweg.dashboard.reading.attributes import Attribute
from thalweg.dashboard.sections.learned_water import _long_term
from thalweg.flows.reporting.readings import flag_sentences, untrained_pairs, verdict
from thalweg.storage.evaluations import FOLDER, RECORD
from thalweg.storage.results import Run

Open = Callable[..., AppTest]
pytestmark = pytest.mark.usefixtures("evaluated_runs")
LINES = strokes(["hybrid", "lstm"], [], LIGHT)
ARIDITY = Attribute("aridity", "potential evapotranspiration over precipitation", "1")


def said(page: AppTest) -> str:
    assert not page.exception
    assert [error.value for error in page.error] == []
    text = " ".join(part.proto.body for part in page.html)
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", text, flags=re.S)).split())


def test_the_physics_is_judged_in_words(open_page: Open) -> None:
    page = open_page("interpretation")
    text = said(page)
    assert "hybrid in 2 of 2 runs: median NSE" in text
    assert "differs from the water balance by" in text
    assert "⚠" in text
    assert "every site's balance closes" in text
    assert "hybrid lstm network alone" in text
    # untrained variables, the ledger, Budyko
    assert len(page.get("plotly_chart")) == 3


def test_parameters_are_mapped_and_go_with_attributes(open_page: Open) -> None:
    page = open_page("interpretation", ask="parameters", model="hybrid")
    text = said(page)
    options = page.selectbox(key="choice:along").options
    assert options[0].startswith("aridity")  # by which the synthetic field capacity varies
    assert "identified" in text
    # map, response, correlations, the course of the one that varies in time
    assert len(page.get("plotly_chart")) == 4
    assert page.query_params["parameter"] in ("field_capacity", "recharge_exponent")


def test_the_parameter_in_the_address_is_shown(open_page: Open) -> None:
    page = open_page("interpretation", ask="parameters", model="hybrid", parameter="recharge_exponent")
    assert page.selectbox(key="choice:parameter").value == "recharge_exponent"
    assert page.query_params["ask"] == "parameters"


def test_the_water_of_a_site_adds_up(open_page: Open) -> None:
    page = open_page("interpretation", ask="water", model="hybrid")
    text = said(page)
    found = re.search(
        r"precipitation ([\d,]+) = discharge ([\d,]+) \+ evapotranspiration ([\d,]+) "
        r"− change of storage ([\d,]+)",
        text,
    )
    assert found is not None
    rain, flow, evaporated, change = (int(part.replace(",", "")) for part in found.groups())
    assert rain == pytest.approx(flow + evaporated - change, abs=2)
    # regions, months, what leaves, what is stored
    assert len(page.get("plotly_chart")) == 4


def test_long_term_balances_close_at_every_site(evaluated_runs: Path) -> None:
    runs = [card for card in cards.read() if card.model == "hybrid"]
    told = inside.terms(runs[0].path, runs[0].stamp)
    assert told.outflow == ("discharge", "evapotranspiration")
    balance = pd.concat(
        pd.read_parquet(Path(run.path) / FOLDER / "balance.parquet").assign(run=run.id) for run in runs
    )
    table = _long_term(runs, balance, told)
    out = table[["discharge", "evapotranspiration", "change of storage", "unaccounted"]].sum(axis=1)
    np.testing.assert_allclose(out, table["inflow"], rtol=2e-3)


def test_the_terms_of_a_balance_are_those_of_the_process_model(evaluated_runs: Path) -> None:
    run = next(card for card in cards.read() if card.model == "hybrid")
    told = inside.terms(run.path, run.stamp)
    record = Path(run.path) / FOLDER / "balance_terms.parquet"
    record.rename(record.with_suffix(".away"))
    inside.terms.clear()
    try:
        assert inside.terms(run.path, run.stamp) == told
    finally:
        record.with_suffix(".away").rename(record)
    assert told.inflow == ("precipitation",)
    assert "snowpack" in told.stored


def test_a_network_has_no_physics_to_show(open_page: Open) -> None:
    text = said(open_page("interpretation", ask="water", model="lstm"))
    assert "lstm: this model has no process model inside" in text
    page = open_page("interpretation", ask="parameters", model="lstm")
    assert "Which parameters did it learn?" in said(page)
    assert page.code[0].value == "thalweg evaluate evaluated"


def test_attributions_stand_beside_their_checks(open_page: Open) -> None:
    page = open_page("interpretation", ask="network", model="lstm")
    text = said(page)
    assert "integrated gradients completeness 0.300 0.010 ✕ fails" in text
    assert "Shapley completeness 0.000 0.000 passes" in text
    assert "permutation has no check of its own" in text
    assert "integrated gradients fail completeness here; do not believe these lines" in text
    assert len(page.get("plotly_chart")) == 2


def test_what_was_not_evaluated_says_which_command_does(open_page: Open, evaluated_runs: Path) -> None:
    records = list(evaluated_runs.glob(f"*/*/{FOLDER}/{RECORD}"))
    for record in records:
        record.rename(record.with_name("away"))
    try:
        for ask in ("physics", "parameters", "water", "network"):
            page = open_page("interpretation", ask=ask, model="hybrid")
            said(page)
            assert page.code[0].value == "thalweg evaluate evaluated"
    finally:
        for record in records:
            record.with_name("away").rename(record)


def test_a_damaged_table_or_store_leaves_the_page_standing(open_page: Open, evaluated_runs: Path) -> None:
    run = evaluated_runs / "evaluated" / "hybrid--temporal--0--s1"
    table, fluxes = run / FOLDER / "parameters.parquet", run / "fluxes.zarr"
    content = table.read_bytes()
    table.write_bytes(content[:100])
    fluxes.rename(fluxes.with_name("away"))
    try:
        said(open_page("interpretation", ask="parameters", model="hybrid"))
        assert "Nothing to draw" in said(open_page("interpretation", ask="water", model="hybrid"))
    finally:
        table.write_bytes(content)
        fluxes.with_name("away").rename(fluxes)


def test_without_its_store_the_water_that_comes_in_is_said_to_be_missing(
    open_page: Open, evaluated_runs: Path
) -> None:
    store = evaluated_runs.parent / "weather.zarr"
    store.rename(store.with_name("gone"))
    try:
        text = said(open_page("interpretation", ask="water", model="hybrid"))
        assert "What comes in is not drawn: the store" in text
        assert "No rain above: the store" in said(
            open_page("interpretation", ask="parameters", model="hybrid")
        )
    finally:
        store.with_name("gone").rename(store)


@pytest.mark.parametrize(
    ("experiment", "ask"),
    [
        ("one_site", "water"),
        ("undefined", "physics"),
        ("damaged", "parameters"),
        ("damaged", "water"),
        ("nightly", "network"),
        ("started", "physics"),
    ],
)
def test_odd_runs_leave_the_page_standing(experiment: str, ask: str, runs: Path, open_page: Open) -> None:
    page = open_page("interpretation", experiment=experiment, ask=ask)
    assert page.query_params["experiment"] == experiment
    said(page)


def test_several_runs_of_a_model_are_told_once() -> None:
    audit = pd.DataFrame(
        {
            "split": "pub",
            "model": ["a", "a", "b"],
            "check": "snow",
            "statistic": "median difference in days",
            "value": [40.0, 20.0, np.nan],
            "flag": [True, False, False],
            "reason": ["snow is gone +40 days from when it should be", "", "only 2 sites"],
        }
    )
    assert flag_sentences(audit) == ["a, pub in 1 of 2 runs: snow is gone +40 days from when it should be."]
    assert verdict(audit[audit["model"] == "a"]) == "30.00 (1 of 2 runs)"
    assert verdict(audit[audit["model"] == "b"]) == "too few sites"


def test_untrained_variables_have_a_panel_each_with_units() -> None:
    sites = pd.DataFrame(
        {
            "site": ["x", "y"],
            "model": "hybrid",
            "balance": [400.0, 500.0],
            "evapotranspiration": [420.0, 480.0],
        }
    )
    pairs = untrained_pairs(sites)
    assert [pair[2] for pair in pairs] == ["evapotranspiration"]
    fig = untrained(sites, pairs, LINES, LIGHT, 300)
    assert fig.layout.xaxis.title.text == "from observations (mm/year)"
    assert list(fig.data[0].x) == [400.0, 500.0]


def test_budyko_holds_the_limits_of_water_and_energy() -> None:
    sites = pd.DataFrame({"site": ["x"], "model": "hybrid", "dryness": [0.8], "evaporated": [0.5]})
    fig = budyko(sites, LINES, LIGHT, 300)
    limits = fig.data[0]
    np.testing.assert_allclose(limits.y, np.minimum(limits.x, 1.0))
    assert np.all(fig.data[1].y <= np.asarray(limits.y) + 1e-12)


def test_shares_tell_elsewhere_from_another_time() -> None:
    shares = pd.DataFrame(
        {"model": "lstm", "flux": "target", "told": ["elsewhere", "another time"], "share": [0.9, 0.7]}
    ).assign(low=0.6, high=1.0)
    fig = network_shares(shares, LINES, LIGHT, 200)
    assert [trace.marker.symbol for trace in fig.data] == ["circle", "circle-open"]


def test_months_and_regions_stack_to_what_comes_in() -> None:
    time = pd.date_range("2000-10-01", "2004-09-30")
    daily = pd.DataFrame({"discharge": 1.0, "change of storage": -0.5}, index=time)
    months = by_month(daily)
    assert months.loc[2, "discharge"] == pytest.approx(28.25)
    fig = monthly_balance(months, months.sum(axis=1), LIGHT, 300)
    assert fig.layout.barmode == "relative"
    assert [trace.name for trace in fig.data] == ["discharge", "change of storage", "precipitation"]
    table = pd.DataFrame({"discharge": [300.0]}, index=["01"])
    assert regional_balance(table, pd.Series([320.0], ["01"]), DARK, 300).data[1].y[0] == 320.0
    assert {trace.stackgroup for trace in stores(daily, LIGHT, 200).data} == {"all"}
    told = equation(
        {"precipitation": 1188.2}, pd.Series({"discharge": 681.4, "change of storage": -3.2, "x": -0.1})
    )
    assert told == "precipitation 1,188 = discharge 681 − change of storage 3 + x 0 (mm/year)"


def test_what_may_be_chance_bears_no_number() -> None:
    table = pd.DataFrame([[0.62, -0.04]], index=["field_capacity"], columns=["aridity", "slope"])
    known = {"aridity": ARIDITY, "slope": Attribute("slope", "mean slope of the land (in a circle)", "m/km")}
    fig = correlations(table, pd.DataFrame([[False, True]]), known, LIGHT)
    cells, told = fig.data
    assert list(told.text) == ["+0.6"]
    assert (told.x[0], told.y[0]) == ("aridity", "field capacity")
    assert list(fig.layout.xaxis.ticktext) == [
        "Potential<br>evapotranspiration over …",
        "Mean slope of the land",
    ]
    assert cells.customdata[0][0] == "Potential evapotranspiration over precipitation"


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_every_correlation_can_be_read_on_its_colour(look: Look) -> None:
    values = np.linspace(-1, 1, 41)[None]
    names = [f"a{number}" for number in range(41)]
    table = pd.DataFrame(values, index=["k"], columns=names)
    known = {name: Attribute(name, name) for name in names}
    fig = correlations(table, table != table, known, look)
    cells, told = fig.data
    scale = [color for _, color in cells.colorscale]
    assert len(told.text) == 41
    for value, ink in zip(values[0], told.textfont.color, strict=True):
        ground, letter = luminance(_mixed(scale, value)), luminance(ink)
        assert (max(ground, letter) + 0.05) / (min(ground, letter) + 0.05) >= 4.5  # WCAG AA
    assert _mixed(scale, -1.0) == scale[0]
    assert _mixed(scale, 0.5) == scale[3]


def test_a_response_has_quartiles_of_one_run_and_a_line_each_of_several() -> None:
    classes = pd.DataFrame(
        {"run": "a", "low": [0.0, 1.0], "high": [1.0, 2.0], "sites": 5, "median": [1.0, 2.0]}
    ).assign(lower_quartile=0.5, upper_quartile=2.5)
    assert len(response(classes, "k", ARIDITY, "mm", "#000000", LIGHT, 200).data) == 2
    both = pd.concat([classes, classes.assign(run="b")])
    fig = response(both, "k", ARIDITY, "mm", "#000000", LIGHT, 200)
    assert [trace.name for trace in fig.data] == ["a", "b"]
    assert fig.layout.yaxis.title.text == "k (mm)"
    assert fig.layout.xaxis.title.text == "Potential evapotranspiration over precipitation (–)"


def test_floods_are_shaded_through_all_panels() -> None:
    time = pd.date_range("2001-01-01", periods=100)
    observed = pd.Series(1.0, index=time)
    observed.iloc[[40, 41, 42, 70]] = 9.0
    floods = flood_days(observed)
    assert floods == [(time[40], time[42]), (time[70], time[70])]
    assert flood_days(pd.Series(np.nan, index=time)) == []
    flows = pd.DataFrame({"observed": observed, "simulated": 1.0})
    parameters = pd.DataFrame({"exponent": 1.0, "limit": 2.0}, index=time)
    fig = courses(flows, observed, parameters, {"exponent": "1", "limit": "mm"}, floods, "#123456", LIGHT)
    assert len(fig.layout.shapes) >= 2
    titles = {axis.title.text for axis in fig.select_yaxes()}
    assert {"flow (mm/day)", "rain, snow (mm/day)", "exponent (–)", "limit (mm)"} <= titles


def test_a_method_that_fails_is_hollow_and_grey() -> None:
    shares = pd.DataFrame({"good": [0.7, 0.3], "bad": [0.6, 0.4], "free": [0.5, 0.5]}, index=["a", "b + c"])
    fig = importance(shares, {"good": [], "bad": ["completeness"], "free": None}, LIGHT, 300, "what")
    good, bad, free = fig.data
    assert (good.name, bad.name, free.name) == (
        "good: passes", "bad: fails completeness", "free: no check of its own",
    )  # fmt: skip
    assert bad.marker.color == LIGHT.floor
    assert "open" in bad.marker.symbol
    assert "open" in free.marker.symbol
    assert "open" not in good.marker.symbol
    assert list(fig.layout.yaxis.ticktext) == ["b + c", "a"]


def test_reaches_that_fail_are_broken_lines() -> None:
    lags = pd.DataFrame({"variable": "precipitation", "lag": [0, 1, 2], "reach": [0.2, 0.6, 1.0]})
    fine, doubtful = (reaches(lags, failed, LIGHT, 300, "") for failed in ([], ["completeness"]))
    assert list(fine.data[0].x) == [1, 2, 3]
    assert fine.data[0].line.dash == "solid"
    assert doubtful.data[0].line.dash != "solid"
    assert doubtful.data[0].line.color == LIGHT.floor


def test_fluxes_are_read_at_one_site_alone(evaluated_runs: Path) -> None:
    card = next(card for card in cards.read() if card.model == "hybrid")
    whole = Run(Path(card.path)).fluxes()
    assert isinstance(whole, xr.Dataset)
    site = str(whole["site"].values[2])
    found = inside.fluxes_at(card, site)
    np.testing.assert_allclose(found.table["discharge"], whole["discharge"].sel(site=site))
    assert found.units["soil_moisture"] == "mm"
    means = inside.yearly_means(card.path, card.stamp, ("discharge", "not_there"))
    expected = 365.25 * float(whole["discharge"].sel(site=site)[1:].mean())
    assert means.loc[site, "discharge"] == pytest.approx(expected, rel=1e-5)
    assert list(means) == ["discharge"]
