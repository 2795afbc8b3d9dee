"""Page Interpretation, first question: does the physics hold where nobody trained it?"""

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.figures.physics import budyko, network_shares, untrained
from thalweg.dashboard.figures.sitemap import clicked
from thalweg.dashboard.look import Look, Stroke, number, text
from thalweg.dashboard.parts import swatch
from thalweg.dashboard.reading import evaluated
from thalweg.dashboard.scope import Scope
from thalweg.dashboard.tables import model_cell, row_of, table
from thalweg.evaluation.interpretation.beside import beside
from thalweg.flows.reporting.readings import balance_sentence, flag_sentences, untrained_pairs, verdict

_FLAGS = 6  # told before the table; the others are folded away
_SHARES = ["share", "low", "high", "share_of_means"]


def physics_view(scope: Scope, models: list[str], lines: dict[str, Stroke], look: Look) -> list[str]:
    """The audit with its verdicts, what it is from, and the ledger of physics and network, of all models."""
    runs = [run for run in scope.runs if run.model in models]
    audit = evaluated.tables(runs, "physics_audit")
    shares = evaluated.tables(runs, "network_share")
    if audit.empty and shares.empty:
        parts.empty(
            "What does the physics say?",
            "Variables that nobody trained on, the balance, and what the network decides are computed by",
            f"thalweg evaluate {scope.experiment}",
        )
        return []
    if not audit.empty:
        _audit(scope, audit, evaluated.tables(runs, "balance"), lines)
        _untrained(scope, evaluated.tables(runs, "physics"), lines, look)
    left, right = st.columns([5, 6], gap="medium")
    with left:
        if shares.empty:
            parts.note("What the network decides of each flux was not computed for these models.")
        else:
            _ledger(shares, lines, look)
    with right:
        _beside(scope, lines)
        sites = evaluated.tables(runs, "physics")
        if {"dryness", "evaporated"} <= set(sites.columns) and sites["evaporated"].notna().any():
            parts.plot(budyko(sites, lines, look, 360), "budyko")
    return []


def _audit(scope: Scope, audit: pd.DataFrame, balance: pd.DataFrame, lines: dict[str, Stroke]) -> None:
    """What contradicts the physics in words, then every check with its value and its limit."""
    parts.section("Variables that nobody trained on")
    flags = flag_sentences(audit)
    # the split stands above already
    short = [flag.replace(f", {scope.split}", "", 1) for flag in flags]
    lines_of = [f'<div class="t-fail">{text(flag)}</div>' for flag in short]
    parts.html("".join(lines_of[:_FLAGS]))
    if len(short) > _FLAGS:
        with st.expander(f"{len(short) - _FLAGS} more, of as many or fewer of the runs"):
            parts.html("".join(lines_of[_FLAGS:]))
    known = audit["value"].notna()
    if not flags and known.any():
        held = ", ".join(dict.fromkeys(audit.loc[known, "model"]))
        parts.note(f"No check contradicts the physics of {held}.")
    models = list(dict.fromkeys(audit["model"]))
    head = ['<th class="l">Check</th>', '<th class="l">Statistic</th>', "<th>Limit</th>"]
    head += [f"<th>{swatch(lines[model])}&ensp;{parts.named(model)}</th>" for model in models]
    rows = []
    for (check, statistic), own in audit.groupby(["check", "statistic"], sort=False):
        cells = [f'<td class="l">{text(check)}</td>', f'<td class="l">{text(statistic)}</td>']
        cells.append(f"<td>{float(own['limit'].iloc[0]):g}</td>")
        for model in models:
            part = own[own["model"] == model]
            if part.empty:
                cells.append("<td>–</td>")
                continue
            flagged = bool(part["flag"].astype(bool).any())
            kind, sign = (' class="flag"', "⚠ ") if flagged else ("", "")
            cells.append(f"<td{kind}>{sign}{text(verdict(part))}</td>")
        rows.append(row_of(cells))
    parts.html(table(head, rows))
    closes = f" {balance_sentence(balance)}" if not balance.empty else ""
    parts.note(f"⚠: beyond its limit, where discharge may still be right. Medians over runs.{closes}")


def _untrained(scope: Scope, sites: pd.DataFrame, lines: dict[str, Stroke], look: Look) -> None:
    """What the models say of each site against what observations say; a click opens the site."""
    pairs = untrained_pairs(sites) if not sites.empty else []
    if not pairs:
        return
    event = parts.plot(
        untrained(sites, pairs, lines, look, 330),
        f"untrained-{scope.key}",
        on_select="rerun",
        selection_mode="points",
    )
    site = clicked(event)
    if site is not None:
        told = {"experiment": scope.experiment, "split": scope.split, "site": site}
        st.switch_page("views/site.py", query_params=told)


def _ledger(shares: pd.DataFrame, lines: dict[str, Stroke], look: Look) -> None:
    """What the network decides of each flux."""
    means = shares.groupby(["model", "flux", "told"], sort=False)[_SHARES].mean().reset_index()
    height = 150 + 27 * means["flux"].nunique()
    parts.plot(network_shares(means, lines, look, height), "shares")
    parts.note(
        "0: the network, or the calibrated parameters, make no difference to it; 1: they decide all. Filled: "
        "told of another place while the weather stays; hollow: of another time (Jansen 1999). Target: what "
        "is observed, behind the routing. Lines: from repeated draws."
    )


def _beside(scope: Scope, lines: dict[str, Stroke]) -> None:
    """Physics alone and network alone beside every hybrid."""
    metric = str(choices.recall("metric") or "")
    name = metric if metric in scope.measures else next(iter(scope.measures))
    alone = _alone(scope.table, name)
    if alone.empty:
        return
    measure = scope.measures[name]
    head = [
        '<th class="l">Hybrid</th>',
        '<th class="l">Beside</th>',
        f'<th title="{text(measure.long)}">{text(measure.short)}, hybrid</th>',
        "<th>Other</th>",
        '<th class="l">In words</th>',
    ]
    rows = [
        row_of(
            [
                model_cell(row["hybrid"], lines[row["hybrid"]]),
                f'<td class="l">{text(row["other"])} <small>{text(row["what"])}</small></td>',
                f"<td>{number(row['hybrid_median'], measure.decimals)}</td>",
                f"<td>{number(row['other_median'], measure.decimals)}</td>",
                f'<td class="l">{text(_short(row["sentence"]))}</td>',
            ]
        )
        for row in alone.to_dict("records")
    ]
    st.html('<h3 class="t-head">Physics alone, network alone and their hybrid</h3>')
    parts.html(table(head, rows))
    parts.note("Medians over sites of the same data; the words are by an interval over sites.")


@st.cache_data(max_entries=50, show_spinner=False)
def _alone(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    return beside(metrics, metric)


def _short(sentence: str) -> str:
    """The verdict of a comparison without its split, metric and numbers."""
    return sentence.split(": ", 1)[-1].split(" (")[0].split(" in ")[0]
