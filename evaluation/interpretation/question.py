"""A question to a trained model: one number a sample, as a function of what a network was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# ``(sample, feature)`` or ``(sample, time, feature)`` -> ``(sample,)``. Each sample decides its own answer
# alone, but may have a context that goes with its place, such as the weather of its site: so all samples are
# always given together and in order.
Function = Callable[[Tensor], Tensor]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """What to explain.

    Attributes
    ----------
    name, units : of the answer.
    function : see :data:`Function`.
    inputs : ``(sample, feature)`` or ``(sample, time, feature)``, as the network sees them.
    features : names along the last axis.
    samples : what each sample is, such as its site.
    """

    name: str
    units: str
    function: Function
    inputs: Tensor
    features: tuple[str, ...]
    samples: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.inputs.shape[-1] != len(self.features) or len(self.inputs) != len(self.samples):
            raise ValueError(
                f"question {self.name!r}: inputs of shape {tuple(self.inputs.shape)} for "
                f"{len(self.samples)} samples and {len(self.features)} features"
            )


def answers(function: Function, inputs: Tensor) -> Array:
    """Give a function's answers without gradient, ``(sample,)``."""
    with torch.no_grad():
        found = function(inputs)
    if found.shape != inputs.shape[:1]:
        raise ValueError(f"a question to {len(inputs)} samples got answers of shape {tuple(found.shape)}")
    values: Array = found.detach().cpu().numpy().astype(np.float64)
    return values
