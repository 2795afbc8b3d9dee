"""A process model on raw numbers: the map into parameter ranges becomes part of the compiled step."""

from __future__ import annotations

import copy
import functools
from typing import Any, cast

import torch
from torch import Tensor

from thalweg.models.process import Parameter, ProcessModel


def to_range(raw: Tensor, parameter: Parameter) -> Tensor:
    """Map any real number into the parameter's range by a scaled sigmoid (same shape).

    The gradient is finite everywhere and tends to zero at the bounds.
    """
    return parameter.lower + (parameter.upper - parameter.lower) * torch.sigmoid(raw)


def of_raw(process: ProcessModel) -> ProcessModel:
    """Give the process that takes any real number for each parameter, as a network puts them out.

    It maps them into their ranges with :func:`to_range` inside the step. For
    parameters that vary in time this saves several passes over arrays of ``(time, site, component)``,
    which take longer than the simulation; the results are the same.
    """
    raw, kind = copy.copy(process), cast("Any", type(process))
    raw.__class__ = _class_on_raw(kind)
    return raw


@functools.cache
def _class_on_raw(kind: Any) -> Any:
    def step(self: ProcessModel, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        mapped = (to_range(getattr(parameter, item.name), item) for item in self.parameters)
        result: tuple[Any, Any] = kind.step(self, forcing, state, self.Parameters(*mapped))
        return result

    return type(f"{kind.__name__}OnRaw", (kind,), {"step": step, "plain": kind})
