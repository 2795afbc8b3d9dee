"""How far back a network over time looks: attributions by variable and by days before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from thalweg.evaluation.interpretation.explanation import (
    ADDS_UP,
    Ask,
    Explanation,
    check,
    retraining_checks,
    seeded,
    with_shares,
)
from thalweg.evaluation.interpretation.gradients import TOLERANCE, integrated_gradients
from thalweg.evaluation.interpretation.permutation import permutation_importance, single_groups
from thalweg.evaluation.interpretation.question import Array, answers
from thalweg.evaluation.interpretation.randomised import MOST_ALIKE, randomised_weights
from thalweg.evaluation.interpretation.retraining import remove_and_retrain
from thalweg.evaluation.interpretation.shapley import shapley_values
from thalweg.models.model import Model

# First days of the bands that lags are taken together in: the day itself, a flood, a week, a month, seasons.
BANDS = (0, 1, 3, 8, 31, 91, 181)
BACKGROUND = 4  # samples whose weather stands for what is left out


def explain_lags(
    model: Model, ask: Ask, *, evaluations: int = 60, steps: int = 16, seed: int = 0
) -> tuple[Explanation, pd.DataFrame]:
    """Explain which variables decide an answer, and how many days before.

    The baseline is each variable's mean over samples and days, on all days.

    Parameters
    ----------
    ask : makes a question on ``(sample, time, variable)``; called again with shuffled weights.
    evaluations : of the function on all samples, for Shapley values of whole series.
    steps : of integrated gradients, at first.

    Returns
    -------
    The explanation by variable, with its checks, and a table of lags: a row a variable and days before, with
    ``size`` (mean over samples of the attributions' sizes) and ``mean`` in the answer's units.
    """
    question, generator = ask(model), seeded(seed)
    inputs, function, names = question.inputs, question.function, question.features
    baseline = inputs.mean((0, 1))
    integrated = integrated_gradients(function, inputs, baseline, steps=steps, most=4 * steps)
    values = integrated.values.detach().cpu().numpy().astype(np.float64)
    alike = randomised_weights(
        model,
        lambda m: integrated_gradients(ask(m).function, inputs, baseline, steps=steps // 2, most=1).values,
        generator,
        draws=3,
    )
    chosen = torch.randperm(len(inputs), generator=generator)[:BACKGROUND].to(inputs.device)
    shapley = shapley_values(
        function, inputs, inputs[chosen], single_groups(names), generator, evaluations=evaluations
    )
    shuffled = permutation_importance(
        function, inputs, single_groups(names), np.random.default_rng(seed), repeats=5
    )
    by_variable = np.abs(values.sum(1)).mean(0)
    importance = [
        pd.DataFrame({"feature": names, "importance": by_variable, "method": "integrated gradients"}),
        pd.DataFrame(
            {
                "feature": names,
                "importance": np.abs(shapley.values).mean(0),
                "deviation": shapley.error.mean(0),
                "method": "Shapley",
            }
        ),
        shuffled.assign(method="permutation"),
    ]
    checks = [
        check("integrated gradients", "completeness", integrated.error, TOLERANCE, integrated.complete),
        check("integrated gradients", "randomised weights", alike.alike, MOST_ALIKE, alike.passes),
        check("Shapley", "completeness", shapley.missed, ADDS_UP, shapley.missed <= ADDS_UP),
        *_retrained(answers(function, inputs), inputs, values, seed),
    ]
    explanation = Explanation(
        importance=with_shares(pd.concat(importance, ignore_index=True)),
        checks=pd.concat(checks, ignore_index=True),
    )
    return explanation, lag_table(values, names)


def lag_table(values: Array, variables: Sequence[str]) -> pd.DataFrame:
    """Give attributions ``(sample, time, variable)`` by days before the last one.

    Returns
    -------
    Table with the columns ``variable``, ``lag`` (days), ``size``, ``mean``, and ``reach``: the share of the
    variable's size at this lag and at shorter ones.
    """
    size, mean = np.abs(values).mean(0)[::-1], values.mean(0)[::-1]
    total = size.sum(0)
    reach = np.divide(size.cumsum(0), total, out=np.zeros_like(size), where=total > 0.0)
    lags = np.arange(len(size))
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "variable": name,
                    "lag": lags,
                    "size": size[:, place],
                    "mean": mean[:, place],
                    "reach": reach[:, place],
                }
            )
            for place, name in enumerate(variables)
        ],
        ignore_index=True,
    )


def band_sums(values: Array, bands: Sequence[int] = BANDS) -> Array:
    """Give ``(sample, band * variable)``, sums over the days of each band of lags that the record reaches."""
    backward = values[:, ::-1]
    starts = [first for first in bands if first < backward.shape[1]]
    sums: Array = np.add.reduceat(backward, starts, axis=1)
    return sums.reshape(len(values), -1)


def _retrained(answer: Array, inputs: Tensor, values: Array, seed: int) -> list[pd.DataFrame]:
    """Retrain on sums over bands of lags: single days of single variables are too many for a new model."""
    table = remove_and_retrain(
        band_sums(inputs.cpu().numpy().astype(np.float64)),
        answer,
        {"integrated gradients": band_sums(values)},
        np.random.default_rng(seed),
        shares=(0.5,),
    )
    return retraining_checks(table)
