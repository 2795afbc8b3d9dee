"""One site: weather, observed and modelled flow, where models are wrong, the signatures of the river."""

import numpy as np
import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts, tables
from thalweg.dashboard.figures.hydrograph import Band, hydrograph
from thalweg.dashboard.figures.regimes import flow_duration, regime
from thalweg.dashboard.figures.residuals import by_flow, by_month, memory
from thalweg.dashboard.figures.sitemap import locator
from thalweg.dashboard.look import Look, Stroke, count, strokes
from thalweg.dashboard.reading import cards, intervals, predictions
from thalweg.dashboard.reading.weather import Weather, weather
from thalweg.dashboard.scope import Scope, choose_scope
from thalweg.dashboard.sections.periods import chosen_period
from thalweg.dashboard.sections.signatures import signature_table, signatures_of
from thalweg.dashboard.sharing import taken
from thalweg.dashboard.sharing.share import share

_MANY = 5  # models that are drawn without being asked for
_LONG_NAME = 14  # letters
_IN_TABLE = ("nse", "kge_2009", "bias", "fhv")


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    runs = cards.read()
    row = st.columns([3, 4, 2.4, 1], gap="medium", vertical_alignment="bottom")
    scope = choose_scope(runs, row[0], row[1])
    if scope is None:
        return
    button = row[3].empty()
    with row[2]:
        site = choices.select(
            "site", "Site", list(scope.places.index), scope.typical_site, help="Type to search."
        )
    lines = strokes(*cards.model_names(runs), look)
    row = st.columns([7, 3], gap="medium")
    trained = [model for model in scope.models if model not in scope.floors]
    if len(trained) > _MANY:
        medians = scope.medians().loc[trained, next(iter(scope.measures))]
        best = next(iter(scope.measures.values())).rank(medians.dropna()).nsmallest(_MANY).index
        trained = [model for model in trained if model in best]
    with row[0]:
        models = choices.several("models", "Models", scope.models, trained or scope.models)
    seed = scope.seeds[0] if scope.seeds else 0
    with row[1]:
        if len(scope.seeds) > 1:
            seed = int(choices.segments("seed", "Seed", [str(number) for number in scope.seeds]))
    table, problems = flows(scope, site, models, seed)
    shown = [model for model in models if model in table]
    sky = _weather(scope, site, models, seed)
    left, right = st.columns([7, 3], gap="medium")
    band = None
    with left:
        if table.empty:
            parts.empty(
                "No hydrograph for this site",
                "The predictions of these runs are missing or cannot be read yet.",
            )
        else:
            band, missing = course(scope, site, seed, table, shown, sky, lines, look)
            problems += missing
    with right:
        beside(scope, site, seed, table, sky, lines, look)
    if not table.empty:
        below(table, shown, sky, lines, look)
    parts.notices([*scope.problems, *problems])

    def signatures() -> pd.DataFrame:
        return _signatures(table, shown, sky.table.get("precipitation"))

    with button.container():
        share(lambda: taken.of_site(scope, site, seed, table, sky, band, signatures))


def course(
    scope: Scope,
    site: str,
    seed: int,
    table: pd.DataFrame,
    shown: list[str],
    sky: Weather,
    lines: dict[str, Stroke],
    look: Look,
) -> tuple[Band | None, list[str]]:
    """The hydrograph with its controls; gives the interval on it, and what could not be read."""
    offered = _intervals(scope, site, shown, seed)
    period, around, log = st.columns(
        [6, 3, 2] if offered else [8, 0.01, 1.6], vertical_alignment="bottom", gap="small"
    )
    with period:
        drawn = chosen_period(table, 9 if offered else 14)
    with around:
        band, problems = _band(offered, site)
    with log:
        logarithmic = choices.switch("log", "Log flow", help="Logarithmic flow axis: shows low flows.")
    fig = hydrograph(drawn, shown, lines, look, 560, logarithmic, sky, band)
    parts.plot(fig, "hydrograph")
    told = "Drag over days to see them closer, double-click to see all. Errors are simulated less observed."
    parts.note(f"{told} No weather above: {sky.missing}." if sky.missing else told)
    return band, problems


Offered = dict[str, tuple[str, cards.Card, str]]


def _intervals(scope: Scope, site: str, shown: list[str], seed: int) -> Offered:
    """The intervals that can be drawn: model, run and kind of each, by its name in the address."""
    runs = {model: scope.run_at(model, site, seed) for model in shown}
    return {
        f"{model} {kind}": (model, run, kind)
        for model, run in runs.items()
        if run is not None
        for kind in intervals.kinds(run)
    }


def _band(offered: Offered, site: str) -> tuple[Band | None, list[str]]:
    """Lets a person choose the interval to draw, where a model has one; and what could not be read."""
    if not offered:
        return None, []
    picked = choices.select(
        "band",
        "Interval",
        ["none", *offered],
        next(iter(offered)),
        lambda name: _named(*offered[name]) if name in offered else "None",
        help="Conformal: calibrated on days the model was not trained on. Own: the distribution it gives.",
    )
    if picked == "none":
        return None, []
    model, run, kind = offered[picked]
    found = intervals.interval(run, kind, site)
    if found.missing:
        return None, [f"{model}: {found.missing}"]
    label = f"{model}, {found.level:.0%} {'conformal' if kind == intervals.CONFORMAL else 'own'} interval"
    return Band(model, label, found.table), []


def _named(model: str, run: cards.Card, kind: str) -> str:
    return f"{model}: conformal interval" if kind == intervals.CONFORMAL else f"{model}: its own interval"


def _weather(scope: Scope, site: str, models: list[str], seed: int) -> Weather:
    """The weather of the first run here that has some: all of a split are given the same."""
    found = Weather(pd.DataFrame(), {}, "no run was tested here")
    for model in models or scope.models[:1]:
        run = scope.run_at(model, site, seed)
        if run is not None:
            found = weather(run, site)
            break
    return found


def beside(
    scope: Scope,
    site: str,
    seed: int,
    table: pd.DataFrame,
    sky: Weather,
    lines: dict[str, Stroke],
    look: Look,
) -> None:
    """Where the site is and how good each model is there."""
    parts.title(site, where(scope.places.loc[[site]].iloc[0]))
    river = [sky.name, f"{sky.area:,.0f} km²" if np.isfinite(sky.area) else ""]
    if any(river):
        parts.note(" · ".join(fact for fact in river if fact))
    if not table.empty:
        days = int(table["observed"].notna().sum())
        parts.note(
            f"{table.index[0]:%-d %b %Y} to {table.index[-1]:%-d %b %Y}, {count(days, 'observed day')}"
        )
    some = {name: scope.measures[name] for name in _IN_TABLE if name in scope.measures} or scope.measures
    if max(len(model) for model in scope.models) > _LONG_NAME:
        some = dict(list(some.items())[:-1])
    values = scope.at_site(site, seed)
    if len(values) > 2 * _MANY:
        values = values[values.index.isin([*table.columns, *scope.floors])]
    st.html(tables.site_table(values, some, lines, scope.floors))
    fig = locator(scope.places, site, look, 300)
    other = parts.click(fig, f"locator-{scope.key}")
    if other is not None and other != site:
        choices.tell("site", other)


def below(table: pd.DataFrame, shown: list[str], sky: Weather, lines: dict[str, Stroke], look: Look) -> None:
    """The same flows without their order in time, where models are wrong, and the signatures."""
    left, right = st.columns(2, gap="medium")
    with left:
        parts.plot(flow_duration(table, shown, lines, look, 300), "duration")
    with right:
        parts.plot(regime(table, shown, lines, look, 300), "regime")
    if not shown:
        return
    for place, (key, draw) in zip(
        st.columns(3, gap="medium"),
        (("by-flow", by_flow), ("by-month", by_month), ("memory", memory)),
        strict=True,
    ):
        with place:
            parts.plot(draw(table, shown, lines, look, 290), key)
    rain = sky.table.get("precipitation")
    found = _signatures(table, shown, rain)
    if found.notna().any(axis=None):
        parts.section("Signatures of the river")
        st.html(signature_table(found, lines))
        less = "" if rain is not None else " Runoff ratio and elasticity need the precipitation of the store."
        parts.note(f"Over all observed days of the test; bold: closest to observed.{less}")


@st.cache_data(max_entries=200, show_spinner=False)
def _signatures(table: pd.DataFrame, shown: list[str], rain: pd.Series | None) -> pd.DataFrame:
    return signatures_of(table, shown, rain)


def flows(scope: Scope, site: str, models: list[str], seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Column `observed` and one a model (mm/day) by day at a site, and what could not be read."""
    runs = {model: scope.run_at(model, site, seed) for model in models or scope.models[:1]}
    table, problems = predictions.flows({model: run for model, run in runs.items() if run is not None}, site)
    return table, [
        *(f"{model}: was not tested at {site}" for model, run in runs.items() if run is None),
        *problems,
    ]


def where(place: pd.Series) -> str:
    """`region 01 · 44.61° N, 67.94° W`."""
    facts = [f"region {place['region']}"] if place["region"] else []
    if np.isfinite(place["latitude"]) and np.isfinite(place["longitude"]):
        north, east = float(place["latitude"]), float(place["longitude"])
        facts.append(
            f"{abs(north):.2f}° {'N' if north >= 0 else 'S'}, {abs(east):.2f}° {'E' if east >= 0 else 'W'}"
        )
    return " · ".join(facts)


if __name__ == "__main__":
    page()
