"""How good each model is: table with intervals, distribution over sites, and a map that leads to a site."""

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, data, parts, tables
from thalweg.dashboard.figures.cdf import distribution
from thalweg.dashboard.figures.sitemap import clicked, skill_map
from thalweg.dashboard.look import Look, count, strokes
from thalweg.dashboard.measures import Measure
from thalweg.dashboard.scope import Scope, choose_scope

_HEIGHT = 440


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    runs = data.cards()
    first, second, third = st.columns([3, 6, 2], gap="medium")
    scope = choose_scope(runs, first, second)
    if scope is None:
        return
    names = list(scope.measures)
    with third:
        name = choices.select("metric", "Metric", names, show=lambda n: scope.measures[n].short)
    measure = scope.measures[name]
    lines = strokes(*data.model_names(runs), look)
    intervals = scope.intervals(name)
    st.html(
        tables.skill_table(scope.medians(), intervals, measure, scope.measures, lines, scope.floors, look)
    )
    parts.note(_footnote(scope, intervals))
    left, right = st.columns([4, 5], gap="medium")
    by_model = {model: scope.by_site(model)[name] for model in scope.models}
    with left:
        parts.plot(distribution(by_model, measure, lines, look, _HEIGHT), "cdf")
    with right:
        chart(scope, by_model, measure, intervals, look)
    parts.notices(scope.problems)


def chart(
    scope: Scope,
    by_model: dict[str, pd.Series],
    measure: Measure,
    intervals: pd.DataFrame,
    look: Look,
) -> None:
    """The map of one model's skill; a click on a site opens its hydrograph."""
    ranked = list(measure.rank(intervals["median"]).sort_values().index)
    best = next((model for model in ranked if model not in scope.floors), scope.models[0])
    model = choices.segments("map", "Model on the map", scope.models, default=best)
    fig = skill_map(scope.places, by_model[model], measure, look, _HEIGHT - 62)
    event = parts.plot(fig, f"map-{scope.key}", on_select="rerun", selection_mode="points")
    site = clicked(event)
    if site is not None:
        st.switch_page(
            "views/site.py",
            query_params={"experiment": scope.experiment, "split": scope.split, "site": site},
        )
    if scope.places[["latitude", "longitude"]].isna().any(axis=None):
        parts.note("Sites without coordinates are not on the map; the page Site lists them.")


def _footnote(scope: Scope, intervals: pd.DataFrame) -> str:
    """How the numbers were made, and what is missing from them."""
    facts = [f"Medians over {count(len(scope.places), 'test site')} with a 90 % bootstrap interval"]
    if len(scope.seeds) > 1:
        facts.append(f"a site's value is its mean over seeds {', '.join(map(str, scope.seeds))}")
    facts.append("bold: best trained model")
    if scope.floors:
        facts.append("grey: floors, of which persistence is told the flow of the day before")
    facts.append(f"test part: {data.test_looks(scope.runs)}")
    facts += [f"{model}: {note}" for model, note in intervals["note"].dropna().items() if note]
    return " · ".join(facts)


if __name__ == "__main__":
    page()
