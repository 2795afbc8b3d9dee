"""Explain how attributes decide an answer, by several methods at once, each with its checks beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from thalweg.evaluation.interpretation.explanation import (
    ADDS_UP,
    Ask,
    Explanation,
    attribution_table,
    check,
    group_sizes,
    retraining_checks,
    seeded,
    with_shares,
)
from thalweg.evaluation.interpretation.forest import random_forest
from thalweg.evaluation.interpretation.gradients import (
    STEPS,
    TOLERANCE,
    Integrated,
    integrated_gradients,
    smooth_gradient,
)
from thalweg.evaluation.interpretation.permutation import correlated_groups, permutation_importance
from thalweg.evaluation.interpretation.question import Array, Function, Question, answers
from thalweg.evaluation.interpretation.randomised import MOST_ALIKE, randomised_weights
from thalweg.evaluation.interpretation.response_curves import accumulated_local_effects, partial_dependence
from thalweg.evaluation.interpretation.retraining import remove_and_retrain
from thalweg.evaluation.interpretation.shapley import shapley_values
from thalweg.models.model import Model

BACKGROUND = 8  # samples that stand for what is left out
MOST_CURVES = 6  # features whose response is drawn, the most important ones


def explain(
    model: Model, ask: Ask, *, evaluations: int = 200, steps: int = STEPS, draws: int = 5, seed: int = 0
) -> Explanation:
    """Explain how attributes decide an answer, by all methods and with all checks.

    Features that say the same are taken together (:func:`correlated_groups`), in every method alike. The
    baseline of integrated gradients is the mean of the samples; Shapley values leave out in favour of some
    samples.

    Parameters
    ----------
    evaluations : of the function on all samples, for Shapley values.
    steps : of integrated gradients, at first, and noisy copies of SmoothGrad.
    draws : of shuffled weights.
    """
    question, random = ask(model), np.random.default_rng(seed)
    inputs = question.inputs
    matrix = inputs.cpu().numpy().astype(np.float64)
    groups = correlated_groups(matrix, question.features)
    found = explain_briefly(
        model, ask, groups=groups, evaluations=evaluations, steps=steps, draws=draws, seed=seed
    )

    importance = [found.importance]
    for conditional in (False, True):
        table = permutation_importance(
            question.function, inputs, groups, random, conditional=conditional, repeats=5
        )
        importance.append(table.assign(method="conditional permutation" if conditional else "permutation"))
    # what the attributes add to the same site with mean attributes: its weather is no feature
    target = answers(question.function, inputs)
    target = target - answers(question.function, inputs.mean(0).expand(inputs.shape))
    forest = random_forest(matrix, target, groups, seed=seed)
    importance.append(forest.importance.assign(method="random forest"))

    rankings = _rankings(found.attributions, question, groups)
    retrained = remove_and_retrain(matrix, target, rankings, random, shares=(0.5,))
    checks = [found.checks, *retraining_checks(retrained)]
    return Explanation(
        found.attributions,
        with_shares(pd.concat(importance, ignore_index=True)),
        _curves(question, found.importance, groups),
        pd.concat(
            [*checks, check("random forest", "skill", forest.skill, 0.0, forest.skill > 0.0)],
            ignore_index=True,
        ),
    )


def explain_briefly(
    model: Model,
    ask: Ask,
    *,
    groups: Mapping[str, Sequence[int]] | None = None,
    evaluations: int = 100,
    steps: int = STEPS,
    draws: int = 5,
    seed: int = 0,
) -> Explanation:
    """Explain by integrated gradients, SmoothGrad and Shapley values, with their checks but no retraining.

    See :func:`explain`.
    """
    question, generator = ask(model), seeded(seed)
    inputs, function = question.inputs, question.function
    if groups is None:
        groups = correlated_groups(inputs.cpu().numpy().astype(np.float64), question.features)
    baseline = inputs.mean(0)

    def smooth(function: Function) -> Tensor:
        return smooth_gradient(function, inputs, seeded(seed), draws=steps) * (inputs - baseline)

    def integrate(function: Function, most: int = 4 * steps) -> Integrated:
        return integrated_gradients(function, inputs, baseline, steps=steps, most=most)

    integrated = integrate(function)
    by_feature = {"integrated gradients": integrated.values, "smooth gradient": smooth(function)}
    chosen = torch.randperm(len(inputs), generator=generator)[:BACKGROUND].to(inputs.device)
    shapley = shapley_values(function, inputs, inputs[chosen], groups, generator, evaluations=evaluations)
    attributions = [
        attribution_table(values.detach().cpu().numpy(), question.samples, question.features, method)
        for method, values in by_feature.items()
    ]
    attributions.append(attribution_table(shapley.values, question.samples, shapley.groups, "Shapley"))
    importance = [
        pd.DataFrame({"feature": list(groups), "importance": group_sizes(values, groups), "method": method})
        for method, values in by_feature.items()
    ]
    importance.append(
        pd.DataFrame(
            {
                "feature": list(groups),
                "importance": np.abs(shapley.values).mean(0),
                "deviation": shapley.error.mean(0),
                "method": "Shapley",
            }
        )
    )
    alike = {
        "integrated gradients": randomised_weights(
            model, lambda m: integrate(ask(m).function, most=1).values, generator, draws=draws
        ),
        "smooth gradient": randomised_weights(
            model, lambda m: smooth(ask(m).function), generator, draws=(draws + 1) // 2
        ),
    }
    checks = [
        check("integrated gradients", "completeness", integrated.error, TOLERANCE, integrated.complete),
        check("Shapley", "completeness", shapley.missed, ADDS_UP, shapley.missed <= ADDS_UP),
        *(
            check(method, "randomised weights", found.alike, MOST_ALIKE, found.passes)
            for method, found in alike.items()
        ),
    ]
    return Explanation(
        pd.concat(attributions, ignore_index=True),
        with_shares(pd.concat(importance, ignore_index=True)),
        checks=pd.concat(checks, ignore_index=True),
    )


def _rankings(
    attributions: pd.DataFrame, question: Question, groups: Mapping[str, Sequence[int]]
) -> dict[str, Array]:
    """Give each method's attributions as ``(sample, feature)``; a group's value is shared out in it."""
    found = {}
    for method, rows in attributions.groupby("method", sort=False):
        table = rows.pivot(index="sample", columns="feature", values="value").loc[list(question.samples)]
        ranking = np.zeros((len(question.samples), len(question.features)))
        for name in table.columns:
            places = groups[name] if method == "Shapley" else [question.features.index(name)]
            ranking[:, list(places)] = table[name].to_numpy()[:, None] / len(places)
        found[str(method)] = ranking
    return found


def _curves(
    question: Question, importance: pd.DataFrame, groups: Mapping[str, Sequence[int]]
) -> pd.DataFrame:
    by_shapley = importance[importance["method"] == "Shapley"].sort_values("importance", ascending=False)
    places = [place for name in by_shapley["feature"] for place in groups[name]][:MOST_CURVES]
    tables = [
        curve(question.function, question.inputs, place).assign(feature=question.features[place])
        for place in places
        for curve in (partial_dependence, accumulated_local_effects)
    ]
    return pd.concat(tables, ignore_index=True)
