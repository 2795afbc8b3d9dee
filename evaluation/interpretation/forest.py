"""A random forest: the baseline that every explanation by a network has beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from thalweg.evaluation.interpretation.permutation import permutation_importance
from thalweg.evaluation.interpretation.question import Array

TREES = 100
FEWEST_SAMPLES = 10


@dataclass(frozen=True)
class Forest:
    """A random forest of some features.

    Attributes
    ----------
    skill : R² of its out-of-bag answers; NaN where the target is constant or there are too few samples.
    answer : ``(sample,)``, out of bag.
    importance : table with ``feature`` (the group), ``importance`` and ``deviation`` by permutation, and
        ``impurity`` (share of the variance that splits on it took away).
    """

    skill: float
    answer: Array
    importance: pd.DataFrame


def random_forest(
    inputs: Array, target: Array, groups: Mapping[str, Sequence[int]], *, seed: int = 0, repeats: int = 3
) -> Forest:
    """Fit a random forest and ask it what it uses: Breiman (2001), 10.1023/A:1010933404324.

    Parameters
    ----------
    inputs : ``(sample, feature)``.
    target : ``(sample,)``; samples where it is NaN are left out, and answered all the same.
    groups : places of the features, by name of the group.
    """
    known = np.isfinite(target)
    columns = ["feature", "importance", "deviation", "impurity"]
    if known.sum() < FEWEST_SAMPLES or np.ptp(target[known]) == 0.0:
        return Forest(np.nan, np.full(len(target), np.nan), pd.DataFrame(columns=columns))
    forest = _fitted(inputs[known], target[known], seed)
    answer = np.asarray(forest.predict(inputs), dtype=np.float64)
    answer[known] = forest.oob_prediction_
    impurity = {
        name: float(forest.feature_importances_[list(places)].sum()) for name, places in groups.items()
    }

    def ask(values: Tensor) -> Tensor:
        return torch.from_numpy(forest.predict(values.numpy()))

    importance = permutation_importance(
        ask,
        torch.from_numpy(inputs[known]),
        groups,
        np.random.default_rng(seed),
        observed=target[known],
        repeats=repeats,
    )
    importance["impurity"] = importance["feature"].map(impurity)
    return Forest(r_squared(answer[known], target[known]), answer, importance[columns])


def r_squared(answer: Array, target: Array) -> float:
    """Give the share of the target's variance that the answers explain; NaN where it has none."""
    variance = ((target - target.mean()) ** 2).sum()
    return float(1.0 - ((answer - target) ** 2).sum() / variance) if variance > 0.0 else np.nan


def _fitted(inputs: Array, target: Array, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    # so many trees that every sample is out of the bag of some
    forest = RandomForestRegressor(
        TREES, max_features=1.0 / 3.0, min_samples_leaf=2, oob_score=True, random_state=seed, n_jobs=1
    )
    return forest.fit(inputs, target)
