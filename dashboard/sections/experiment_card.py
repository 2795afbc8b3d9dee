"""One experiment in detail: its models and splits, what it took, how new its data are, its search."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from thalweg.dashboard import parts, tables
from thalweg.dashboard.look import Look, Stroke, count, duration, number, text
from thalweg.dashboard.measures import Measure
from thalweg.dashboard.reading.experiments import Search, Summary
from thalweg.dashboard.sections import freshness
from thalweg.flows.experiment_view import size

STATES = ("done", "running", "waiting", "failed", "stopped", "unknown")
_WARNED = 8  # runs of which it is told one by one that something is amiss


def draw(
    chosen: Summary,
    medians: pd.DataFrame | None,
    measure: Measure,
    lines: Mapping[str, Stroke],
    look: Look,
    with_data: bool,
) -> None:
    """One experiment: its models and splits, what it took, and its search.

    Parameters
    ----------
    medians : columns model, split and the metric; None while they are being read.
    with_data : whether to tell how new its data are.
    """
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.html(
                f'<div class="t-title"><b style="font-size:1.12rem">{text(chosen.name)}</b>'
                f"<span>{text(_period(chosen))}</span></div>",
                width="content",
            )
            if chosen.runs:
                _links(chosen.name)
        rows = "".join(
            f'<tr><th class="l">{name}</th><td class="l wrap">{text(what)}</td></tr>'
            for name, what in _facts(chosen)
        )
        facts = f'<table class="t t-facts"><tbody>{rows}</tbody></table>'
        if not chosen.runs:
            parts.html(facts)
            return
        left, right = st.columns([7, 4], gap="large")
        with left:
            values = {} if medians is None else _by_cell(medians, measure)
            st.html(tables.run_matrix(chosen.runs, values, measure, lines, look))
            if medians is None and chosen.states["done"]:
                parts.note("Reading the metrics …")
        with right:
            parts.html(facts)
            if with_data:
                freshness.draw(chosen.runs)
        _warn(chosen)


def _links(experiment: str) -> None:
    """Ways on from here."""
    told, again = {"experiment": experiment}, {"from": f"run:{experiment}"}
    with st.container(horizontal=True, width="content", gap="medium"):
        st.page_link("views/skill.py", label="Skill →", query_params=told, width="content")
        st.page_link("views/site.py", label="Hydrographs →", query_params=told, width="content")
        st.page_link("views/submit.py", label="Run again →", query_params=again, width="content")


def _warn(chosen: Summary) -> None:
    """Runs that seem to be dead, and those that lack something."""
    lines = [f"{run.label} says it runs and has written nothing for minutes" for run in chosen.silent]
    lines += [f"{run.label} is incomplete: {'; '.join(run.problems)}" for run in chosen.runs if run.problems]
    parts.html("".join(f'<div class="t-fail warn">{text(line)}</div>' for line in lines[:_WARNED]))
    if len(lines) > _WARNED:
        parts.note(f"and {len(lines) - _WARNED} more such")


def _facts(chosen: Summary) -> list[tuple[str, str]]:
    cost, search = chosen.cost, chosen.search
    facts = [("runs", _runs(chosen))] if chosen.runs else []
    if cost.attempts:
        facts.append(("work", f"{duration(cost.wall_seconds)}, {duration(cost.cpu_seconds)} of CPU"))
        if cost.gpu_seconds:
            facts.append(("GPU", f"{duration(cost.gpu_seconds)}, memory up to {size(cost.peak_gpu_memory)}"))
        facts.append(("memory", f"up to {size(cost.peak_memory)}; {size(cost.bytes_read)} read"))
        if cost.samples_per_second:
            rate = f"{cost.samples_per_second:,.0f} windows a second"
            facts.append(("training", f"{rate}, {cost.waiting_share or 0.0:.0%} of it waiting for data"))
    elif took := sum(run.seconds or 0.0 for run in chosen.runs):
        facts.append(("work", duration(took)))
    if search is not None:
        facts.append(
            ("search", f"{search.algorithm} of {search.model} on {search.split}, {trials_text(search)}")
        )
        if search.score is not None:
            values = ", ".join(f"{k.rpartition('.')[2]} {_short(v)}" for k, v in search.values.items())
            facts.append(("best trial", f"{number(search.score, 3)} in validation: {values}"))
        if search.floor is not None:
            same = f"; {count(search.same, 'trial')} within it" if search.same else ""
            facts.append(("noise floor", f"{number(search.floor, 3)}: what the seed alone may do{same}"))
    return facts


def trials_text(search: Search) -> str:
    """How many trials a search has."""
    going = search.trials - search.ended
    return count(search.trials, "trial") + (f", {going} under way" if going else "")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _by_cell(medians: pd.DataFrame, measure: Measure) -> dict[tuple[str, str], float]:
    keys = zip(medians["model"], medians["split"], strict=True)
    return dict(zip(keys, medians[measure.name], strict=True))


def _period(chosen: Summary) -> str:
    periods = sorted({(run.test_start, run.test_end) for run in chosen.runs if run.test_start})
    return f"tested on {periods[0][0]} to {periods[0][1]}" if len(periods) == 1 else ""


def _runs(each: Summary) -> str:
    if not each.runs:
        return trials_text(each.search) if each.search else ""
    if len(each.states) == 1:
        return f"{len(each.runs)} {each.runs[0].state}"
    return ", ".join(f"{each.states[state]} {state}" for state in STATES if each.states[state])
