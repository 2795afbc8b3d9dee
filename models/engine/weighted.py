"""A process model whose components count by a weight: the weight becomes part of the step."""

from __future__ import annotations

import copy
import functools
from typing import Any, cast

from thalweg.models.process import Parameter, ProcessModel, Variable

WEIGHT = "component_weight"


def weighted(process: ProcessModel, states: tuple[str, ...]) -> ProcessModel:
    """Give the process whose fluxes are multiplied by the parameter ``component_weight``.

    Each of ``states`` becomes a flux too, ``weighted_<name>``: it is the weighted value at the end of the
    step, while the state itself goes on unweighted. The gradient to the weights then comes with all others.
    """
    new, kind = copy.copy(process), cast("Any", type(process))
    new.__class__ = _weighted_class(kind, states)
    return new


def weighted_name(state: str) -> str:
    """Give the name of the flux that carries a weighted state."""
    return f"weighted_{state}"


@functools.cache
def _weighted_class(kind: Any, states: tuple[str, ...]) -> Any:
    def step(self: ProcessModel, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        plain = copy.copy(self)
        plain.__class__ = kind
        after, flux = plain.step(forcing, state, kind.Parameters(*parameter[:-1]))
        weight = getattr(parameter, WEIGHT)
        carried = [getattr(after, name) * weight for name in states]
        return after, self.Fluxes(*(value * weight for value in flux), *carried)

    units = {item.name: item.units for item in kind.states}
    members = {
        "step": step,
        "plain": kind,
        "balance": None,
        "parameters": (*kind.parameters, Parameter(WEIGHT, "1", 0.0, 1.0)),
        "fluxes": (*kind.fluxes, *(Variable(weighted_name(name), units[name]) for name in states)),
    }
    return type(f"{kind.__name__}Weighted", (kind,), members)
