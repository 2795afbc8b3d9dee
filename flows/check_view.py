"""What an experiment would run, for people and for scripts."""

from __future__ import annotations

from typing import Any

from thalweg.flows.check import PARTS, Check
from thalweg.flows.console import console, plural, table
from thalweg.flows.space import count_trials


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
        "folds": [
            {
                "split": fold.split,
                "fold": fold.fold,
                **{key: _size(getattr(fold, key)) for key, _ in PARTS},
            }
            for fold in checked.folds
        ],
        "cells": len(checked.folds) * sum(len(each) for each in seeds.values()) or None,
        "trials": count_trials(experiment.search) if experiment.search else None,
    }


def _size(part: Any) -> dict[str, Any] | None:
    return None if part is None else {"sites": len(part.sites), "start": part.start, "end": part.end}


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
        made = table("split", "fold", "train", "test", "validate")
        for fold in content["folds"]:
            made.add_row(fold["split"], fold["fold"], *(_part_text(fold[key]) for key, _ in PARTS))
        out.print(made)
    else:
        out.print(f"{content['experiment']}: {models}", markup=False)
        out.print(f"{content['store']} will be made from its source; splits are checked then", markup=False)
    if content["trials"]:
        out.print(f"search: {plural(content['trials'], 'trial')}", markup=False)


def _part_text(part: dict[str, Any] | None) -> str:
    return f"{part['sites']} sites, {part['start']} to {part['end']}" if part else "-"
