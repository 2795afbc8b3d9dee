"""Run a process model over time: one entry, several backends that give the same numbers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from torch import Tensor

from thalweg.models.engine import eager, fused
from thalweg.models.engine.checks import (
    check_dimensions,
    check_memory,
    check_names,
    check_state_days,
    common_shape,
)
from thalweg.models.engine.request import Request, Results, Run
from thalweg.models.engine.weighted import WEIGHT, weighted, weighted_name
from thalweg.models.process import ProcessModel, names, plain_kind

Backend = Literal["auto", "eager", "fused"]
# Bytes that a simulation may keep for its way back; see `set_memory_budget`.
_memory_budget = 4 << 30


@dataclass(frozen=True)
class Simulation:
    """What a simulation gives, by name.

    Attributes
    ----------
    fluxes : ``(time, site, component)`` tensors for the days after warm-up, in declared units;
        ``(time, site)`` where components are weighted.
    states : the same for the states asked for, at the end of each day.
    final : ``(site, component)`` states after the last day, from which to go on.
    on_days : ``(day, site, component)`` all states at the end of the chosen ``state_days``.
    """

    fluxes: dict[str, Tensor]
    states: dict[str, Tensor]
    final: dict[str, Tensor]
    on_days: dict[str, Tensor]


def set_memory_budget(size: int) -> None:
    """Set how many bytes a simulation may keep for its way back, in this process (4 GiB at first).

    What would take more is cut into segments that are simulated again on the way back: about a third
    more time, and the same results to the last bit.

    Raises
    ------
    ValueError
        When ``size`` is not positive.
    """
    global _memory_budget
    _memory_budget = check_memory(size)


def simulate(
    process: ProcessModel,
    forcing: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    *,
    initial: Mapping[str, Tensor] | None = None,
    warmup: int = 0,
    fluxes: Sequence[str] | None = None,
    states: Sequence[str] = (),
    state_days: Sequence[int] = (),
    weights: Tensor | Literal["mean"] | None = None,
    backend: Backend = "auto",
    memory: int | None = None,
) -> Simulation:
    """Run ``process`` over time.

    Parameters
    ----------
    forcing : ``(time, site)`` or ``(time, site, component)`` by name, in the declared units.
    parameters : ``(site, component)`` where static, ``(time, site, component)`` where they vary,
        by name, in the declared units.
    initial : states before the first day, ``(site, component)``; the declared ones if absent.
    warmup : days run first without gradient, left out of the result.
    fluxes, states : which series to give; all fluxes and no states if absent.
    state_days : days, counted from the end of warm-up, at whose end to give all states, in ascending order.
    weights : of the components in every series, ``(site, component)`` or ``(component,)``; or ``mean``.
        Components stay apart if absent. Weights may need gradients; nothing makes them sum to one.
    backend : ``eager`` (a loop of torch operations: the reference), ``fused`` (one compiled kernel
        forward, one backward) or ``auto`` (fused where it can, otherwise eager).
    memory : bytes that the fused backend may keep for the way back instead of those of
        :func:`set_memory_budget`. It changes the time, never the result.

    Raises
    ------
    ValueError
        When a name is missing or unknown, shapes disagree, no day is left after warm-up, or the memory
        is too little for any way of computing.
    """
    if not (weights is None or isinstance(weights, Tensor) or weights == "mean"):
        raise ValueError(f"weights {weights!r}: give a tensor or 'mean'; without, components stay apart")
    flux_names = names(process.fluxes) if fluxes is None else tuple(dict.fromkeys(fluxes))
    state_names = tuple(dict.fromkeys(states))
    check_names(process, forcing, parameters, initial, flux_names, state_names)
    check_dimensions(process, forcing, parameters, initial or {})
    series = {name: t if t.dim() == 3 else t.unsqueeze(-1) for name, t in forcing.items()}
    days, shape = common_shape(process, series, parameters, initial or {})
    if not 0 <= warmup < days:
        raise ValueError(f"warm-up of {warmup} days in a record of {days} days leaves nothing to simulate")

    chosen = check_state_days(state_days, days - warmup)

    some = next(iter((*parameters.values(), *series.values())))
    state = {
        item.name: some.new_full(shape, item.initial) if initial is None else initial[item.name].expand(shape)
        for item in process.states
    }
    request = Request(
        fluxes=flux_names,
        states=state_names,
        warmup=warmup,
        state_days=chosen,
        over="mean" if isinstance(weights, str) else None,
        memory=_memory_budget if memory is None else check_memory(memory),
    )
    if isinstance(weights, Tensor):
        return _simulate_weighted(process, series, parameters, state, request, weights, backend)
    found = _run(process, series, dict(parameters), state, request, backend)
    return Simulation(found.fluxes, found.states, found.final, found.on_days)


def _simulate_weighted(
    process: ProcessModel,
    series: dict[str, Tensor],
    parameters: Mapping[str, Tensor],
    state: dict[str, Tensor],
    request: Request,
    weights: Tensor,
    backend: Backend,
) -> Simulation:
    shape = next(iter(state.values())).shape
    try:
        weight = weights.expand(shape)
    except RuntimeError as error:
        raise ValueError(
            f"weights of shape {tuple(weights.shape)} do not fit (site, component) = {tuple(shape)}"
        ) from error
    heavy = weighted(process, request.states)
    carried = {name: weighted_name(name) for name in request.states}
    wanted = replace(request, fluxes=(*request.fluxes, *carried.values()), states=(), over="sum")
    found = _run(heavy, series, {**parameters, WEIGHT: weight}, state, wanted, backend)
    return Simulation(
        {name: found.fluxes[name] for name in request.fluxes},
        {name: found.fluxes[flux] for name, flux in carried.items()},
        found.final,
        found.on_days,
    )


def _run(
    process: ProcessModel,
    series: dict[str, Tensor],
    parameters: dict[str, Tensor],
    state: dict[str, Tensor],
    request: Request,
    backend: Backend,
) -> Results:
    run = _backend(process, [*series.values(), *parameters.values(), *state.values()], backend)
    return run(process, series, parameters, state, request)


def _backend(process: ProcessModel, tensors: Sequence[Tensor], backend: Backend) -> Run:
    if backend not in ("auto", "eager", "fused"):
        raise ValueError(f"unknown backend {backend!r}: use auto, eager or fused")
    if backend == "fused":
        return fused.run
    if backend == "eager":
        return eager.run
    try:
        some = fused.one_of(tensors)
        fused.program_of(process, some.dtype)
        fused.target_for(some, lanes=1)
    except fused.UnsupportedOperation as error:
        _warn_once(process, error)
        return eager.run
    return fused.run


_warned: WeakKeyDictionary[type[ProcessModel], set[str]] = WeakKeyDictionary()


def _warn_once(process: ProcessModel, error: Exception) -> None:
    told = _warned.setdefault(plain_kind(process), set())
    if str(error) not in told:
        told.add(str(error))
        text = f"{error}; running the slower eager backend"
        warnings.warn(text, RuntimeWarning, stacklevel=_outside(Path(__file__).parent))


def _outside(folder: Path) -> int:
    """Give the level of the first caller, seen from ours, whose file is not in a folder."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(folder):
        frame, level = frame.f_back, level + 1
    return level
