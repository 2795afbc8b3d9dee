"""How good each model is, where and when, and which differences are clear; a click leads to a site."""

from concurrent.futures import Future

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts, tables
from thalweg.dashboard.figures.cdf import distribution
from thalweg.dashboard.figures.pairs import outside, pair_scatter
from thalweg.dashboard.figures.sitemap import clicked, skill_map
from thalweg.dashboard.figures.strata import strata_dots
from thalweg.dashboard.look import Look, Stroke, count, strokes
from thalweg.dashboard.measures import Measure
from thalweg.dashboard.reading import cards, evaluated, skill
from thalweg.dashboard.reading.attributes import Names, attribute_names
from thalweg.dashboard.scope import Scope, choose_scope
from thalweg.dashboard.sections.differences import MOST_VALUES, compared, difference_table, size, words
from thalweg.dashboard.sharing import taken
from thalweg.dashboard.sharing.share import share
from thalweg.flows.reporting.differences import Pair
from thalweg.flows.reporting.strata import OF_DAYS, attribute_spread, strata_means

_HEIGHT = 440
_COLUMNS = 10  # as many metrics as fit beside each other
_OF_FLOW = "bias"  # what is shown of classes of flow instead of an efficiency
_DOTS = 8  # models whose dots can be told apart
_CLASSES = {"season": "season", "flow": "class of observed flow", "region": "region"}
_KINDS = {"season": "Season", "flow": "Observed flow", "region": "Region", "attribute": "Attribute"}


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    runs = cards.read()
    first, second, third, fourth, fifth = st.columns(
        [3, 4.8, 1.9, 1.3, 1.1], gap="medium", vertical_alignment="bottom"
    )
    scope = choose_scope(runs, first, second)
    if scope is None:
        return
    names = list(scope.measures)
    with third:
        name = choices.select("metric", "Metric", names, show=lambda n: scope.measures[n].short)
    with fourth:
        every = choices.switch("all", "All metrics")
    with fifth:
        share(lambda: taken.of_scope(scope, name))
    measure = scope.measures[name]
    lines = strokes(*cards.model_names(runs), look)
    intervals = scope.intervals(name)
    some = scope.measures if every else dict(list(scope.measures.items())[:_COLUMNS])
    columns = {**some, name: measure}
    st.html(tables.skill_table(scope.medians(), intervals, measure, columns, lines, scope.floors, look))
    parts.note(_footnote(scope, intervals))
    left, right = st.columns([4, 5], gap="medium")
    by_model = {model: scope.by_site(model)[name] for model in scope.models}
    with left:
        parts.plot(distribution(by_model, measure, lines, look, _HEIGHT), "cdf")
    ranked = list(measure.rank(intervals["median"].dropna()).sort_values().index)
    trained = [model for model in ranked if model not in scope.floors]
    with right:
        chart(scope, by_model, measure, trained, look)
    if len(trained) > 1:
        significance(scope, trained, measure, lines, look)
    left, right = st.columns(2, gap="medium")
    with left:
        beside(scope, by_model, ranked, measure, look)
    with right:
        in_parts(scope, trained, measure, lines, look)
    parts.notices(scope.problems)


def chart(
    scope: Scope,
    by_model: dict[str, pd.Series],
    measure: Measure,
    trained: list[str],
    look: Look,
) -> None:
    """The map of one model's skill; a click on a site opens its hydrograph."""
    best = next(iter(trained), scope.models[0])
    model = choices.segments("map", "Model on the map", scope.models, default=best)
    fig = skill_map(scope.places, by_model[model], measure, look, _HEIGHT - 62)
    _follow(parts.plot(fig, f"map-{scope.key}", on_select="rerun", selection_mode="points"), scope)
    if scope.places[["latitude", "longitude"]].isna().any(axis=None):
        parts.note("Sites without coordinates are not on the map; the page Site lists them.")


def significance(
    scope: Scope, models: list[str], measure: Measure, lines: dict[str, Stroke], look: Look
) -> None:
    """Which differences between models are clear, in words, as the report tells them."""
    parts.section("Which differences are clear")
    reads = size(scope, models)
    asked = f"differences:{scope.key}:{measure.name}"
    if reads > MOST_VALUES and not st.session_state.get(asked):
        parts.note(
            f"Drawing years and sites anew reads {reads / 1e6:,.0f} million predicted days of this split."
        )
        if st.button("Compare the models", key=f"ask-{asked}"):
            st.session_state[asked] = True
            st.rerun()
        return
    future = compared(scope, measure.name, models)
    if not future.done():
        st.fragment(_await, run_every="0.4s")(future)
    elif future.cancelled() or future.exception() is not None:
        parts.note(f"The differences could not be computed ({future.cancelled() or future.exception()}).")
    else:
        parts.html(difference_table(future.result(), measure, lines, look))
        parts.note(words(future.result(), measure))


def _await(future: Future[list[Pair]]) -> None:
    """Draws the page again when a comparison is done."""
    if future.done():
        st.rerun()
    parts.note("Drawing years and sites anew …")


def beside(
    scope: Scope, by_model: dict[str, pd.Series], ranked: list[str], measure: Measure, look: Look
) -> None:
    """Two models site by site; a click on one opens its hydrograph."""
    known = ranked or scope.models
    first, second = st.columns(2)
    with first:
        across = choices.select("across", "Across", scope.models, known[min(1, len(known) - 1)])
    with second:
        up = choices.select("up", "Upwards", scope.models, known[0])
    pair = by_model[across].rename(across), by_model[up].rename(up)
    fig = pair_scatter(scope.places, *pair, measure, look, _HEIGHT)
    _follow(parts.plot(fig, f"pair-{scope.key}", on_select="rerun", selection_mode="points"), scope)
    edge = outside(*pair, measure)
    if edge:
        parts.note(f"{count(edge, 'site')} beyond the axes {'stands' if edge == 1 else 'stand'} on the edge.")


def in_parts(
    scope: Scope, trained: list[str], measure: Measure, lines: dict[str, Stroke], look: Look
) -> None:
    """Skill by season, class of flow, region or class of an attribute."""
    strata = evaluated.tables(scope.runs, "strata")
    if strata.empty:
        parts.empty(
            "When and where is a model good?",
            "Skill by season, class of flow, region and attribute is computed by",
            f"thalweg evaluate {scope.experiment}",
        )
        return
    metric = measure.name if measure.name in set(strata["metric"]) else "nse"
    means = _strata(strata, metric)
    trained = trained[:_DOTS]
    means = means[means["model"].isin(trained)]
    there = [kind for kind in _KINDS if kind == "attribute" or kind in set(means["by"])]
    attributes = [name for name in dict.fromkeys(means["by"]) if name not in (*OF_DAYS, "region")]
    known = attribute_names(scope.runs) if attributes else Names()
    kinds, which = st.columns(2) if attributes else (st.container(), None)
    with kinds:
        offered = there if attributes else [kind for kind in there if kind != "attribute"]
        kind = choices.select("by", "By", offered, show=lambda each: _KINDS[each])
    if kind == "attribute" and which is not None:
        spread = attribute_spread(means)["by"]
        with which:
            kind = choices.select(
                "attribute",
                "Attribute",
                list(dict.fromkeys([*spread, *attributes])),
                show=lambda name: known[name].title,
                help="First those along which skill changes most.",
            )
    told = []
    shown = scope.measures.get(metric, measure)
    if shown is not measure:
        told.append(f"{measure.short} was not computed in parts: this is {shown.short}")
    if kind == "flow" and shown.better == "high" and _OF_FLOW in scope.measures:
        told.append(
            f"{shown.short} compares with the mean of the days of a class, and says little within one: "
            f"this is {scope.measures[_OF_FLOW].short}"
        )
        shown = scope.measures[_OF_FLOW]
        means = _strata(strata, _OF_FLOW)
        means = means[means["model"].isin(trained)]
    if kind in _CLASSES:
        title, axis = f"{shown.short} by {_CLASSES[kind]}", _CLASSES[kind]
    else:
        title, axis = f"{shown.short} by {known[kind].long}", known[kind].axis
    own = means[means["by"] == kind]
    parts.plot(strata_dots(own, trained, shown, lines, look, _HEIGHT, title, axis), f"strata-{scope.key}")
    if kind == "season" and shown.better == "high":
        told.append(
            "an efficiency compares with the mean of these days alone, and is lower where flow varies little"
        )
    if own["low"].notna().any():
        told.append("lines: 90 % intervals over sites")
    if told:
        line = " · ".join(told)
        parts.note(line[:1].upper() + line[1:])


@st.cache_data(max_entries=100, show_spinner=False)
def _strata(strata: pd.DataFrame, metric: str) -> pd.DataFrame:
    return strata_means(strata[strata["metric"] == metric])


def _follow(event: object, scope: Scope) -> None:
    """Opens the site that was clicked."""
    site = clicked(event)
    if site is not None:
        told = {"experiment": scope.experiment, "split": scope.split, "site": site}
        st.switch_page("views/site.py", query_params=told)


def _footnote(scope: Scope, intervals: pd.DataFrame) -> str:
    """How the numbers were made, and what is missing from them."""
    facts = [f"Medians over {count(len(scope.places), 'test site')} with a 90 % bootstrap interval"]
    if len(scope.seeds) > 1:
        facts.append(f"a site's value is its mean over seeds {', '.join(map(str, scope.seeds))}")
    facts.append("bold: best trained model")
    if scope.floors:
        facts.append("grey: floors, of which persistence is told the flow of the day before")
    facts.append(f"looks at this test: {skill.test_looks(scope.runs)}")
    facts += [f"{model}: {note}" for model, note in intervals["note"].dropna().items() if note]
    return " · ".join(facts)


if __name__ == "__main__":
    page()
