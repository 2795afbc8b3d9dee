"""`thalweg evaluate`, and what it says of what it made."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from thalweg.flows import evaluation, look_count
from thalweg.flows.console import console, number, plural, print_json, table
from thalweg.flows.evaluation import Evaluated
from thalweg.storage.evaluations import FOLDER, read_table

MEDIANS = {
    "skill": ("nse", "kge_2012"),
    "probabilistic": ("crps", "crpss", "log_score", "coverage_90", "width_90", "pit_reliability"),
}


def evaluate(options: Namespace, changes: dict[str, Any]) -> bool:
    """Do as the command line says; tell whether any product could not be made."""
    found = evaluation.evaluate(
        options.runs,
        options.names,
        changes,
        only=options.only,
        force=options.force,
        on_run=lambda run: print(f"evaluating {run.id}", file=sys.stderr, flush=True),
    )
    undone = evaluation.undone(options.runs, options.names)
    if undone:
        print(
            f"{plural(len(undone), 'run')} not done and passed over: {', '.join(undone[:5])}", file=sys.stderr
        )
    models = [] if options.blind else by_model(found)
    looks = [] if options.blind else look_count.look(options.runs, [each.run for each in found], "evaluate")
    if options.json:
        print_json({"runs": [_made(each) for each in found], "models": models, "looks": looks})
    else:
        _show_medians(models)
        _show_intervals(models)
        made, kept = (sum(len(getattr(each, which)) for each in found) for which in ("made", "kept"))
        before = f", {kept} there before" if kept else ""
        print(
            f"\n{plural(made, 'product')} of {plural(len(found), 'run')} made{before}; in {FOLDER}/ of each"
        )
        look_count.show(looks)
    failed = [(each.run.id, name, why) for each in found for name, why in each.failed.items()]
    for run, name, why in failed:
        print(f"{run}: {name}: {why}", file=sys.stderr)
    return bool(failed)


def _made(found: Evaluated) -> dict[str, Any]:
    path = str(found.run.path / FOLDER)
    return {"run": found.run.id, "path": path, **{key: v for key, v in vars(found).items() if key != "run"}}


def by_model(found: Iterable[Evaluated]) -> list[dict[str, Any]]:
    """Give one mapping for each experiment, split and model: medians over sites, and its intervals.

    A site's score is its mean over seeds; sites of all folds count together.
    """
    groups: dict[tuple[str, str, str], list[Evaluated]] = {}
    for each in found:
        run = each.run
        groups.setdefault((run.experiment, run.split, run.model), []).append(each)
    return [
        {
            **dict(zip(("experiment", "split", "model"), key, strict=True)),
            "runs": len(own),
            "medians": _medians(own),
            "intervals": _intervals(own),
        }
        for key, own in sorted(groups.items())
    ]


def _tables(found: Sequence[Evaluated], name: str) -> pd.DataFrame:
    there = [read_table(each.run.path, name) for each in found]
    tables = [table for table in there if isinstance(table, pd.DataFrame)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _medians(found: Sequence[Evaluated]) -> dict[str, float]:
    medians = {}
    for name, columns in MEDIANS.items():
        scores = _tables(found, name)
        for column in (column for column in columns if column in scores):
            medians[column] = float(scores.groupby("site")[column].mean().median())
    return {name: value for name, value in medians.items() if np.isfinite(value)}


def _intervals(found: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Give the coverage over the days of all runs, gauged and ungauged sites apart."""
    held = _tables(found, "conformal")
    if held.empty:
        return []
    rows = []
    kinds = ["interval", "group", "method", "pooling", "level"]
    for key, own in held[held["by"] == "gauge"].groupby(kinds, sort=False):
        days = own["days"].sum()
        rows.append(
            {
                **dict(zip(kinds, key, strict=True)),
                "coverage": float((own["coverage"] * own["days"]).sum() / days) if days else np.nan,
                "width": float((own["width"] * own["days"]).sum() / days) if days else np.nan,
                "runs": len(own),
                "verdicts": own["verdict"].value_counts().to_dict(),
                "calibration_sites": int(own["calibration_sites"].min()),
            }
        )
    return rows


def _show_medians(models: Sequence[dict[str, Any]]) -> None:
    names = [name for names in MEDIANS.values() for name in names]
    shown = [name for name in names if any(name in row["medians"] for row in models)]
    if not shown:
        return
    made = table(*_labels(models), "runs", *shown, right=("runs", *shown), title="medians over sites")
    for row in models:
        numbers = (number(row["medians"].get(name)) for name in shown)
        made.add_row(*_labels(models, row), str(row["runs"]), *numbers)
    console().print(made)


def _show_intervals(models: Sequence[dict[str, Any]]) -> None:
    if not any(row["intervals"] for row in models):
        return
    right = ("promised", "held", "width")
    made = table(*_labels(models), "interval", "sites", *right, "verdict", right=right, title="\nintervals")
    for row in models:
        for held in row["intervals"]:
            conformal = held["interval"] == "conformal"
            made.add_row(
                *_labels(models, row),
                f"conformal ({held['method']}, {held['pooling']})" if conformal else "the model's own",
                held["group"],
                f"{held['level']:.0%}",
                f"{held['coverage']:.1%}",
                number(held["width"], 2) or "infinite",
                ", ".join(f"{verdict} in {count}" for verdict, count in held["verdicts"].items()),
            )
    console().print(made)
    for row in models:
        if any(held["coverage"] == 1.0 and not np.isfinite(held["width"]) for held in row["intervals"]):
            few = min(held["calibration_sites"] for held in row["intervals"])
            console().print(
                f"{row['model']}, {row['split']}: {plural(few, 'validated site')} are too few to promise "
                "anything at a new one, so that the interval is infinite",
                style="yellow",
                markup=False,
            )


def _labels(models: Sequence[dict[str, Any]], row: dict[str, Any] | None = None) -> list[str]:
    """Give the names of the columns that tell models apart, or what a row has there."""
    several = len({each["experiment"] for each in models}) > 1
    names = ["experiment", "split", "model"] if several else ["split", "model"]
    return names if row is None else [row[name] for name in names]
