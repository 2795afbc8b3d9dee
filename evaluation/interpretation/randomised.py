"""Does an explanation depend on what the network learned? It must change when the weights are shuffled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from thalweg.evaluation.interpretation.question import Array

MOST_ALIKE = 0.5  # mean rank correlation above which an explanation hardly looked at the weights
Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Randomised:
    """How an explanation changes with the weights.

    Attributes
    ----------
    alike : mean over samples and draws of the rank correlation between a sample's attributions by the
        trained network and by the shuffled one; 0: nothing in common, 1: the weights did not matter. Signs
        count: sizes alone go with those of the inputs, whatever the network.
    lowest, highest : over the draws.
    """

    alike: float
    lowest: float
    highest: float

    @property
    def passes(self) -> bool:
        """Whether the explanation depends on the weights."""
        return bool(self.alike <= MOST_ALIKE)


def randomised_weights(
    model: Net, explain: Callable[[Net], Tensor], generator: torch.Generator, *, draws: int = 5
) -> Randomised:
    """Explain copies of a network with shuffled weights: Adebayo et al. (2018), 10.48550/arXiv.1810.03292.

    The numbers of each weight tensor are shuffled among themselves, so that their sizes stay as trained.

    Parameters
    ----------
    explain : gives attributions of a model, ``(sample, feature)`` or ``(sample, time, feature)``.
    """
    trained = _by_sample(explain(model))
    found = [_agreement(trained, _by_sample(explain(shuffled(model, generator)))) for _ in range(draws)]
    return Randomised(float(np.mean(found)), min(found), max(found))


def shuffled(model: Net, generator: torch.Generator) -> Net:
    """Give a copy whose trained numbers are shuffled within each tensor."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for values in other.parameters():
            order = torch.randperm(values.numel(), generator=generator).to(values.device)
            values.copy_(values.flatten()[order].reshape(values.shape))
    return other


def _by_sample(attributions: Tensor) -> Array:
    values: Array = attributions.detach().flatten(1).cpu().numpy().astype(np.float64)
    return values


def _agreement(first: Array, second: Array) -> float:
    """Give the mean over samples of the rank correlation over features; 0 where one has no order."""
    a, b = (rankdata(values, axis=1) for values in (first, second))
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    product = (a * b).sum(axis=1)
    return float(np.divide(product, norm, out=np.zeros_like(product), where=norm > 0.0).mean())
