"""Shapley values: the answer's distance from its mean, divided fairly among features or groups of them.

Interventional: features that are left out take the values of background samples, whatever the others are
(Janzing et al. 2020, 10.48550/arXiv.1910.13413). Lundberg and Lee (2017), 10.48550/arXiv.1705.07874.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thalweg.evaluation.interpretation.question import Array, Function, answers

EVALUATIONS = 2000  # of the function on all samples

# (groups that are there, background sample for the others) -> answers
Ask = Callable[[Sequence[int], Tensor], Array]


@dataclass(frozen=True)
class Shapley:
    """Shapley values of all samples.

    Attributes
    ----------
    values : ``(sample, group)``, in the answer's units.
    groups : names, in order.
    base : ``(sample,)``, the mean answer with every feature from the background.
    answer : ``(sample,)``; ``base`` and a sample's values add up to it.
    error : ``(sample, group)`` standard error; zero where exact.
    exact : whether all coalitions were asked, rather than some orders drawn.
    """

    values: Array
    groups: tuple[str, ...]
    base: Array
    answer: Array
    error: Array
    exact: bool

    @property
    def missed(self) -> float:
        """What the values miss of ``answer - base``: root mean square over that of the difference."""
        difference = self.answer - self.base
        rest = self.values.sum(1) - difference
        return float(np.sqrt((rest**2).mean()) / max(np.sqrt((difference**2).mean()), 1e-12))


def shapley_values(
    function: Function,
    inputs: Tensor,
    background: Tensor,
    groups: Mapping[str, Sequence[int]],
    generator: torch.Generator,
    *,
    evaluations: int = EVALUATIONS,
) -> Shapley:
    """Give Shapley values, exact where all coalitions fit into ``evaluations``.

    Otherwise orders of the groups are drawn, each and its reverse (antithetic: Mitchell et al. 2022,
    10.48550/arXiv.2104.12199), with the background samples in turn; the values add up all the same.

    Parameters
    ----------
    inputs : ``(sample, feature)`` or ``(sample, time, feature)``.
    background : ``(background, ...)`` of the same shape otherwise.
    groups : places of the features along the last axis, by name of the group.
    evaluations : how often all samples may be asked, about.

    Raises
    ------
    ValueError
        When there is no group or no background.
    """
    if not groups or not len(background):
        raise ValueError(f"Shapley values of {len(groups)} groups on {len(background)} background samples")
    masks = torch.zeros(len(groups), inputs.shape[-1], dtype=torch.bool, device=inputs.device)
    for row, places in enumerate(groups.values()):
        masks[row, list(places)] = True

    def ask(coalition: Sequence[int], behind: Tensor) -> Array:
        given = masks[list(coalition)].any(0)
        return answers(function, torch.where(given, inputs, behind.to(inputs)))

    if 2 ** len(groups) * len(background) <= evaluations:
        values, base, error = _exact(ask, len(groups), background)
    else:
        pairs = max(2, evaluations // (2 * len(groups) + 1))
        pairs -= pairs % len(background) if pairs > len(background) else 0  # each of them as often
        values, base, error = _sampled(ask, len(groups), background, generator, pairs)
    answer = answers(function, inputs)
    return Shapley(values, tuple(groups), base, answer, error, not error.any())


def _exact(ask: Ask, count: int, background: Tensor) -> tuple[Array, Array, Array]:
    """Weigh what each group adds to every coalition of the others: Shapley (1953)."""
    means: dict[frozenset[int], Array] = {}
    for size in range(count + 1):
        for coalition in itertools.combinations(range(count), size):
            found = [ask(coalition, behind) for behind in background]
            means[frozenset(coalition)] = np.mean(found, axis=0)
    values = np.zeros((len(means[frozenset()]), count))
    for coalition_set, mean in means.items():
        for group in set(range(count)) - coalition_set:
            size = len(coalition_set)
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            values[:, group] += weight * (means[coalition_set | {group}] - mean)
    return values, means[frozenset()], np.zeros_like(values)


def _sampled(
    ask: Ask, count: int, background: Tensor, generator: torch.Generator, pairs: int
) -> tuple[Array, Array, Array]:
    turn = itertools.cycle(torch.randperm(len(background), generator=generator).tolist())
    sums, bases = [], []
    for _ in range(pairs):
        order = torch.randperm(count, generator=generator).tolist()
        behind = background[next(turn)]
        base = ask([], behind)
        gains = [np.zeros((len(base), count)) for _ in range(2)]
        for gain, sequence in zip(gains, (order, order[::-1]), strict=True):
            before = base
            for place, group in enumerate(sequence):
                after = ask(sequence[: place + 1], behind)
                gain[:, group] = after - before
                before = after
        sums.append((gains[0] + gains[1]) / 2.0)
        bases.append(base)
    drawn = np.stack(sums)
    error = drawn.std(axis=0, ddof=1) / np.sqrt(pairs)
    return drawn.mean(axis=0), np.mean(bases, axis=0), np.maximum(error, np.finfo(float).tiny)
