"""The reference backend: a Python loop over the days, gradients by autograd, any device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from thalweg.models.process import ProcessModel, names

Tensors = dict[str, Tensor]

# (process, forcing, parameters, state, flux names, state names, days of warm-up)
# -> (fluxes, states, final state), the series without the warm-up, which has no gradient.
# Forcing is (time, site, component); a parameter is that where it varies, (site, component) where not;
# every tensor broadcasts against the state's (site, component).
Run = Callable[
    [ProcessModel, Tensors, Tensors, Tensors, tuple[str, ...], tuple[str, ...], int],
    tuple[Tensors, Tensors, Tensors],
]


def run(
    process: ProcessModel,
    forcing: Tensors,
    parameters: Tensors,
    state: Tensors,
    flux_names: tuple[str, ...],
    state_names: tuple[str, ...],
    warmup: int,
) -> tuple[Tensors, Tensors, Tensors]:
    """Step through the days; see :data:`Run` for the arguments."""
    days = next(iter(forcing.values())).shape[0]
    if warmup:
        with torch.no_grad():
            state = _run(process, forcing, parameters, state, (), (), range(warmup))[2]
    return _run(process, forcing, parameters, state, flux_names, state_names, range(warmup, days))


def _run(
    process: ProcessModel,
    forcing: Tensors,
    parameters: Tensors,
    state: Tensors,
    flux_names: tuple[str, ...],
    state_names: tuple[str, ...],
    days: range,
) -> tuple[Tensors, Tensors, Tensors]:
    current = process.CurrentState(**state)
    shape = current[0].shape
    fluxes: dict[str, list[Tensor]] = {name: [] for name in flux_names}
    states: dict[str, list[Tensor]] = {name: [] for name in state_names}
    static = {name: p.expand(shape) for name, p in parameters.items() if p.dim() == 2}
    varying = {name: p for name, p in parameters.items() if p.dim() == 3}
    for day in days:
        today = process.Forcing(**{name: series[day].expand(shape) for name, series in forcing.items()})
        moving = {name: series[day].expand(shape) for name, series in varying.items()}
        current, flux = process.step(today, current, process.Parameters(**static, **moving))
        for name, kept in fluxes.items():
            kept.append(getattr(flux, name))
        for name, kept in states.items():
            kept.append(getattr(current, name))
    return _stack(fluxes), _stack(states), dict(zip(names(process.states), current, strict=True))


def _stack(series: dict[str, list[Tensor]]) -> Tensors:
    return {name: torch.stack(kept) for name, kept in series.items() if kept}
