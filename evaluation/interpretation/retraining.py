"""Remove and retrain: is what an explanation calls important also what a new model needs?

DiffROAR (Shah et al. 2021, 10.48550/arXiv.2102.12781, after Hooker et al. 2019, 10.48550/arXiv.1806.10758):
of every sample the features that are ranked highest are kept and the others replaced by their mean; a model
is trained anew on that, and another on what is ranked lowest. The first should do better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import pdist, squareform

from thalweg.evaluation.interpretation.forest import r_squared
from thalweg.evaluation.interpretation.question import Array

SHARES = (0.25, 0.5)
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
# (inputs, target) -> answers ``(sample,)`` by a model that was not trained on the sample it answers
Fit = Callable[[Array, Array], Array]
COLUMNS = ["ranking", "share", "highest", "lowest", "score", "random", "random_highest", "passes"]


def leave_one_out(inputs: Array, target: Array) -> Array:
    """Give each sample's answer by kernel ridge regression on all others, ``(sample,)``.

    The kernel is Gaussian, as wide as the median distance of two samples; the ridge is the one of a few with
    the least error. The answers are those of as many trainings, in closed form (Rasmussen and Williams 2006,
    Gaussian Processes for Machine Learning, eq. 5.12).
    """
    spread = inputs.std(axis=0)
    distance = pdist(inputs / np.where(spread > 0.0, spread, 1.0), "sqeuclidean")
    moved = distance[distance > 0.0]
    kernel = np.exp(-squareform(distance) / (2.0 * np.median(moved) if len(moved) else 1.0))
    centred = target - target.mean()
    found = []
    for ridge in RIDGES:
        inverse = cho_solve(cho_factor(kernel + ridge * np.eye(len(target))), np.eye(len(target)))
        found.append(target - inverse @ centred / np.diag(inverse))
    errors = [((answer - target) ** 2).sum() for answer in found]
    best: Array = found[int(np.argmin(errors))]
    return best


def remove_and_retrain(
    inputs: Array,
    target: Array,
    rankings: Mapping[str, Array],
    random: np.random.Generator,
    *,
    shares: Sequence[float] = SHARES,
    fit: Fit = leave_one_out,
    repeats: int = 10,
) -> pd.DataFrame:
    """Score rankings of features by what models trained anew make of their ends.

    Parameters
    ----------
    inputs : ``(sample, feature)``.
    target : ``(sample,)``, what the models are trained to give.
    rankings : importance by name of what gave it, ``(sample, feature)`` or the same for all samples
        ``(feature,)``; its size counts, not its sign.
    shares : of the features that are kept.
    fit : trains a model.
    repeats : random rankings.

    Returns
    -------
    Table with ``COLUMNS``, one row a ranking and share: R² with the ``highest`` and with the ``lowest``
    features kept; ``score``, their difference; ``random`` and ``random_highest``, mean and highest score of
    rankings drawn for each sample; ``passes``: whether the score is above the highest, and above zero.
    """
    rows = []
    for share in shares:
        kept = max(1, round(share * inputs.shape[1]))

        def score(ranking: Array, kept: int = kept) -> tuple[float, float]:
            size = np.abs(np.broadcast_to(ranking, inputs.shape))
            highest, lowest = (_skill(inputs, target, sign * size, kept, fit) for sign in (1.0, -1.0))
            return highest, lowest

        drawn = [score(random.random(inputs.shape)) for _ in range(repeats)]
        chance = [highest - lowest for highest, lowest in drawn]
        about = float(np.mean(chance)), max(chance)
        for name, ranking in rankings.items():
            highest, lowest = score(ranking)
            passes = bool(highest - lowest > max(0.0, *chance))
            rows.append((name, share, highest, lowest, highest - lowest, *about, passes))
    return pd.DataFrame(rows, columns=COLUMNS)


def _skill(inputs: Array, target: Array, ranking: Array, kept: int, fit: Fit) -> float:
    """Give R² with the ``kept`` features alone that rank highest in each sample."""
    order = np.argsort(-ranking, axis=1, kind="stable")
    there = np.zeros(inputs.shape, dtype=bool)
    np.put_along_axis(there, order[:, :kept], True, axis=1)
    return r_squared(fit(np.where(there, inputs, inputs.mean(axis=0)), target), target)
