"""One site: observed and modelled flow, its metrics, where it is, and summaries of its flow."""

import numpy as np
import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, data, parts, tables
from thalweg.dashboard.figures.hydrograph import flow_duration, hydrograph, regime
from thalweg.dashboard.figures.sitemap import clicked, locator
from thalweg.dashboard.look import Look, Stroke, count, strokes
from thalweg.dashboard.scope import Scope, choose_scope

WHOLE = "all"
# A year with fewer observed days is not offered first.
_LEAST_DAYS = 180
_IN_TABLE = ("nse", "kge_2009", "bias", "fhv", "flv")


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    runs = data.cards()
    row = st.columns([3, 4, 3], gap="medium")
    scope = choose_scope(runs, row[0], row[1])
    if scope is None:
        return
    with row[2]:
        site = choices.select(
            "site", "Site", list(scope.places.index), typical_site(scope), help="Type to search."
        )
    lines = strokes(*data.model_names(runs), look)
    row = st.columns([7, 3], gap="medium")
    trained = [model for model in scope.models if model not in scope.floors]
    with row[0]:
        models = choices.several("models", "Models", scope.models, trained or scope.models)
    seed = scope.seeds[0] if scope.seeds else 0
    with row[1]:
        if len(scope.seeds) > 1:
            seed = int(choices.segments("seed", "Seed", [str(number) for number in scope.seeds]))
    table, problems = flows(scope, site, models, seed)
    shown = [model for model in models if model in table]
    left, right = st.columns([7, 3], gap="medium")
    with left:
        if table.empty:
            parts.empty(
                "No hydrograph for this site",
                "The predictions of these runs are missing or cannot be read yet.",
            )
        else:
            period, scale = st.columns([5, 1], vertical_alignment="bottom")
            with period:
                drawn = chosen_period(table)
            with scale:
                log = choices.switch("log", "Log flow", help="Logarithmic flow axis: shows low flows.")
            parts.plot(hydrograph(drawn, shown, lines, look, 440, log), "hydrograph")
    with right:
        beside(scope, site, seed, table, lines, look)
    if not table.empty:
        below(table, shown, lines, look)
    parts.notices([*scope.problems, *problems])


def beside(
    scope: Scope, site: str, seed: int, table: pd.DataFrame, lines: dict[str, Stroke], look: Look
) -> None:
    """Where the site is and how good each model is there."""
    parts.title(site, where(scope.places.loc[[site]].iloc[0]))
    if not table.empty:
        days = int(table["observed"].notna().sum())
        parts.note(
            f"{table.index[0]:%-d %b %Y} to {table.index[-1]:%-d %b %Y}, {count(days, 'observed day')}"
        )
    some = {name: scope.measures[name] for name in _IN_TABLE if name in scope.measures} or scope.measures
    st.html(tables.site_table(scope.at_site(site, seed), some, lines, scope.floors))
    fig = locator(scope.places, site, look, 210)
    event = parts.plot(fig, f"locator-{scope.key}", on_select="rerun", selection_mode="points")
    other = clicked(event)
    if other is not None and other != site and st.session_state.get("locator-last") != (scope.key, other):
        st.session_state["locator-last"] = (scope.key, other)
        choices.tell("site", other)


def below(table: pd.DataFrame, shown: list[str], lines: dict[str, Stroke], look: Look) -> None:
    """The same flows without their order in time, and by month."""
    left, right = st.columns(2, gap="medium")
    with left:
        parts.plot(flow_duration(table, shown, lines, look, 300), "duration")
    with right:
        parts.plot(regime(table, shown, lines, look, 300), "regime")


def flows(scope: Scope, site: str, models: list[str], seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Column `observed` and one a model (mm/day) by day at a site, and what could not be read."""
    columns: dict[str, pd.Series] = {}
    observed, problems = pd.Series(dtype=float), []
    for model in models or scope.models[:1]:
        run = scope.run_at(model, site, seed)
        if run is None:
            problems.append(f"{model}: was not tested at {site}")
            continue
        found, trouble = data.series(run.path, run.stamp, site)
        problems += trouble
        if found is not None:
            columns[model] = found["simulated"]
            observed = observed.combine_first(found["observed"]) if len(observed) else found["observed"]
    if not columns:
        return pd.DataFrame(), problems
    return pd.DataFrame({"observed": observed, **columns}).rename_axis("time"), problems


def typical_site(scope: Scope) -> str:
    """The site at the median of the first metric, for the first model: neither the best nor the worst."""
    values = scope.by_site(scope.models[0])[next(iter(scope.measures))].dropna().sort_values()
    return str(values.index[len(values) // 2]) if len(values) else str(scope.places.index[0])


def chosen_period(table: pd.DataFrame) -> pd.DataFrame:
    """Lets a person choose a year from October to September or the whole period; first the flood year."""
    index = pd.DatetimeIndex(table.index)
    year = pd.Series(np.where(index.month >= 10, index.year + 1, index.year), index=table.index)
    options = [WHOLE, *map(str, sorted(year.unique()))]
    known = table["observed"].groupby(year.to_numpy())
    peaks = known.max()[known.count() >= _LEAST_DAYS].dropna()
    default = str(peaks.idxmax()) if len(peaks) else WHOLE
    picked = choices.segments(
        "period",
        "Year from October to September",
        options,
        default,
        lambda p: "Whole period" if p == WHOLE else p,
        14,
    )
    return table if picked == WHOLE else table[(year == int(picked)).to_numpy()]


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
