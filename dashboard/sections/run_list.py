"""The runs of an experiment as a table, and one of them in detail."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts, tables
from thalweg.dashboard.figures.training import training_curve
from thalweg.dashboard.look import Look, Stroke, duration, text
from thalweg.dashboard.measures import Measure, measures
from thalweg.dashboard.reading import cards, skill
from thalweg.dashboard.reading.cards import Card

_SHOWN = ("nse", "kge_2009")


def shown() -> dict[str, Measure]:
    """The metrics of which the list has a column."""
    return measures(_SHOWN)


def draw(runs: Sequence[Card], shown: Mapping[str, Measure], lines: Mapping[str, Stroke], look: Look) -> None:
    """All runs in one table that sorts and scrolls; one, the first until another is picked, in detail."""
    parts.section("Runs")
    medians = [skill.medians(run.path, run.stamp, tuple(shown)) for run in runs]
    table = pd.DataFrame(
        {
            "state": [run.state for run in runs],
            "model": [run.model for run in runs],
            "split": [run.split for run in runs],
            "fold": [run.fold for run in runs],
            "seed": [run.seed for run in runs],
            "progress": [None if run.progress is None else 100.0 * run.progress for run in runs],
            **{name: [own.get(name) for own in medians] for name in shown},
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
        picked = parts.pick(
            styled,
            [run.id for run in runs],
            f"runs-{runs[0].experiment}",
            most=430,
            column_config={
                "progress": column.ProgressColumn(
                    "progress", min_value=0, max_value=100, format="%.0f %%", width=125
                ),
                **{
                    name: column.NumberColumn(m.short, format="%.2f", help=f"{m.long}, median", width=78)
                    for name, m in shown.items()
                },
                "updated": column.DatetimeColumn("updated", format="distance", width=122),
                "seed": column.NumberColumn("seed", format="%d", width=52),
                "fold": column.TextColumn("fold", width=_fold_width(runs)),
                "time": column.TextColumn("time", width=88),
                "note": column.TextColumn("note", width=260),
            },
        )
    if picked is not None:
        choices.keep("run", picked)
    chosen = choices.recall("run")
    with narrow:
        trained = [run for run in runs if not run.floor]
        known = [run for run in runs if run.id == chosen]
        details((known or trained or runs)[0], lines, look)


def _fold_width(runs: Sequence[Card]) -> int:
    """Width of the column (px): folds of regions have long names, `08-11-12-13`."""
    return min(52 + 7 * max(0, max(len(run.fold) for run in runs) - 3), 150)


def details(run: Card, lines: Mapping[str, Stroke], look: Look) -> None:
    """One run: what became of it and its training curve."""
    square = tables.state_square(run.state, look, run.progress)
    st.html(
        f'<div class="t-legend" style="color:inherit"><span>{square} <b>{text(run.model)}</b></span></div>'
        f'<div class="t-muted" style="overflow-wrap:anywhere">{text(run.id)}</div>' + _trouble(run)
    )
    curve = cards.history(run.path, run.stamp)
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
        lines.append(f'<div class="t-fail{kind}">{run.state}: {text(reason)}</div>')
    if run.problems:
        lines.append(f'<div class="t-fail warn">incomplete: {text("; ".join(run.problems))}</div>')
    return "".join(lines)
