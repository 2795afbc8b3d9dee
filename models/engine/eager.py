"""The reference backend: a Python loop over the days, gradients by autograd, any device."""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.models.engine.request import Over, Request, Results, Tensors
from thalweg.models.process import ProcessModel, names


def run(
    process: ProcessModel, forcing: Tensors, parameters: Tensors, state: Tensors, request: Request
) -> Results:
    """Step through the days; see :data:`thalweg.models.engine.request.Run` for the arguments."""
    days, warmup = next(iter(forcing.values())).shape[0], request.warmup
    if warmup:
        with torch.no_grad():
            early = Request(fluxes=(), states=())
            state = _run(process, forcing, parameters, state, early, range(warmup)).final
    return _run(process, forcing, parameters, state, request, range(warmup, days))


def _run(
    process: ProcessModel,
    forcing: Tensors,
    parameters: Tensors,
    state: Tensors,
    request: Request,
    days: range,
) -> Results:
    current = process.CurrentState(**state)
    shape = current[0].shape
    fluxes: dict[str, list[Tensor]] = {name: [] for name in request.fluxes}
    states: dict[str, list[Tensor]] = {name: [] for name in request.states}
    on_days: dict[str, list[Tensor]] = {name: [] for name in names(process.states)}
    static = {name: p.expand(shape) for name, p in parameters.items() if p.dim() == 2}
    varying = {name: p for name, p in parameters.items() if p.dim() == 3}
    for number, day in enumerate(days):
        today = process.Forcing(**{name: series[day].expand(shape) for name, series in forcing.items()})
        moving = {name: series[day].expand(shape) for name, series in varying.items()}
        current, flux = process.step(today, current, process.Parameters(**static, **moving))
        for name, kept in fluxes.items():
            kept.append(together(getattr(flux, name), request.over))
        for name, kept in states.items():
            kept.append(together(getattr(current, name), request.over))
        if number in request.state_days:
            for name, kept in on_days.items():
                kept.append(getattr(current, name))
    final = dict(zip(on_days, current, strict=True))
    return Results(_stack(fluxes), _stack(states), final, _stack(on_days))


def together(values: Tensor, over: Over | None) -> Tensor:
    """Bring components, the last axis, together."""
    if over is None:
        return values
    return values.mean(-1) if over == "mean" else values.sum(-1)


def _stack(series: dict[str, list[Tensor]]) -> Tensors:
    return {name: torch.stack(kept) for name, kept in series.items() if kept}
