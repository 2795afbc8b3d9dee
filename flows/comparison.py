"""`thalweg compare`: runs, or the models of an experiment, on the sites they share."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

from thalweg.flows import look_count
from thalweg.flows.names import nearest, refuse_unknown_metric
from thalweg.flows.report import show_skill, skill_table
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, collect_metrics, find_run, find_runs

MOST_PAIRS = 15


def compare(root: Path, names: list[str], metric: str) -> dict[str, Any]:
    """Compare runs pair by pair; an experiment's name stands for its models.

    Raises
    ------
    InputError
        When a run or the metric is unknown, or there is nothing to compare with.
    """
    refuse_unknown_metric(metric)
    known = {run.experiment for run in find_runs(root)}
    if len(names) == 1 and names[0] in known:
        runs = find_runs(root, names[0])
        pairs = _model_pairs(runs, metric)
    else:
        runs = [find_run(root, name) for name in names]
        pairs = _run_pairs(runs, metric)
    return {
        "metric": metric,
        "skill": skill_table(runs),
        "pairs": pairs,
        "looks": look_count.look(root, runs, "compare"),
    }


def compare_guarded(root: Path, names: list[str], metric: str) -> list[dict[str, Any]]:
    """Compare the models of one experiment without showing their scores on the test.

    Raises
    ------
    InputError
        When there is no such experiment, and as :func:`thalweg.flows.guarded.guarded`.
    """
    from thalweg.flows.guarded import guarded

    known = sorted({run.experiment for run in find_runs(root)})
    if len(names) != 1 or names[0] not in known:
        near = nearest(names[0], known)
        raise InputError(f"--guarded compares the models of one experiment, not {', '.join(names)}{near}")
    return guarded(root, find_runs(root, names[0]), metric)


def _run_pairs(runs: list[Run], metric: str) -> list[Any]:
    from thalweg.evaluation.summary import compare as compare_runs

    if len(runs) < 2:
        raise InputError(f"{runs[0].id} alone: name another run, or an experiment to compare its models")
    metrics = collect_metrics(runs)
    return [
        item
        for a, b in list(combinations(runs, 2))[:MOST_PAIRS]
        for item in compare_runs(metrics, metric, a.id, b.id)
    ]


def _model_pairs(runs: list[Run], metric: str) -> list[Any]:
    from thalweg.evaluation.summary import compare as compare_models

    metrics = collect_metrics(runs)
    models = list(dict.fromkeys(metrics["model"]))
    if len(models) < 2:
        raise InputError(
            f"{runs[0].experiment} has results of {len(models)} model: there is nothing to compare"
        )
    found = []
    for a, b in list(combinations(models, 2))[:MOST_PAIRS]:
        shared = set(metrics.loc[metrics["model"] == a, "split"]) & set(
            metrics.loc[metrics["model"] == b, "split"]
        )
        if shared:
            found += compare_models(metrics, metric, a, b)
    return found


def show(content: dict[str, Any]) -> None:
    """Print the skill of each, then each pair in words."""
    show_skill(content["skill"])
    print()
    for pair in content["pairs"]:
        print(pair.sentence)
    look_count.show(content["looks"])
