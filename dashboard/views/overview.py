"""Overview: what was run, how far it is, how good it is, what it took, and what failed."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts, tables
from thalweg.dashboard.look import Look, count, duration, number, strokes, text
from thalweg.dashboard.measures import Measure, measures
from thalweg.dashboard.reading import cards, experiments
from thalweg.dashboard.reading.experiments import Summary
from thalweg.dashboard.sections import experiment_card, freshness, run_list
from thalweg.dashboard.sections.experiment_card import STATES, trials_text

METRIC = "nse"
_SPLITS = 4  # that have a column of their own
_MOST = 400  # height of a table (px)


@parts.page
def page(look: Look) -> None:
    """Draws the page, again every few seconds while something runs."""
    found = experiments.summaries(cards.read())
    known, whole = experiments.medians(found, METRIC, experiments.FIRST_SECONDS)
    busy = any(each.active for each in found)
    every = "0.3s" if not whole else "5s" if busy else "30s"
    first = iter([(found, known)])  # to be seen at once; what takes time follows
    st.fragment(_followed, run_every=every)(look, busy, whole, first)


@parts.guarded
def _followed(
    look: Look, busy: bool, whole: bool, first: Iterator[tuple[list[Summary], dict[str, pd.DataFrame]]]
) -> None:
    """The page; drawn at another pace from when something starts, or all has been read."""
    if (drawn := next(first, None)) is not None:
        overview(look, *drawn)
        return
    found = experiments.summaries(cards.read())
    medians, complete = experiments.medians(found, METRIC)
    overview(look, found, medians)
    if whole != complete or busy != any(each.active for each in found):
        st.rerun()


@parts.guarded
def overview(look: Look, found: Sequence[Summary], medians: Mapping[str, pd.DataFrame]) -> None:
    """What runs now, all experiments, and one of them in detail."""
    runs = [run for each in found for run in each.runs]
    if not found:
        parts.title("Overview", cards.shown_root())
        parts.empty(
            "No runs yet",
            f"Nothing was found in {cards.root().resolve()}. Start an experiment: it shows up here at once.",
            "thalweg run examples/sample.yaml",
        )
        return
    lines = strokes(*cards.model_names(runs), look)
    measure = measures((METRIC,))[METRIC]
    many = f"{count(len(found), 'experiment')}, {count(len(runs), 'run')} in {cards.shown_root()}"
    parts.title("Overview", many)
    st.html(_legend(found, look))
    under_way(found)
    names = [each.name for each in found]
    picked = names[0]
    if len(found) > 1 and not freshness.known(runs):
        picked = table(found, medians, measure, look)
    elif len(found) > 1:
        left, right = st.columns([3, 1], gap="large")
        with left:
            picked = table(found, medians, measure, look)
        with right:
            freshness.draw(runs)
    failures(found)
    chosen = next(each for each in found if each.name == picked)
    experiment_card.draw(chosen, medians.get(picked), measure, lines, look, with_data=len(found) == 1)
    if chosen.runs:
        run_list.draw(chosen.runs, run_list.shown(), lines, look)


def under_way(found: Sequence[Summary]) -> None:
    """How far the experiments are that run now."""
    active = [each for each in found if each.active]
    for first in range(0, min(len(active), 6), 3):
        for place, each in zip(st.columns(3, gap="medium"), active[first : first + 3], strict=False):
            with place, st.container(border=True):
                left = f", about {duration(each.left)} left" if each.left is not None else ""
                done = f"{each.states['done']} of {count(len(each.runs), 'run')} done"
                st.html(f'<b>{text(each.name)}</b> <span class="t-muted">{done}{left}</span>')
                st.progress(min(1.0, each.progress))


def table(found: Sequence[Summary], medians: Mapping[str, pd.DataFrame], measure: Measure, look: Look) -> str:
    """All experiments; the one that is picked is told in detail below. Returns its name."""
    names = [each.name for each in found]
    splits = _usual_splits(found)
    chosen = choices.recall("experiment")
    chosen = chosen if chosen in names else names[0]
    shown = pd.DataFrame(
        {
            "": ["●" if name == chosen else "" for name in names],
            "state": [each.state for each in found],
            "experiment": names,
            "runs": [_done(each) for each in found],
            "failed": [str(each.states["failed"] or "") for each in found],
            "progress": [100.0 * each.progress if each.runs else None for each in found],
            **{
                f"of:{split}": [_best(medians.get(each.name), split, measure, each) for each in found]
                for split in splits
            },
            "took": [_took(each) for each in found],
            "updated": pd.Series([each.updated for each in found], dtype="datetime64[s, UTC]"),
        }
    )
    column = st.column_config
    told = f"Best trained model, by the median {measure.short} over test sites"
    picked = parts.pick(
        shown.style.map(lambda state: f"color: {look.states.get(state, look.muted)}", subset=["state"]),
        names,
        "experiments",
        most=_MOST,
        column_config={
            "": column.TextColumn("●", width=30, help="The experiment below"),
            "state": column.TextColumn("state", width=72),
            "experiment": column.TextColumn("experiment", width=140),
            "runs": column.TextColumn("runs", width=105),
            "failed": column.TextColumn("failed", width=58),
            "progress": column.ProgressColumn(
                "progress", min_value=0, max_value=100, format="%.0f %%", width=95
            ),
            **{f"of:{split}": column.TextColumn(f"best, {split}", help=told, width=125) for split in splits},
            "took": column.TextColumn("took", width=85, help="Work of all its runs"),
            "updated": column.DatetimeColumn("updated", format="distance", width=115),
        },
    )
    if picked is not None:
        choices.keep("experiment", picked)
        st.rerun()
    choices.keep("experiment", chosen)
    return chosen


def failures(found: Sequence[Summary]) -> None:
    """Why runs failed, of all experiments, the same reason told once."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for each in found:
        for run in each.runs:
            if run.state in ("failed", "stopped"):
                why = run.message or "no reason was recorded"
                reasons.setdefault((each.name, run.state, why), []).append(run.label)
    if not reasons:
        return
    runs, names = sum(map(len, reasons.values())), {name for name, _, _ in reasons}
    label = f"{count(runs, 'run')} failed or stopped, in {count(len(names), 'experiment')}"
    with st.expander(label, icon=":material/error:", expanded=len(reasons) <= 3):
        parts.html("".join(_reason(*key, labels) for key, labels in list(reasons.items())[:50]))


def _usual_splits(found: Sequence[Summary]) -> list[str]:
    """The splits that most experiments have, in the order in which they are met."""
    met = [split for each in found for split in dict.fromkeys(run.split for run in each.runs)]
    often = sorted(dict.fromkeys(met), key=lambda split: -met.count(split))
    return often[:_SPLITS]


def _best(medians: pd.DataFrame | None, split: str, measure: Measure, each: Summary) -> str:
    """The best trained model of a split with its median: `0.74 hybrid`."""
    if medians is None:
        return "…" if each.states["done"] else ""
    floors = {run.model for run in each.runs if run.floor}
    own = medians[(medians["split"] == split) & ~medians["model"].isin(floors)].dropna()
    if own.empty:
        return ""
    row = own.iloc[int(measure.rank(own[measure.name]).to_numpy().argmin())]
    return f"{number(row[measure.name], measure.decimals, signed=measure.signed)} {row['model']}"


def _done(each: Summary) -> str:
    """`7 of 11 done`."""
    if not each.runs:
        return trials_text(each.search) if each.search else ""
    whole = each.states["done"] == len(each.runs)
    return f"{len(each.runs)} done" if whole else f"{each.states['done']} of {len(each.runs)} done"


def _took(each: Summary) -> str:
    seconds = each.cost.wall_seconds or sum(run.seconds or 0.0 for run in each.runs)
    return duration(seconds) if seconds else ""


def _reason(experiment: str, state: str, why: str, labels: Sequence[str]) -> str:
    kind = "" if state == "failed" else " warn"
    which = labels[0] if len(labels) == 1 else f"{len(labels)} runs, {labels[0]} among them,"
    return (
        f'<div class="t-fail{kind}"><b>{text(experiment)}</b> {text(which)} {state}: {text(why[:500])}</div>'
    )


def _legend(found: Sequence[Summary], look: Look) -> str:
    totals = {state: sum(each.states[state] for each in found) for state in STATES}
    items = "".join(
        f"<span>{tables.state_square(state, look, 0.5)} {many:,} {state}</span>"
        for state, many in totals.items()
        if many
    )
    return f'<div class="t-legend">{items}</div>'


if __name__ == "__main__":
    page()
