"""Any runs side by side: what tells them apart, and how they do on the sites that all were tested at."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st
import xarray as xr

from thalweg.dashboard import choices, parts, tables
from thalweg.dashboard.figures.cdf import distribution
from thalweg.dashboard.figures.hydrograph import hydrograph
from thalweg.dashboard.figures.sitemap import skill_map
from thalweg.dashboard.look import Look, Stroke, count, strokes, text
from thalweg.dashboard.measures import Measure, measures
from thalweg.dashboard.reading import cards, comparing, predictions, skill
from thalweg.dashboard.reading.cards import Card
from thalweg.dashboard.sections.periods import chosen_period
from thalweg.dashboard.sharing.share import share

_HEIGHT = 380
_COLUMNS = 9  # metrics in the table
_MOST = 8  # runs that can still be told apart in one figure


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    runs = cards.read()
    if not runs:
        parts.empty(
            "Nothing to compare yet",
            f"No runs were found in {cards.root().resolve()}. Start an experiment, then come back.",
            "thalweg run examples/sample.yaml",
        )
        return
    wide, narrow, button = st.columns([8, 2, 1], gap="medium", vertical_alignment="bottom")
    by_id = {run.id: run for run in runs}
    with wide:
        several = len({run.experiment for run in runs}) > 1
        names = {run.id: f"{run.experiment} · {run.label}" if several else run.label for run in runs}
        ids = choices.among(
            "runs", f"Runs, at most {_MOST}", list(by_id), suggested(runs), names.__getitem__, _MOST
        )
    picked = [by_id[id] for id in ids]  # noqa: A001 - the word used everywhere for it
    if len(picked) < 2:
        parts.empty(
            "Pick two runs", "Two or more runs are put side by side: their settings, scores and flow."
        )
        return
    table, problems = skill.metrics(picked)
    found = measures(table.columns)
    with_scores = [run for run in picked if len(table) and run.id in set(table["run"])]
    lines = comparing.strokes_of(picked, strokes(*cards.model_names(runs), look))
    scores = comparing.shared(table, with_scores, found) if len(with_scores) > 1 else pd.DataFrame()
    with narrow:
        metric = choices.select(
            "metric", "Metric", list(found) or ["nse"], show=lambda name: found[name].short if found else name
        )
    numbers: dict[str, Callable[[], xr.Dataset]] = {}
    with button:
        place = st.empty()
    parts.title("Compare", _note(picked, with_scores, scores))
    parts.html(_warnings(picked, with_scores))
    if len(scores):
        numbers["Scores by site"] = lambda: comparing.scores_dataset(scores, found)
        measure, key = found[metric], hash(tuple(run.source for run in with_scores))
        st.html(_skill(key, scores, found, measure, lines, with_scores, look))
        parts.html(_words(key, scores, metric))
        left, right = st.columns([4, 5], gap="medium")
        by_run = {name: scores[name, metric] for name in scores.columns.get_level_values(0).unique()}
        with left:
            parts.plot(distribution(by_run, measure, lines, look, _HEIGHT), "compare-cdf")
        with right:
            _map(scores, table, measure, look)
        numbers |= _flow(scores, with_scores, lines, look)
    _apart(picked)
    parts.notices(problems)
    with place.container():
        share(lambda: numbers)


def suggested(runs: Sequence[Card]) -> list[str]:
    """One finished run of each trained model of the newest experiment, all of its first split and fold."""
    done = [run for run in runs if run.state == "done" and not run.floor]
    if not done:
        return [run.id for run in runs[:2]]
    newest = max(done, key=lambda run: run.updated.timestamp() if run.updated is not None else 0.0)
    own = sorted((run for run in done if run.experiment == newest.experiment), key=lambda run: run.split)
    alike = [run for run in own if (run.split, run.fold) == (own[0].split, own[0].fold)]
    first: dict[str, str] = {}
    for run in alike:
        first.setdefault(run.model, run.id)
    several = list(first.values()) if len(first) > 1 else [run.id for run in alike]
    return several[:4]


def _note(picked: Sequence[Card], with_scores: Sequence[Card], scores: pd.DataFrame) -> str:
    if len(with_scores) < 2:
        return f"{count(len(picked), 'run')}, of which {len(with_scores)} scored"
    if scores.empty:
        return "no site was tested by all of these runs"
    return f"{count(len(scores), 'site')} that all {len(with_scores)} runs were tested at"


def _warnings(picked: Sequence[Card], with_scores: Sequence[Card]) -> str:
    lines = [
        f"{run.id} has no scores: {run.state}" + (f", {run.message}" if run.message else "")
        for run in picked
        if run not in with_scores
    ]
    differ = comparing.untold(with_scores)
    if differ:
        lines.append(
            f"Not one test: {', '.join(differ)}. A difference may come from the test, not the model."
        )
    return "".join(f'<div class="t-fail warn">{text(line)}</div>' for line in lines)


def _skill(
    key: int,
    scores: pd.DataFrame,
    found: dict[str, Measure],
    measure: Measure,
    lines: dict[str, Stroke],
    runs: Sequence[Card],
    look: Look,
) -> str:
    """Medians over the shared sites, one row a run."""
    named = comparing.labels(runs)
    floors = [named[run.id] for run in runs if run.floor and named[run.id] in lines]
    names = list(scores.columns.get_level_values(0).unique())
    there = {name: own for name, own in found.items() if all((run, name) in scores for run in names)}
    shown = {name: there[name] for name in dict.fromkeys([measure.name, *list(there)[:_COLUMNS]])}
    medians = pd.DataFrame({name: {run: scores[run, name].median() for run in names} for name in shown})
    intervals = comparing.intervals(key, scores, measure.name)
    return tables.skill_table(medians, intervals, measure, shown, lines, floors, look)


def _words(key: int, scores: pd.DataFrame, metric: str) -> str:
    """The first run against each other one, in words."""
    said = comparing.sentences(key, scores, metric)
    return "".join(f'<div class="t-note">{text(sentence)}</div>' for sentence in said)


def _map(scores: pd.DataFrame, table: pd.DataFrame, measure: Measure, look: Look) -> None:
    """Where a run is better than another; a click on a site shows its flow below."""
    names = list(scores.columns.get_level_values(0).unique())
    left, right = st.columns(2)
    with left:
        a = choices.select("a", "Map of", names, names[0])
    with right:
        b = choices.select("b", "less", names, names[1])
    places = table.groupby("site")[["latitude", "longitude", "region"]].first().loc[scores.index]
    long = f"{measure.long}: {a} less {b}"
    change = Measure("change", f"{measure.short} difference", long, measure.units, "zero", 0.0)
    difference = scores[a, measure.name] - scores[b, measure.name]
    fig = skill_map(places, difference.rename("change"), change, look, _HEIGHT - 70)
    site = parts.click(fig, "compare-map")
    if site is not None:
        choices.tell("site", site)


def _flow(
    scores: pd.DataFrame, runs: Sequence[Card], lines: dict[str, Stroke], look: Look
) -> dict[str, Callable[[], xr.Dataset]]:
    """The flow of all runs at one site; gives what can be had of it as a file."""
    named = comparing.labels(runs)
    first, second, third = st.columns([3, 9, 2], gap="medium", vertical_alignment="bottom")
    with first:
        site = choices.select(
            "site", "Site", list(scores.index), help="Type to search, or click it on the map."
        )
    flow, problems = predictions.flows({named[run.id]: run for run in runs}, site)
    if flow.empty:
        parts.notices(problems)
        return {}
    with second:
        drawn = chosen_period(flow)
    with third:
        log = choices.switch("log", "Log flow", help="Logarithmic flow axis: shows low flows.")
    parts.plot(hydrograph(drawn, list(flow.columns[1:]), lines, look, 380, log), "compare-hydrograph")
    parts.notices(problems)

    def taken() -> xr.Dataset:
        return comparing.series_dataset(flow, site)

    return {f"Flow at {site}": taken}


def _apart(picked: Sequence[Card]) -> None:
    """What tells the runs apart: their circumstances and the settings that differ."""
    parts.section("What tells them apart")
    facts = comparing.facts(picked)
    alike = facts.nunique(axis=1) == 1
    rows = pd.concat([facts[~alike], comparing.settings(picked)])
    head = ['<td class="l"></td>', *(f'<th class="l">{text(run)}</th>' for run in facts.columns)]
    body = [
        tables.row_of([f'<td class="l">{text(value)}</td>' for value in (name, *row)])
        for name, row in zip(rows.index, rows.to_numpy(), strict=True)
    ]
    st.html(tables.table(head, body, "t t-matrix"))
    parts.note(
        " · ".join(
            ["the same for all", *(f"{name} {facts.loc[name].iloc[0]}" for name in facts[alike].index)]
        )
    )


if __name__ == "__main__":
    page()
