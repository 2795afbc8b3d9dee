"""How an answer responds to one feature: partial dependence and accumulated local effects.

Partial dependence sets a feature to a value at all samples, also where it cannot be so; accumulated local
effects only look at samples near the value, and so hold where features are correlated.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from thalweg.evaluation.interpretation.question import Array, Function, answers

COLUMNS = ["curve", "value", "response", "low", "high", "samples"]


def partial_dependence(function: Function, inputs: Tensor, place: int, *, points: int = 16) -> pd.DataFrame:
    """Give the mean answer with one feature the same everywhere: Friedman (2001), 10.1214/aos/1013203451.

    Parameters
    ----------
    inputs : ``(sample, feature)``.
    place : of the feature.
    points : quantiles of the feature at which to ask, at most.

    Returns
    -------
    Table with ``COLUMNS``: ``value`` of the feature (as the network sees it), mean ``response``, ``low`` and
    ``high`` (10 and 90 % of single samples: Goldstein et al. 2015, 10.1080/10618600.2014.907095).
    """
    column = inputs[:, place].detach().cpu().numpy().astype(np.float64)
    rows = []
    for value in _quantiles(column, points):
        moved = inputs.clone()
        moved[:, place] = float(value)
        found = answers(function, moved)
        low, high = np.quantile(found, [0.1, 0.9])
        rows.append(("partial_dependence", float(value), float(found.mean()), low, high, len(found)))
    return pd.DataFrame(rows, columns=COLUMNS)


def accumulated_local_effects(
    function: Function, inputs: Tensor, place: int, *, bins: int = 10
) -> pd.DataFrame:
    """Give the accumulated local effect of a feature: Apley and Zhu (2020), 10.1111/rssb.12377, eq. 16.

    In each bin between quantiles, the mean change of the answer from the bin's lower to its upper edge over
    the samples within; summed from the left, and centred on the samples.

    Returns
    -------
    Table with ``COLUMNS``, one row an edge: ``response`` is the effect, zero on average over the samples;
    ``low`` and ``high`` are a standard error apart from it, of the bin to its left; ``samples`` in that bin.
    """
    column = inputs[:, place].detach().cpu().numpy().astype(np.float64)
    edges = _quantiles(column, bins + 1)
    if len(edges) < 2:
        return pd.DataFrame([("ale", float(column[0]), 0.0, 0.0, 0.0, len(column))], columns=COLUMNS)
    own = np.clip(np.searchsorted(edges, column, side="left") - 1, 0, len(edges) - 2)
    lower, upper = (_with(function, inputs, place, edges[own + side]) for side in (0, 1))
    change = upper - lower
    count = np.bincount(own, minlength=len(edges) - 1)
    held = np.maximum(count, 1)
    mean = np.bincount(own, change, minlength=len(edges) - 1) / held
    square = np.bincount(own, change**2, minlength=len(edges) - 1) / held
    error = np.sqrt(np.maximum(square - mean**2, 0.0) / held)
    effect = np.concatenate([[0.0], np.cumsum(mean)])
    effect -= (count * (effect[:-1] + effect[1:]) / 2.0).sum() / count.sum()
    error, count = np.concatenate([[0.0], error]), np.concatenate([[0], count])
    return pd.DataFrame(
        {
            "curve": "ale",
            "value": edges,
            "response": effect,
            "low": effect - error,
            "high": effect + error,
            "samples": count,
        }
    )


def _with(function: Function, inputs: Tensor, place: int, values: Array) -> Array:
    moved = inputs.clone()
    moved[:, place] = torch.from_numpy(values).to(inputs)
    return answers(function, moved)


def _quantiles(column: Array, count: int) -> Array:
    """Give rising quantiles from the least to the largest value, each once."""
    found: Array = np.unique(np.quantile(column, np.linspace(0.0, 1.0, count)))
    return found
