"""Attributions by gradients: integrated gradients and SmoothGrad.

The answer's change from a baseline is divided among the inputs. Plain functions of a
:data:`thalweg.evaluation.interpretation.question.Function`, so that a network can be asked through the
physics behind it, where every sample has weather of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thalweg.evaluation.interpretation.question import Function

STEPS, MOST_STEPS = 32, 512
WORTH_MORE = 0.8  # of the error before: doubling the steps should bring it below that
TOLERANCE = 0.01  # of the root mean square of the differences that are to be explained


@dataclass(frozen=True)
class Integrated:
    """Integrated gradients and how complete they are.

    Attributes
    ----------
    values : attributions, of the inputs' shape, in the answer's units.
    difference : ``(sample,)``, the answer less that at the baseline: what the attributions should add up to.
    error : root mean square of what they miss, over that of ``difference``.
    steps : along the path.
    """

    values: Tensor
    difference: Tensor
    error: float
    steps: int

    @property
    def complete(self) -> bool:
        """Whether the attributions add up to within 1 %."""
        return self.error <= TOLERANCE


def integrated_gradients(
    function: Function, inputs: Tensor, baseline: Tensor, *, steps: int = STEPS, most: int = MOST_STEPS
) -> Integrated:
    """Give integrated gradients: Sundararajan et al. (2017), 10.48550/arXiv.1703.01365, eq. 1.

    The path from baseline to input is integrated by Gauss and Legendre's rule, with twice the steps until the
    attributions add up to within 1 %, twice the steps bring nothing, or ``most`` steps are reached. Where an
    answer jumps, as physics does where rain turns to snow at a threshold, no number of steps is enough.

    Parameters
    ----------
    inputs : ``(sample, feature)`` or ``(sample, time, feature)``.
    baseline : what stands for absence; of the inputs' shape or broadcast to it.
    """
    start = baseline.to(inputs).expand(inputs.shape)
    with torch.no_grad():
        difference = function(inputs) - function(start)
    before = np.inf
    while True:
        values = (inputs - start) * _mean_gradient(function, start, inputs, steps)
        missed = values.flatten(1).sum(1) - difference
        error = _root_mean_square(missed) / max(_root_mean_square(difference), 1e-12)
        if error <= TOLERANCE or 2 * steps > most or error > WORTH_MORE * before:
            return Integrated(values, difference, error, steps)
        steps, before = 2 * steps, error


def smooth_gradient(
    function: Function,
    inputs: Tensor,
    generator: torch.Generator,
    *,
    noise: float = 0.15,
    draws: int = 32,
) -> Tensor:
    """Give the gradient averaged over noisy copies (SmoothGrad).

    Smilkov et al. (2017), 10.48550/arXiv.1706.03825.

    Parameters
    ----------
    noise : its standard deviation, as a share of each feature's over the samples (and time).

    Returns
    -------
    Tensor of the inputs' shape: the answer's change for one unit of a feature.
    """
    spread = noise * inputs.flatten(0, -2).std(0, unbiased=False)
    total = torch.zeros_like(inputs)
    for _ in range(draws):
        shift = torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype).to(inputs.device)
        total += gradient(function, inputs + spread * shift)
    return total / draws


def gradient(function: Function, inputs: Tensor) -> Tensor:
    """Give the gradient of each sample's answer with regard to its own inputs; zero where there is none."""
    at = inputs.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        answer = function(at)
        if not answer.requires_grad:
            return torch.zeros_like(inputs)
        (found,) = torch.autograd.grad(answer.sum(), at, allow_unused=True)
    return torch.zeros_like(inputs) if found is None else found


def _mean_gradient(function: Function, start: Tensor, end: Tensor, steps: int) -> Tensor:
    places, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(end)
    for place, weight in zip((places + 1.0) / 2.0, weights / 2.0, strict=True):
        total += float(weight) * gradient(function, start + float(place) * (end - start))
    return total


def _root_mean_square(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())
