"""`thalweg compare EXPERIMENT --guarded`: the skill of models, from a hold-out that may be asked again.

The hold-out is the test part of a split, the open data its validation part. Both give the mean over sites of
a bounded score. What was asked is kept with the looks: the same question gets the same answer, so that its
noise cannot be averaged away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thalweg.evaluation.extrapolation.holdout import BUDGET, Answer, Thresholdout, bounded, unbounded
from thalweg.flows.console import console, number, table
from thalweg.flows.experiment import Experiment
from thalweg.flows.fingerprint import configuration
from thalweg.flows.names import ENSEMBLE
from thalweg.storage import looks
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run


def guarded(root: Path, runs: Sequence[Run], metric: str = "nse") -> list[dict[str, Any]]:
    """Ask for the skill of each trained model on each split of one experiment.

    Parameters
    ----------
    root : folder of all runs, where the questions are kept.
    runs : of one experiment; floors and runs that are not done are passed over.
    metric : an efficiency: 1 when perfect, without a lower bound.

    Returns
    -------
    list of mappings: ``split``, ``model``, ``validation`` and ``guarded``, each the efficiency whose bounded
    score is the mean over sites; ``held_out``, whether the test said otherwise than validation; ``left``, the
    answers that the test still gives. Splits without a validation part are left out.

    Raises
    ------
    InputError
        When the metric is no efficiency, no split has a validation part, or the test gives no more answers.
    """
    from thalweg.evaluation.skill import METRICS

    efficiencies = [name for name, one in METRICS.items() if one.better == "high" and one.perfect == 1.0]
    if metric not in efficiencies:
        raise InputError(
            f"--guarded needs a metric that is 1 when perfect and higher when better, not {metric!r}: one of "
            f"{', '.join(efficiencies)}"
        )
    done = [run for run in runs if run.state == "done" and run.kind != "floor"]
    if not done:
        raise InputError("no trained model here is done: there is nothing to ask about")
    validated = {run.split for run in done if run.manifest.get("validate")}
    if not validated:
        raise InputError(
            f"no split of {done[0].experiment} has a validation part to answer from: give one `validate` or "
            "`validate_share`, and run it again with --force"
        )
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in done:
        if run.split in validated:
            groups.setdefault((run.split, run.model), []).append(run)
    return [_ask(root, split, model, own, metric) for (split, model), own in groups.items()]


def _ask(root: Path, split: str, model: str, runs: Sequence[Run], metric: str) -> dict[str, Any]:
    tests = looks.tests_of(runs)
    if not tests:
        raise InputError(
            f"{runs[0].id}: was made before looks at tests were counted; run it again with --force"
        )
    open_scores = _scores([run.validation() for run in runs], metric)
    held_out = _scores([run.metrics() for run in runs], metric)
    if not len(open_scores) or not len(held_out):
        raise InputError(f"{runs[0].id}: lacks {metric} of validation or test; run it again with --force")
    hold_out = _digest(*tests, metric)
    seeds = sorted({str(run.seed) for run in runs})
    experiment = Experiment.model_validate(runs[0].manifest["config"])
    question = _digest(hold_out, configuration(experiment, model.removesuffix(ENSEMBLE)), *seeds)
    with looks.asking(root) as (entries, add):
        before = [entry for entry in entries if entry.get("hold_out") == hold_out]
        same = [entry for entry in before if entry.get("question") == question]
        if same:
            answer, left = Answer(same[0]["value"], same[0]["held_out"]), before[-1]["left"]
        else:
            guard = _guard(before, open_scores.to_numpy(), len(held_out))
            answer = guard.ask(float(open_scores.mean()), float(held_out.mean()), noise())
            left = guard.left
            kept = {"hold_out": hold_out, "question": question, "model": model, "split": split}
            add(tests, {**kept, **vars(answer), **vars(guard)})
    return {
        "split": split,
        "model": model,
        "metric": metric,
        "validation": unbounded(float(open_scores.mean())),
        "guarded": unbounded(answer.value),
        "held_out": answer.held_out,
        "left": left,
    }


def noise() -> np.random.Generator:
    """Give noise without a seed: whoever could draw the same could take it off the answer."""
    return np.random.default_rng()


def _guard(before: Sequence[dict[str, Any]], open_scores: np.ndarray, sites: int) -> Thresholdout:
    """Go on where the last question left the guard; its threshold stays what the first one made it."""
    if before:
        last = before[-1]
        return Thresholdout(last["threshold"], last["noise"], last["left"])
    return Thresholdout.of_samples(max(float(open_scores.std()), 1e-3), sites, BUDGET)


def _scores(tables: Sequence[pd.DataFrame], metric: str) -> pd.Series:
    """Give the bounded score of each site, the mean over runs."""
    joined = pd.concat(
        [each for each in tables if metric in each.columns] or [pd.DataFrame()], ignore_index=True
    )
    if metric not in joined.columns:
        return pd.Series(dtype=float)
    score = pd.Series(bounded(joined[metric]), index=joined.index)
    return score.groupby(joined["site"]).mean().dropna()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the answers."""
    right = ("validation", "guarded", "answers left")
    made = table("split", "model", *right, "from", right=right)
    for row in rows:
        source = "test, with noise" if row["held_out"] else "validation: the test agrees"
        made.add_row(
            row["split"],
            row["model"],
            number(row["validation"]),
            number(row["guarded"]),
            str(row["left"]),
            source,
        )
    out = console()
    out.print(made)
    out.print(
        f"{rows[0]['metric']} whose 1 / (2 - {rows[0]['metric']}) is the mean over sites: below the median "
        "where some sites fail",
        style="dim",
        markup=False,
    )
