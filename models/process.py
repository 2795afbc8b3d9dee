"""What a process model is: a declaration and one step, from which everything else follows."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Variable:
    """A forcing or a flux: its name, its unit and what it is."""

    name: str
    units: str
    description: str = ""


@dataclass(frozen=True)
class State:
    """A quantity carried from step to step, with the value it starts from."""

    name: str
    units: str
    initial: float
    description: str = ""


@dataclass(frozen=True)
class Parameter:
    """A quantity to be calibrated or learned, with the range it must stay in."""

    name: str
    units: str
    lower: float
    upper: float
    description: str = ""


@dataclass(frozen=True)
class Balance:
    """What is conserved: inflow - outflow = change of the stored states, at every step.

    All names refer to forcings or fluxes (``inflow``, ``outflow``) and states (``stored``)
    that share one unit of depth, such as mm/day and mm.
    """

    inflow: tuple[str, ...]
    outflow: tuple[str, ...]
    stored: tuple[str, ...]


class ProcessModel:
    """Physics as a pure one-step function, elementwise over sites and components.

    A subclass declares ``forcings``, ``states``, ``parameters``, ``fluxes`` and, when something is
    conserved, ``balance``; and writes :meth:`step`. It holds no tensors and no loop: the engine
    (:func:`thalweg.models.engine.simulate`) runs it over time.
    """

    forcings: ClassVar[tuple[Variable, ...]]
    states: ClassVar[tuple[State, ...]]
    parameters: ClassVar[tuple[Parameter, ...]]
    fluxes: ClassVar[tuple[Variable, ...]]
    balance: ClassVar[Balance | None] = None
    routed: ClassVar[bool] = False  # whether its discharge has been routed to the gauge already

    # The class whose step this one wraps, where it is made from another.
    plain: ClassVar[type[ProcessModel] | None] = None

    # Named tuples of tensors, made from the declaration: what `step` is given and gives back.
    Forcing: ClassVar[Callable[..., Any]]
    CurrentState: ClassVar[Callable[..., Any]]
    Parameters: ClassVar[Callable[..., Any]]
    Fluxes: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for attribute, declared in (
            ("Forcing", "forcings"),
            ("CurrentState", "states"),
            ("Parameters", "parameters"),
            ("Fluxes", "fluxes"),
        ):
            if not hasattr(cls, declared):
                raise TypeError(f"process model {cls.__name__} does not declare `{declared}`")
            listed = [item.name for item in getattr(cls, declared)]
            twice = {name for name in listed if listed.count(name) > 1}
            if twice:
                raise TypeError(f"{cls.__name__}.{declared} has {min(twice)!r} twice")
            setattr(cls, attribute, namedtuple(attribute, listed))
        for item in cls.parameters:
            if not (math.isfinite(item.lower) and math.isfinite(item.upper) and item.lower < item.upper):
                raise TypeError(
                    f"{cls.__name__}: parameter {item.name!r} ranges from {item.lower} to {item.upper}; "
                    "the first must be the smaller, and both finite"
                )
        _check_balance(cls)
        if not cls.states:
            raise TypeError(f"process model {cls.__name__} declares no state: nothing goes on after a step")

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one time step.

        Parameters
        ----------
        forcing, state, parameter : named tuples of tensors of one shape ``(site, component)``,
            in the declared units.

        Returns
        -------
        state, flux : ``self.CurrentState(...)`` at the end of the step and ``self.Fluxes(...)``
            during it, same shape.
        """
        raise NotImplementedError

    @classmethod
    def parameter(cls, name: str) -> Parameter:
        """Give the declared parameter of this name; ``KeyError`` when there is none."""
        for item in cls.parameters:
            if item.name == name:
                return item
        raise KeyError(f"{cls.__name__} has no parameter {name!r}; it has {names(cls.parameters)}")


def names(items: Sequence[Variable | State | Parameter]) -> tuple[str, ...]:
    """Give the names of declared items, in their order."""
    return tuple(item.name for item in items)


def plain_kind(process: ProcessModel) -> type[ProcessModel]:
    """Give the class that a person wrote, under those that wrap it."""
    kind = type(process)
    while kind.plain is not None:
        kind = kind.plain
    return kind


def mass_residual(
    process: type[ProcessModel] | ProcessModel,
    forcing: dict[str, Tensor],
    fluxes: dict[str, Tensor],
    initial: dict[str, Tensor],
    final: dict[str, Tensor],
) -> Tensor:
    """Give inflow - outflow - change of storage over a whole simulation.

    Parameters
    ----------
    forcing : ``(time, site)`` or ``(time, site, component)`` tensors by name (mm/day).
    fluxes : ``(time, site, component)`` tensors by name (mm/day), every outflow among them.
    initial, final : states before the first and after the last day, ``(site, component)`` (mm).

    Returns
    -------
    Tensor ``(site, component)`` (mm): zero for a model that conserves mass.
    """
    balance = process.balance
    if balance is None:
        raise ValueError(f"{process!r} declares no balance")
    some = next(iter(final.values()))
    total = some.new_zeros(some.shape)

    def through_time(name: str) -> Tensor:
        series = fluxes[name] if name in fluxes else forcing[name]
        total_over_time = series.sum(0)
        return total_over_time if total_over_time.dim() == 2 else total_over_time.unsqueeze(-1)

    for name in balance.inflow:
        total = total + through_time(name)
    for name in balance.outflow:
        total = total - through_time(name)
    for name in balance.stored:
        total = total - (final[name] - initial[name])
    return total


def _check_balance(cls: type[ProcessModel]) -> None:
    if cls.balance is None:
        return
    series = {*names(cls.forcings), *names(cls.fluxes)}
    for name in (*cls.balance.inflow, *cls.balance.outflow):
        if name not in series:
            raise TypeError(f"{cls.__name__}.balance names {name!r}, which is no forcing or flux")
    for name in cls.balance.stored:
        if name not in names(cls.states):
            raise TypeError(f"{cls.__name__}.balance names {name!r}, which is no state")
