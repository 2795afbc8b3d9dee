"""What comes of explaining a network: attributions, importance, response curves, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from thalweg.evaluation.interpretation.question import Array, Question

# Asks a model, and again copies of it with shuffled weights.
Ask = Callable[[Any], Question]

ADDS_UP = 1e-4  # of Shapley values in single precision


@dataclass
class Explanation:
    """What came of explaining one question.

    Attributes
    ----------
    attributions : a row a sample, feature and method: ``value`` in the answer's units.
    importance : a row a group of features and method: ``importance``, and its ``share`` of the method's sum.
    curves : a row a point of a feature's partial dependence or accumulated local effect.
    checks : a row a method and check: ``value``, its ``limit``, and whether it ``passes``.
    """

    attributions: pd.DataFrame = field(default_factory=pd.DataFrame)
    importance: pd.DataFrame = field(default_factory=pd.DataFrame)
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    checks: pd.DataFrame = field(default_factory=pd.DataFrame)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Give all tables that have rows, by name."""
        return {name: table for name, table in vars(self).items() if len(table)}


def attribution_table(
    values: Array, samples: Sequence[str], features: Sequence[str], method: str
) -> pd.DataFrame:
    """Give ``(sample, feature)`` as a table with the columns sample, feature, value, method."""
    table = pd.DataFrame(values, index=pd.Index(samples, name="sample"), columns=list(features))
    long = table.reset_index().melt("sample", var_name="feature", value_name="value")
    return long.assign(method=method)


def group_sizes(values: Tensor, groups: Mapping[str, Sequence[int]]) -> Array:
    """Give the mean size over samples of what each group's features are given together, ``(group,)``."""
    array = values.detach().cpu().numpy().astype(np.float64)
    return np.array([np.abs(array[:, list(places)].sum(1)).mean() for places in groups.values()])


def with_shares(importance: pd.DataFrame) -> pd.DataFrame:
    """Add the share of each method's sum; what is negative counts as nothing."""
    positive = importance["importance"].clip(lower=0.0)
    total = positive.groupby(importance["method"]).transform("sum")
    table = importance.assign(share=positive / total.where(total > 0.0))
    return table.reindex(columns=["feature", "method", "importance", "deviation", "share"])


def check(method: str, name: str, value: float, limit: float, passes: bool) -> pd.DataFrame:
    """Give a row of the table of checks."""
    row = {"method": method, "check": name, "value": value, "limit": limit, "passes": bool(passes)}
    return pd.DataFrame([row])


def retraining_checks(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Give the rows of :func:`thalweg.evaluation.interpretation.retraining.remove_and_retrain` as checks."""
    columns = table[["ranking", "score", "random_highest", "passes"]].to_numpy().tolist()
    return [
        check(method, "remove and retrain", score, max(0.0, limit), passes)
        for method, score, limit, passes in columns
    ]


def seeded(seed: int) -> torch.Generator:
    """Give a generator with a seed."""
    return torch.Generator().manual_seed(seed)
