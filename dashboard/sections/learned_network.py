"""Page Interpretation, fourth question: what does the network use? No attribution without its checks."""

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.figures.attributions import MOST_FEATURES, importance, reaches
from thalweg.dashboard.figures.water import words
from thalweg.dashboard.look import Look, Stroke, number, text
from thalweg.dashboard.reading import evaluated
from thalweg.dashboard.reading.attributes import Names, attribute_names
from thalweg.dashboard.scope import Scope
from thalweg.dashboard.tables import row_of, table
from thalweg.flows.reporting.readings import failed_checks

_HEIGHT = 430
_LAGS = "integrated gradients"  # the method that the reaches are from
_MEANS = {
    ("integrated gradients", "completeness"): "attributions add up to the difference they explain",
    ("Shapley", "completeness"): "attributions add up to the difference they explain",
    ("", "randomised weights"): "attributions of a network with shuffled weights look different",
    ("", "remove and retrain"): "a new model does better with what is ranked highest than at random",
    ("random forest", "skill"): "the forest itself predicts the answers",
}


def network_view(scope: Scope, model: str, stroke: Stroke, look: Look) -> list[str]:
    """What the answers are made from by several methods, how many days back, and the checks of each."""
    runs = [run for run in scope.runs if run.model == model]
    found = evaluated.tables(runs, "explanation_importance")
    checks = evaluated.tables(runs, "explanation_checks")
    if found.empty:
        parts.empty(
            "What does the network use?",
            f"{model} is asked, if there is a network in it and ten sites or more were tested, by",
            f"thalweg evaluate {scope.experiment}",
        )
        return []
    lags = evaluated.tables(runs, "explanation_lags")
    _sites(found, checks, lags, attribute_names(runs), look)
    if not lags.empty:
        _lags(lags, checks, look)
    explained = list(dict.fromkeys(found["run"]))
    if len(explained) > 1:
        parts.note(
            f"Means over {len(explained)} runs that were explained; a check fails if one of them fails it."
        )
    elif len(runs) > 1:
        parts.note(f"Of {len(runs)} runs of {model} this one was explained: {explained[0]}.")
    parts.note(
        "Attributions explain the model, not the land. Attributes that go together are one; methods "
        "divide differently what correlated ones share: read several."
    )
    return []


def _sites(found: pd.DataFrame, checks: pd.DataFrame, lags: pd.DataFrame, known: Names, look: Look) -> None:
    """What an outcome, or a parameter, is made from, with the checks beside it."""
    of_lags = set(lags["question"]) if not lags.empty else set()
    questions = [each for each in dict.fromkeys(found["question"]) if each not in of_lags]
    if not questions:
        return
    # what comes out in the end first, then single parameters
    questions.sort(key=lambda each: not each.startswith("mean "))
    left, right = st.columns([5, 4], gap="medium")
    with left:
        question = choices.select("of", "Answer", questions, show=words)
    own = found[found["question"] == question]
    shares = own.pivot_table("share", "feature", "method", sort=False)
    shares = shares.loc[shares.mean(axis=1).sort_values(ascending=False).index[:MOST_FEATURES]]
    of_question = checks[checks["question"] == question] if not checks.empty else checks
    failed = {str(method): failed_checks(of_question, str(method)) for method in shares.columns}
    with left:
        title = f"What {words(question)} is made from"
        named = shares.rename(index=known.of_group)
        parts.plot(importance(named, failed, look, _HEIGHT + 150, title), "importance")
    with right:
        _checks(of_question, "Sanity checks of these methods")
        free = [method for method, bad in failed.items() if bad is None]
        if free:
            told = "have no checks of their own" if len(free) > 1 else "has no check of its own"
            parts.note(f"Hollow: {', '.join(free)} {told}.")


def _lags(lags: pd.DataFrame, checks: pd.DataFrame, look: Look) -> None:
    """How many days back the network looks, with the checks beside it."""
    questions = list(dict.fromkeys(lags["question"]))
    parts.section("How far back it looks")
    left, right = st.columns([5, 4], gap="medium")
    with left:
        question = choices.segments("back", "Question", questions, show=words)
    own = checks[checks["question"] == question] if not checks.empty else checks
    failed = failed_checks(own, _LAGS)
    with left:
        title = f"What {words(question)} is made from, up to so many days back"
        parts.plot(reaches(lags[lags["question"] == question], failed, look, _HEIGHT - 50, title), "lags")
        if failed is None:
            parts.note("These attributions were not checked: do not believe them.")
        elif failed:
            parts.note(f"Grey and broken: {_LAGS} fail {', '.join(failed)} here; do not believe these lines.")
    with right:
        _checks(own, "Sanity checks of these attributions")


def _checks(checks: pd.DataFrame, title: str) -> None:
    """Every check, its value and its limit, and whether it passes; of several runs the worst."""
    st.html(f'<h3 class="t-head">{text(title)}</h3>')
    if checks.empty:
        parts.note("None was made: do not believe these attributions.")
        return
    rows = []
    for (method, check), own in checks.groupby(["method", "check"], sort=False):
        worst = own.sort_values("passes").iloc[0]
        passes = bool(worst["passes"])
        means = _MEANS.get((str(method), str(check))) or _MEANS.get(("", str(check)), "")
        kind = ' class="l"' if passes else ' class="l flag"'
        rows.append(
            row_of(
                [
                    f'<td class="l">{text(method)}</td>',
                    f'<td class="l" title="{text(means)}">{text(check)}</td>',
                    f"<td>{number(float(worst['value']), 3)}</td>",
                    f"<td>{number(float(worst['limit']), 3)}</td>",
                    f"<td{kind}>{'passes' if passes else '✕ fails'}</td>",
                ]
            )
        )
    head = ['<th class="l">Method</th>', '<th class="l">Check</th>', "<th>Value</th>", "<th>Limit</th>"]
    parts.html(table([*head, '<th class="l">Verdict</th>'], rows))
