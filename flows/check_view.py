"""What an experiment would run, for people and for scripts."""

from __future__ import annotations

from typing import Any

from thalweg.flows.check import Check
from thalweg.flows.check_store import PARTS
from thalweg.flows.console import console, number, part_text, plural, table
from thalweg.flows.space import cost_text, count_trials
from thalweg.storage.geography import nearest_trained_km
from thalweg.storage.splits import KINDS


def plan(checked: Check) -> dict[str, Any]:
    """Give what an experiment would run; empty when it could not be read."""
    experiment = checked.experiment
    if experiment is None:
        return {}
    seeds = {name: list(experiment.seeds_for(name)) for name in experiment.models}
    return {
        "experiment": experiment.name,
        "store": experiment.data.store,
        "store_exists": checked.dataset is not None,
        "seeds": seeds,
        "splits": [
            {"name": split.label, "kind": split.kind, "proves": KINDS[split.kind].proves}
            for split in experiment.splits
        ],
        "folds": [
            {
                "split": fold.split,
                "fold": fold.fold,
                **{key: _size(getattr(fold, key)) for key, _ in PARTS},
                "nearest_trained_km": None
                if checked.dataset is None
                else nearest_trained_km(checked.dataset, fold),
            }
            for fold in checked.folds
        ],
        "cells": len(checked.folds) * sum(len(each) for each in seeds.values()) or None,
        "trials": count_trials(experiment) or None,
    }


def _size(part: Any) -> dict[str, Any] | None:
    return None if part is None else part.summary()


def describe(checked: Check) -> None:
    """Print the plan."""
    content, out = plan(checked), console()
    models = ", ".join(f"{name} ({plural(len(seeds), 'seed')})" for name, seeds in content["seeds"].items())
    if content["folds"]:
        out.print(
            f"{content['experiment']}: {plural(content['cells'], 'cell')} = "
            f"{plural(len(content['folds']), 'fold')} x [{models}]",
            markup=False,
        )
        apart = any(fold["nearest_trained_km"] is not None for fold in content["folds"])
        made = table("split", "fold", "train", "test", "validate", *(("nearest km",) if apart else ()))
        for fold in content["folds"]:
            row = [fold["split"], fold["fold"], *(part_text(fold[key]) or "-" for key, _ in PARTS)]
            made.add_row(*row, *((number(fold["nearest_trained_km"], 0),) if apart else ()))
        out.print(made)
        if apart:
            out.print("nearest km: from a tested site to the nearest trained one, median", style="dim")
        for split in content["splits"]:
            out.print(f"{split['name']} tests {split['proves']}", markup=False, style="dim")
    else:
        out.print(f"{content['experiment']}: {models}", markup=False)
        out.print(f"{content['store']} will be made from its source; splits are checked then", markup=False)
    for text in checked.warnings:
        out.print(f"warning: {text}", markup=False, style="yellow")
    if checked.experiment is not None and checked.experiment.search is not None:
        out.print(f"search: {cost_text(checked.experiment)}", markup=False)
