"""Run a process model over time: one entry, several backends that give the same numbers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from weakref import WeakSet

import torch
from torch import Tensor

from thalweg.models.engine import eager, fused
from thalweg.models.process import Parameter, ProcessModel, State, Variable, names

Backend = Literal["auto", "eager", "fused"]
Declared = Sequence[Variable | State | Parameter]


@dataclass(frozen=True)
class Simulation:
    """What a simulation gives, by name.

    Attributes
    ----------
    fluxes : ``(time, site, component)`` tensors for the days after warm-up, in declared units.
    states : the same for the states asked for, at the end of each day.
    final : ``(site, component)`` states after the last day, from which to go on.
    """

    fluxes: dict[str, Tensor]
    states: dict[str, Tensor]
    final: dict[str, Tensor]


def simulate(
    process: ProcessModel,
    forcing: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    *,
    initial: Mapping[str, Tensor] | None = None,
    warmup: int = 0,
    fluxes: Sequence[str] | None = None,
    states: Sequence[str] = (),
    backend: Backend = "auto",
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
    backend : ``eager`` (a loop of torch operations: the reference), ``fused`` (one compiled kernel
        forward, one backward) or ``auto`` (fused where it can, otherwise eager).

    Raises
    ------
    ValueError
        When a name is missing or unknown, shapes disagree, or no day is left after warm-up.
    """
    flux_names = names(process.fluxes) if fluxes is None else tuple(dict.fromkeys(fluxes))
    state_names = tuple(dict.fromkeys(states))
    _check_names(process, forcing, parameters, initial, flux_names, state_names)
    series = {name: t if t.dim() == 3 else t.unsqueeze(-1) for name, t in forcing.items()}
    days, shape = _common_shape(process, series, parameters, initial or {})
    if not 0 <= warmup < days:
        raise ValueError(f"warm-up of {warmup} days in a record of {days} days leaves nothing to simulate")

    some = next(iter(parameters.values()))
    state = {
        item.name: some.new_full(shape, item.initial) if initial is None else initial[item.name].expand(shape)
        for item in process.states
    }
    run = _backend(process, [*series.values(), *parameters.values(), *state.values()], backend)
    return Simulation(*run(process, series, dict(parameters), state, flux_names, state_names, warmup))


def _backend(process: ProcessModel, tensors: Sequence[Tensor], backend: Backend) -> eager.Run:
    if backend not in ("auto", "eager", "fused"):
        raise ValueError(f"unknown backend {backend!r}: use auto, eager or fused")
    if backend == "fused":
        return fused.run
    if backend == "eager" or not fused.takes(tensors):
        return eager.run
    try:
        fused.program_of(process, tensors[0].dtype)
    except fused.UnsupportedOperation as error:
        _warn_once(process, error)
        return eager.run
    return fused.run


_warned: WeakSet[type[ProcessModel]] = WeakSet()


def _warn_once(process: ProcessModel, error: Exception) -> None:
    if type(process) not in _warned:
        _warned.add(type(process))
        warnings.warn(f"{error}; running the slower eager backend", RuntimeWarning, stacklevel=4)


def _check_names(
    process: ProcessModel,
    forcing: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    initial: Mapping[str, Tensor] | None,
    flux_names: tuple[str, ...],
    state_names: tuple[str, ...],
) -> None:
    label = type(process).__name__
    exact: list[tuple[str, Mapping[str, Tensor], Declared]] = [
        ("forcing", forcing, process.forcings),
        ("parameter", parameters, process.parameters),
    ]
    if initial is not None:
        exact.append(("initial state", initial, process.states))
    for what, given, declared in exact:
        missing = sorted(set(names(declared)) - set(given))
        unknown = sorted(set(given) - set(names(declared)))
        if missing or unknown:
            raise ValueError(
                f"{label}: {what} missing {missing}, unknown {unknown}; it takes {names(declared)}"
            )
    series: list[tuple[str, tuple[str, ...], Declared]] = [
        ("flux", flux_names, process.fluxes),
        ("state", state_names, process.states),
    ]
    for what, asked, among in series:
        unknown = sorted(set(asked) - set(names(among)))
        if unknown:
            raise ValueError(f"{label} has no {what} {unknown}; it has {names(among)}")


def _common_shape(
    process: ProcessModel,
    series: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    initial: Mapping[str, Tensor],
) -> tuple[int, torch.Size]:
    """Give the number of days and the shape ``(site, component)`` that all tensors share."""
    label = type(process).__name__
    timed = {name: t for name, t in {**series, **parameters}.items() if t.dim() == 3}
    lengths = {name: t.shape[0] for name, t in timed.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{label}: series differ in their number of days: {lengths}")
    shapes = [t.shape[-2:] for t in (*series.values(), *parameters.values(), *initial.values())]
    try:
        return next(iter(lengths.values())), torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        found = {name: tuple(t.shape) for name, t in {**series, **parameters, **initial}.items()}
        raise ValueError(f"{label}: shapes (time, site, component) disagree: {found}") from error
