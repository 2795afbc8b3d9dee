"""The skill of an experiment as one table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from thalweg.flows.console import console, interval, number, table

if TYPE_CHECKING:
    import pandas as pd

    from thalweg.storage.results import Run

METRIC = "nse"
BESIDE = ("kge_2012", "bias")  # medians shown beside the metric


def skill_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Give one row for each experiment, model and split: NSE with its interval, the other medians beside.

    Returns
    -------
    The table of :func:`thalweg.evaluation.summary.summarize`, with the columns of ``BESIDE`` and ``floor``
    added; best first within each split, floors after the models.
    """
    from thalweg.evaluation.summary import summarize
    from thalweg.storage.results import collect_metrics, collect_runs

    metrics, planned = collect_metrics(runs), collect_runs(runs)
    if METRIC not in metrics.columns:
        metrics[METRIC] = float("nan")
    made = summarize(metrics, METRIC, planned)
    for name in BESIDE:
        known = name in metrics.columns and len(metrics)
        made[name] = summarize(metrics, name, planned, samples=1)["median"] if known else float("nan")
    made["floor"] = made["kind"] == "floor"
    return made.sort_values(
        ["experiment", "split", "floor", "median"],
        ascending=[True, True, True, False],
        ignore_index=True,
        key=lambda column: (
            column.str.replace(r"\d+", _padded, regex=True) if column.name == "split" else column
        ),
    )


def _padded(number: re.Match[str]) -> str:
    """Let data_share-25 come before data_share-100."""
    return number[0].zfill(9)


def show_skill(made: pd.DataFrame) -> None:
    """Print the table, and below it what should make one doubt a row."""
    right = ("NSE median [90 %]", "KGE 2012", "bias %", "sites", "BFI r")
    left = ("experiment", "split", "model") if made["experiment"].nunique() > 1 else ("split", "model")
    notes = ("note",) if made["note"].any() else ()
    shown = table(*left, *right, *notes, right=right)
    for column in shown.columns[: len(left) + len(right)]:
        column.no_wrap = True
    for row in skill_rows(made):
        shown.add_row(
            *(row[name] + ("*" if name == "model" and row["floor"] else "") for name in left),
            interval(row),
            number(row["kge_2012"]),
            number(row["bias"], 1),
            str(row["sites"]),
            number(row["baseflow_correlation"], 2) + ("!" if row["baseflow_flag"] else ""),
            *(row[name] for name in notes),
        )
    out = console()
    out.print(shown)
    if made["floor"].any():
        out.print("* a floor, not a model; persistence is told the flow of the day before", style="dim")
    if made["baseflow_flag"].any():
        out.print(
            "! matches discharge, yet does not tell rivers with much baseflow from those with little "
            "(BFI r: correlation of the baseflow index over sites): right for the wrong reason",
            style="yellow",
        )


def skill_rows(made: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the table as mappings, for JSON."""
    return [{str(key): value for key, value in row.items()} for row in made.to_dict("records")]
