"""Overview: what was run, how far it is, how good it is, and what failed."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, data, parts, tables
from thalweg.dashboard.data import Card
from thalweg.dashboard.figures.training import training_curve
from thalweg.dashboard.look import Look, Stroke, count, duration, strokes, text
from thalweg.dashboard.measures import Measure, measures

STATES = ("done", "running", "waiting", "failed", "stopped", "unknown")
_SHOWN = ("nse", "kge_2009")
_CARDS = 8


@parts.page
def page(look: Look) -> None:
    """Draws the page, again every few seconds while something runs."""
    busy = any(run.state in ("running", "waiting") for run in data.cards())
    st.fragment(overview, run_every="5s" if busy else None)(look)


@parts.guarded
def overview(look: Look) -> None:
    """One card an experiment, then the list of all runs."""
    runs = data.cards()
    if not runs:
        parts.title("Runs", data.shown_root())
        parts.empty(
            "No runs yet",
            f"Nothing was found in {data.root().resolve()}. Start an experiment: it shows up here at once.",
            "thalweg run examples/sample.yaml",
        )
        return
    lines = strokes(*data.model_names(runs), look)
    shown = {name: m for name, m in measures(_SHOWN).items() if name in _SHOWN}
    medians = {run.id: data.medians(run.path, run.stamp, tuple(shown)) for run in runs}
    by_experiment: dict[str, list[Card]] = {}
    in_order = sorted(runs, key=lambda run: run.floor)
    for experiment in dict.fromkeys(run.experiment for run in sorted(runs, key=_age)):
        by_experiment[experiment] = [run for run in in_order if run.experiment == experiment]
    parts.title(
        "Runs", f"{count(len(by_experiment), 'experiment')}, {count(len(runs), 'run')} in {data.shown_root()}"
    )
    st.html(_legend(runs, look))
    first = next(iter(shown.values()))
    columns = st.columns(2, gap="medium") if len(by_experiment) > 1 else [st.container()]
    for number, (experiment, own) in enumerate(by_experiment.items()):
        if number == _CARDS:
            parts.note(f"{count(len(by_experiment) - number, 'older experiment')} in the list below.")
            break
        with columns[number % len(columns)]:
            experiment_card(experiment, own, first, lines, look)
    run_list([run for own in by_experiment.values() for run in own], medians, shown, lines, look)


def experiment_card(
    experiment: str, runs: Sequence[Card], measure: Measure, lines: dict[str, Stroke], look: Look
) -> None:
    """An experiment's matrix of models and splits, its failures and a way to its skill."""
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.html(
                f'<div class="t-title"><b style="font-size:1.12rem">{text(experiment)}</b>'
                f"<span>{text(_facts(runs))}</span></div>",
                width="content",
            )
            st.page_link(
                "views/skill.py", label="Skill →", query_params={"experiment": experiment}, width="content"
            )
        table = data.model_medians(tuple(run.source for run in runs))
        values = table[measure.name] if measure.name in table else pd.Series(dtype=float)
        medians = dict(zip(zip(table["model"], table["split"], strict=True), values, strict=False))
        st.html(tables.run_matrix(runs, medians, measure, lines, look))
        parts.html("".join(_trouble(run) for run in runs))


def run_list(
    runs: Sequence[Card],
    medians: dict[str, dict[str, float]],
    shown: dict[str, Measure],
    lines: dict[str, Stroke],
    look: Look,
) -> None:
    """All runs in one table that sorts and scrolls; the one that is picked is told in detail."""
    st.subheader("All runs", anchor=False)
    table = pd.DataFrame(
        {
            "state": [run.state for run in runs],
            "experiment": [run.experiment for run in runs],
            "model": [run.model for run in runs],
            "split": [run.split for run in runs],
            "fold": [run.fold for run in runs],
            "seed": [run.seed for run in runs],
            "progress": [None if run.progress is None else 100.0 * run.progress for run in runs],
            **{name: [medians[run.id].get(name) for run in runs] for name in shown},
            "time": [duration(run.seconds) for run in runs],
            "updated": pd.Series([run.updated for run in runs], dtype="datetime64[s, UTC]"),
            "note": [run.message or "; ".join(run.problems) for run in runs],
        }
    )
    styled = table.style.map(
        lambda state: f"color: {look.states.get(state, look.muted)}", subset=["state"]
    ).map(lambda model: f"color: {lines[model].color}", subset=["model"])
    column = st.column_config
    wide, narrow = st.columns([3, 1], gap="medium")
    with wide:
        picked = st.dataframe(
            styled,
            hide_index=True,
            key="all-runs",
            on_select="rerun",
            selection_mode="single-row",
            height=min(36 * len(runs) + 38, 430),
            row_height=34,
            placeholder="",
            column_config={
                "progress": column.ProgressColumn(
                    "progress", min_value=0, max_value=100, format="%.0f %%", width=125
                ),
                **{
                    name: column.NumberColumn(m.short, format="%.2f", help=m.long, width=78)
                    for name, m in shown.items()
                },
                "updated": column.DatetimeColumn("updated", format="distance", width=122),
                "seed": column.NumberColumn("seed", format="%d", width=52),
                "fold": column.TextColumn("fold", width=52),
                "time": column.TextColumn("time", width=88),
                "note": column.TextColumn("note", width=260),
            },
        )
    rows = picked.selection.rows
    # only when the pick changes: the list may have moved under an old one
    if rows != st.session_state.get("all-runs-last") and rows and rows[0] < len(runs):
        choices.keep("run", runs[rows[0]].id)
    st.session_state["all-runs-last"] = rows
    chosen = choices.recall("run")
    with narrow:
        details(next((run for run in runs if run.id == chosen), None), lines, look)


def details(run: Card | None, lines: dict[str, Stroke], look: Look) -> None:
    """One run: what became of it and its training curve."""
    if run is None:
        parts.note("Pick a run in the table for its training curve and what became of it.")
        return
    square = tables.state_square(run.state, look, run.progress)
    st.html(
        f'<div class="t-legend" style="color:inherit"><span>{square} <b>{text(run.model)}</b></span></div>'
        f'<div class="t-muted" style="overflow-wrap:anywhere">{text(run.id)}</div>' + _trouble(run)
    )
    curve = data.history(run.path, run.stamp)
    if curve.empty:
        parts.note("This model has no training curve." if run.floor else "No epoch is finished yet.")
    else:
        parts.plot(training_curve(curve, lines[run.model], look, 270), f"curve-{run.id}")
    facts = [
        ("test period", f"{run.test_start} to {run.test_end}" if run.test_start else ""),
        ("data snapshot", run.snapshot[:12]),
        ("time", duration(run.seconds) if run.seconds is not None else ""),
    ]
    parts.html("".join(f'<div><span class="t-muted">{k}</span>&ensp;{text(v)}</div>' for k, v in facts if v))


def _trouble(run: Card) -> str:
    lines = []
    if run.state in ("failed", "stopped"):
        kind = "" if run.state == "failed" else " warn"
        reason = run.message or "no reason was recorded"
        lines.append(f'<div class="t-fail{kind}"><b>{text(run.label)}</b> {run.state}: {text(reason)}</div>')
    if run.problems:
        missing = text("; ".join(run.problems))
        lines.append(f'<div class="t-fail warn"><b>{text(run.label)}</b> is incomplete: {missing}</div>')
    return "".join(lines)


def _facts(runs: Sequence[Card]) -> str:
    states = Counter(run.state for run in runs)
    facts = [f"{states[state]} {state}" for state in STATES if states[state]] if len(states) > 1 else []
    facts = facts or [f"{count(len(runs), 'run')}, all {runs[0].state}"]
    periods = sorted({(run.test_start, run.test_end) for run in runs if run.test_start})
    if len(periods) == 1:
        facts.append(f"test {periods[0][0][:4]} to {periods[0][1][:4]}")
    spent = sum(run.seconds or 0.0 for run in runs)
    if spent:
        facts.append(duration(spent))
    return " · ".join(facts)


def _legend(runs: Sequence[Card], look: Look) -> str:
    states = Counter(run.state for run in runs)
    items = "".join(
        f"<span>{tables.state_square(state, look, 0.5)} {states[state]} {state}</span>"
        for state in STATES
        if states[state]
    )
    return f'<div class="t-legend">{items}</div>'


def _age(run: Card) -> float:
    """Newest first."""
    return -run.updated.timestamp() if run.updated is not None else 0.0


if __name__ == "__main__":
    page()
