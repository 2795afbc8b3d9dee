"""Whether skill holds where models were not trained: gaps, distance, shares of the data, and floods."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts, tables
from thalweg.dashboard.figures.extrapolation import by_distance, data_efficiency, inside_outside
from thalweg.dashboard.figures.lines import on_the_line
from thalweg.dashboard.figures.pairs import outside, pair_scatter
from thalweg.dashboard.figures.sitemap import skill_map
from thalweg.dashboard.look import Look, Stroke, count, strokes
from thalweg.dashboard.measures import Measure, measures
from thalweg.dashboard.reading import cards, evaluated, skill
from thalweg.dashboard.reading.cards import Card
from thalweg.dashboard.scope import choose_experiment
from thalweg.dashboard.sections.changes import follow, trends_of, trends_view
from thalweg.dashboard.sections.extremes import NOTE, flood_table, floods
from thalweg.dashboard.sharing import taken
from thalweg.dashboard.sharing.share import Numbers, share
from thalweg.evaluation.extrapolation.gaps import extrapolation_gaps, lines_outside
from thalweg.evaluation.extrapolation.shares import share_curves
from thalweg.evaluation.extrapolation.support import skill_by_distance
from thalweg.evaluation.tables import site_values
from thalweg.flows.split_kinds import split_kinds
from thalweg.storage.results import Run

_HEIGHT = 400


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    runs = cards.read()
    first, second, third = st.columns([3, 3, 0.7], gap="medium", vertical_alignment="bottom")
    own = choose_experiment(runs, first)
    if own is None:
        return
    trained, problems = _trained(own)
    found = measures(trained.columns)
    if trained.empty or not found:
        parts.empty(
            "No results yet",
            "No trained model of this experiment is done: the page Overview says how far each is.",
        )
        parts.notices(problems)
        return
    with second:
        metric = choices.select("metric", "Metric", list(found), show=lambda name: found[name].short)
    key = hash(tuple(run.source for run in own))
    kinds = _kinds(tuple(run.source for run in own))
    lines = strokes(*cards.model_names(runs), look)
    validation = skill.validation(own)
    gaps = _gaps(key, metric, trained, validation, kinds)
    if gaps.empty:
        parts.empty(
            "Nothing here extrapolates",
            "Give the experiment a temporal split and one of ungauged sites or regions, extreme years or "
            "another climate: the gap between them is shown here.",
        )
    else:
        parts.html(tables.gap_table(gaps, found[metric], lines, look))
        parts.note(
            "Medians over sites. The gap is the median of what each site loses, with its 90 % interval over "
            "sites: it need not be the difference of the medians before it."
        )
    left, right = st.columns([4, 5], gap="medium")
    pair = None
    with left:
        if not gaps.empty:
            parts.plot(inside_outside(gaps, found[metric], lines, look), "gaps")
        _distances(key, own, trained, found[metric], lines, look)
    with right:
        if gaps["paired"].any():
            pair = _map(gaps[gaps["paired"]], trained, own[0].experiment, found[metric], look)
        for name, own_curves in share_curves(trained, kinds, metric).groupby("curve"):
            curves = {str(model): curve for model, curve in own_curves.groupby("model")}
            fig = data_efficiency(curves, found[metric], lines, look, _HEIGHT, str(name))
            parts.plot(fig, f"efficiency-{name}")
        scores = _floods(key, own, trained, lines)
    if pair is not None:
        _line(
            _lines(key, metric, trained, kinds), trained, pair, own[0].experiment, found[metric], lines, look
        )
    trends_view(own, lines, look)
    parts.notices(problems)

    def numbers() -> Numbers:
        # read again when it is asked for: a session that holds its page must not hold what was read for it
        table = _trained(own)[0]
        if table.empty:
            return {}
        others = {"Floods": ("events", scores.reset_index()), "Trends by site": ("trends", trends_of(own))}
        return taken.of_experiment(table, measures(table.columns), metric, gaps, others)

    with third:
        share(numbers)


def _trained(runs: Sequence[Card]) -> tuple[pd.DataFrame, list[str]]:
    """Metrics of all models but floors, and what could not be read."""
    table, problems = skill.metrics(runs)
    floors = {run.model for run in runs if run.floor}
    return (table[~table["model"].isin(floors)] if floors and len(table) else table), problems


def _map(
    gaps: pd.DataFrame, trained: pd.DataFrame, experiment: str, measure: Measure, look: Look
) -> tuple[str, pd.Series, pd.Series]:
    """Where one model loses skill outside; gives the model, and its skill inside and outside by site."""
    split = choices.segments("outside", "Change from inside to", list(dict.fromkeys(gaps["split"])))
    model = choices.segments("map", "Model on the map", list(gaps.loc[gaps["split"] == split, "model"]))
    own = trained[trained["model"] == model]
    inside = gaps["inside_split"].iloc[0]
    before, after = (site_values(own[own["split"] == name], measure.name) for name in (inside, split))
    places = own.groupby("site")[["latitude", "longitude", "region"]].first()
    long = f"{measure.long}: outside less inside"
    change = Measure("change", f"{measure.short} change", long, measure.units, "zero", 0.0)
    fig = skill_map(places, after - before, change, look, _HEIGHT)
    event = parts.plot(fig, f"change-{split}", on_select="rerun", selection_mode="points")
    follow(event, experiment, split)
    return model, before.rename(inside), after.rename(split)


def _line(
    points: tuple[str, dict[str, pd.DataFrame]],
    trained: pd.DataFrame,
    pair: tuple[str, pd.Series, pd.Series],
    experiment: str,
    measure: Measure,
    lines: Mapping[str, Stroke],
    look: Look,
) -> None:
    """Whether skill inside tells skill outside: over all models, and for the one on the map over sites."""
    parts.section("Does skill inside tell skill outside?")
    model, before, after = pair
    inside, found = points
    left, right = st.columns(2, gap="medium")
    with left:
        if found:
            parts.plot(on_the_line(found, measure, lines, look, _HEIGHT + 40, inside), "on-the-line")
            parts.note(
                "A point a model and seed. Grey: the line through them; what lies above it holds better "
                "outside than its skill inside lets expect (Miller et al. 2021). It takes three points."
            )
        else:
            parts.note(
                "No seed of a model was tested both inside and outside: a point needs its skill on both "
                "sides."
            )
    with right:
        places = trained.groupby("site")[["region"]].first()
        title = f"{measure.short} of {model} site by site"
        fig = pair_scatter(places, before, after, measure, look, _HEIGHT + 40, title)
        event = parts.plot(fig, f"line-{after.name}", on_select="rerun", selection_mode="points")
        follow(event, experiment, str(after.name))
        edge = outside(before, after, measure)
        if edge:
            parts.note(
                f"{count(edge, 'site')} beyond the axes {'stands' if edge == 1 else 'stand'} on the edge."
            )


def _floods(
    key: int, runs: Sequence[Card], trained: pd.DataFrame, lines: Mapping[str, Stroke]
) -> pd.DataFrame:
    """Whether floods are simulated outside as they are inside."""
    events = evaluated.tables([run for run in runs if not run.floor], "events")
    scores = _flood_scores(key, len(events), events, trained)
    if not scores.empty:
        parts.section("Floods, inside and outside")
        parts.html(flood_table(scores, lines, list(dict.fromkeys(run.split for run in runs))))
        parts.note(NOTE)
    return scores


def _distances(
    key: int,
    runs: Sequence[Card],
    trained: pd.DataFrame,
    measure: Measure,
    lines: Mapping[str, Stroke],
    look: Look,
) -> None:
    support = evaluated.tables(runs, "support")
    if support.empty:
        parts.empty(
            "How far from the training data?",
            "Distances and the applicability of each prediction are computed by",
            f"thalweg evaluate {runs[0].experiment}",
        )
    else:
        _by_distance(key, support, trained, measure, lines, look)


def _by_distance(
    key: int,
    support: pd.DataFrame,
    trained: pd.DataFrame,
    measure: Measure,
    lines: Mapping[str, Stroke],
    look: Look,
) -> None:
    splits = list(dict.fromkeys(trained.loc[trained["run"].isin(set(support["run"])), "split"]))
    split = choices.segments("far", "Distance, on", splits, splits[-1])
    classes, said = _classes(key, split, measure.name, len(support), support, trained)
    parts.plot(by_distance(classes, measure, lines, look, _HEIGHT), "distance")
    parts.note(said)


@st.cache_data(max_entries=50, show_spinner=False)
def _classes(
    key: int, split: str, metric: str, rows: int, _support: pd.DataFrame, _trained: pd.DataFrame
) -> tuple[dict[str, pd.DataFrame], str]:
    """Skill by distance of each model, and what it says."""
    joined = _trained[_trained["split"] == split].merge(
        _support[["run", "site", "nearest", "applicability", "days_outside"]], on=["run", "site"]
    )
    classes, said = {}, []
    for model, own in joined.groupby("model"):
        far = own.groupby("site")[["nearest", metric]].mean()
        classes[str(model)] = skill_by_distance(far[metric], far["nearest"], samples=200)
        said.append(f"{model}: {classes[str(model)].attrs['sentence']}")
    sites, days = (joined["applicability"] < 0.05).mean(), joined["days_outside"].mean()
    said.append(
        f"{sites:.0%} of sites and {days:.1%} of days lie outside of what was trained on "
        "(applicability below 0.05)"
    )
    return classes, " · ".join(said)


@st.cache_data(max_entries=50, show_spinner=False)
def _flood_scores(key: int, rows: int, _events: pd.DataFrame, _trained: pd.DataFrame) -> pd.DataFrame:
    return floods(_events, _trained)


@st.cache_data(max_entries=50, show_spinner=False)
def _lines(
    key: int, metric: str, _trained: pd.DataFrame, _kinds: dict[str, str]
) -> tuple[str, dict[str, pd.DataFrame]]:
    return lines_outside(_trained, _kinds, metric)


@st.cache_data(max_entries=50, show_spinner=False)
def _kinds(runs: tuple[tuple[str, cards.Stamp], ...]) -> dict[str, str]:
    return split_kinds([Run(Path(path)) for path, _ in runs])


@st.cache_data(max_entries=100, show_spinner="Comparing inside and outside …")
def _gaps(
    key: int, metric: str, _trained: pd.DataFrame, _validation: pd.DataFrame, _kinds: dict[str, str]
) -> pd.DataFrame:
    return extrapolation_gaps(_trained, _kinds, metric, _validation)


if __name__ == "__main__":
    page()
