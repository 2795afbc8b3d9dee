"""Permutation importance: how much worse the answers are when a group of features is shuffled over samples.

Marginal shuffling also makes combinations that no river has; conditional shuffling only swaps samples that
are alike in all other features, and so asks what a group adds to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr
from torch import Tensor

from thalweg.evaluation.interpretation.question import Array, Function, answers

CORRELATED = 0.7  # absolute rank correlation above which features are taken together
FEWEST_ALIKE = 5  # samples in a subgroup that are swapped with one another
PRUNINGS = (0.0, 0.01, 0.03, 0.1, 10.0)  # of the variance that a split must explain; the last leaves no split


def permutation_importance(
    function: Function,
    inputs: Tensor,
    groups: Mapping[str, Sequence[int]],
    random: np.random.Generator,
    *,
    observed: Array | None = None,
    conditional: bool = False,
    repeats: int = 10,
) -> pd.DataFrame:
    """Shuffle each group's features together, over samples.

    Breiman (2001), 10.1023/A:1010933404324; conditional subgroups by a regression tree of the group on all
    other features: Molnar et al. (2023), 10.1007/s10618-022-00901-9.

    Parameters
    ----------
    inputs : ``(sample, feature)`` or ``(sample, time, feature)``; a series is moved as a whole.
    observed : ``(sample,)``, what the answers should be; their own values if absent, which asks for what the
        answer depends on, right or wrong.

    Returns
    -------
    Table with the columns ``feature`` (the group), ``importance`` (rise of the mean squared error over the
    variance of ``observed``), ``deviation`` (standard deviation over repeats), ``conditional``,
    ``subgroups``.
    """
    plain = answers(function, inputs)
    truth = plain if observed is None else np.asarray(observed, dtype=np.float64)
    known = np.isfinite(truth)
    variance = float(truth[known].var())
    before = float(((plain - truth)[known] ** 2).mean())
    summary = inputs.detach().cpu().numpy().astype(np.float64)
    summary = summary.mean(1) if summary.ndim == 3 else summary
    rows = []
    for name, places in groups.items():
        classes = subgroups(summary, places) if conditional else np.zeros(len(inputs), dtype=np.int64)
        rises = []
        for _ in range(repeats):
            order = torch.from_numpy(shuffled_within(classes, random)).to(inputs.device)
            moved = inputs.clone()
            moved[..., list(places)] = inputs[order][..., list(places)]
            after = float(((answers(function, moved) - truth)[known] ** 2).mean())
            rises.append((after - before) / variance if variance > 0.0 else np.nan)
        rows.append(
            (name, float(np.mean(rises)), float(np.std(rises)), conditional, int(classes.max(initial=0)) + 1)
        )
    return pd.DataFrame(rows, columns=["feature", "importance", "deviation", "conditional", "subgroups"])


def subgroups(inputs: Array, places: Sequence[int], fewest: int = FEWEST_ALIKE) -> NDArray[np.int64]:
    """Give each sample's subgroup, ``(sample,)``: leaves of a tree that predicts the group from the rest."""
    from sklearn.model_selection import cross_val_score
    from sklearn.tree import DecisionTreeRegressor

    alone = np.zeros(len(inputs), dtype=np.int64)
    rest, own = np.delete(inputs, list(places), axis=1), inputs[:, list(places)]
    spread = own.std(axis=0)
    if not rest.shape[1] or len(inputs) < 4 * fewest or not spread.any():
        return alone
    target = own / np.where(spread > 0.0, spread, 1.0)
    # pruned as cross-validation says, to nothing where the rest predicts nothing
    scores = {}
    for pruning in PRUNINGS:
        tree = DecisionTreeRegressor(min_samples_leaf=fewest, ccp_alpha=pruning, random_state=0)
        scores[pruning] = cross_val_score(tree, rest, target, cv=3, scoring="neg_mean_squared_error").mean()
    best = max(scores, key=lambda pruning: scores[pruning])
    tree = DecisionTreeRegressor(min_samples_leaf=fewest, ccp_alpha=best, random_state=0)
    leaves = tree.fit(rest, target).apply(rest)
    found: NDArray[np.int64] = np.unique(leaves, return_inverse=True)[1].astype(np.int64)
    return found


def shuffled_within(classes: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Give an order of the samples in which each is replaced by one of its own class."""
    order = np.arange(len(classes))
    for value in np.unique(classes):
        members = np.flatnonzero(classes == value)
        order[members] = random.permutation(members)
    return order


def single_groups(features: Iterable[str]) -> dict[str, list[int]]:
    """Give each feature as a group of its own."""
    return {name: [place] for place, name in enumerate(features)}


def correlated_groups(
    inputs: Array, features: Sequence[str], threshold: float = CORRELATED
) -> dict[str, list[int]]:
    """Take features together that say the same: average linkage on 1 - absolute rank correlation.

    Parameters
    ----------
    inputs : ``(sample, feature)``. A constant feature correlates with none.

    Returns
    -------
    dict : places of the features by the names joined with ``+``, in the features' order.
    """
    if len(features) < 2 or len(inputs) < 3:
        return single_groups(features)
    moving = np.flatnonzero(np.ptp(inputs, axis=0) > 0.0)
    label = -np.arange(1, len(features) + 1)
    if len(moving) > 1:
        correlation = np.eye(len(moving))
        ranks = spearmanr(inputs[:, moving]).statistic
        correlation = np.abs(ranks) if len(moving) > 2 else np.array([[1.0, abs(ranks)], [abs(ranks), 1.0]])
        distance = squareform(np.clip(1.0 - correlation, 0.0, None), checks=False)
        label[moving] = fcluster(linkage(distance, "average"), 1.0 - threshold, "distance")
    groups: dict[int, list[int]] = {}
    for place, number in enumerate(label.tolist()):
        groups.setdefault(number, []).append(place)
    return {"+".join(features[place] for place in places): places for places in groups.values()}
