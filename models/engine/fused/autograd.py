"""The fused backend as a torch function: tensors in, kernels forward, kernels back, tensors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from thalweg.models.engine.fused.back import WayBack
from thalweg.models.engine.fused.plan import Plan, plan_of
from thalweg.models.engine.fused.segments import Segments, cut
from thalweg.models.engine.fused.target import Arrays
from thalweg.models.engine.fused.task import Task, arrays_of, is_shared, march
from thalweg.models.engine.fused.tracing import UnsupportedOperation


def simulate(task: Task, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Give the series of ``task.outputs``, the final states, and where days are chosen those of them.

    States come in the order of the inputs.
    """
    if task.over is None and 2 * len(task.state_days) > task.days - task.warmup:
        return _chosen_from_series(task, tensors)
    if torch.is_grad_enabled() and any(_needed(task, [t.requires_grad for t in tensors])):
        results: tuple[Tensor, ...] = _Fused.apply(task, *tensors)  # type: ignore[no-untyped-call]
        return results
    return _forward(task, tensors, ())[0]


def _chosen_from_series(task: Task, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Take the states of most days out of their series, for each day alone takes a kernel's call."""
    more = tuple(name for name in task.states if name not in task.outputs)
    whole = replace(task, outputs=(*task.outputs, *more), state_days=())
    results = simulate(whole, tensors)
    series, final = dict(zip(whole.outputs, results, strict=False)), results[len(whole.outputs) :]
    days = torch.tensor(task.state_days, device=tensors[0].device)
    on_days = (series[name].index_select(0, days) for name in task.states)
    return (*results[: len(task.outputs)], *final, *on_days)


def _needed(task: Task, required: Sequence[bool]) -> tuple[str, ...]:
    """Give the inputs that gradients go to: behind a warm-up, states have none."""
    return tuple(
        name
        for name, is_required in zip(task.inputs, required, strict=True)
        if is_required and not (task.warmup and name.startswith("state."))
    )


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, task: Task, *tensors: Tensor) -> tuple[Tensor, ...]:
        results, ctx.plan, ctx.segments, kept = _forward(
            task, tensors, _needed(task, ctx.needs_input_grad[1:])
        )
        ctx.task = task
        ctx.save_for_backward(*kept, *tensors)
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise UnsupportedOperation(
                "the fused backend gives first derivatives alone, and create_graph=True asks for the second; "
                'simulate with backend="eager"'
            )
        number = len(ctx.task.inputs)
        if all(g is None for g in given):
            return (None,) * (1 + number)
        saved = ctx.saved_tensors  # read once: torch.utils.checkpoint allows no more
        kept, tensors = saved[:-number], saved[-number:]
        way = WayBack(ctx.task, ctx.plan, tensors, given, one=len(ctx.segments.spans) == 1)
        way.run(ctx.segments, kept)
        return (None, *(way.gradients.get(name) for name in ctx.task.inputs))


def _forward(
    task: Task, tensors: Sequence[Tensor], needed: tuple[str, ...]
) -> tuple[tuple[Tensor, ...], Plan, Segments, list[Tensor]]:
    """Give the results, the plan, the segments, and what the way back needs of each."""
    arrays, kinds = arrays_of(task, tensors)
    plan = plan_of(task.program, tuple(kinds.items()), task.outputs, needed, task.target)
    segments = _segments(task, plan, tensors)
    state = {name: arrays[name] for name in plan.states}
    if task.warmup:
        early = plan.variant(outputs=False, way_back=False)
        state = march(task, early, arrays, state, range(task.warmup), {})[0]
    like = tensors[0]
    size = (task.days - task.warmup, *(task.shape if task.over is None else task.shape[:1]))
    series = {name: task.target.empty(size, like) for name in task.outputs}
    chosen: list[Arrays] = []
    kept: list[Tensor] = []
    marching = plan.variant(outputs=True, way_back=False) if segments.recompute else plan
    for span in segments.spans:
        if segments.recompute:
            kept.append(torch.stack([state[name] for name in plan.states]))
        rows = slice(span.start - task.warmup, span.stop - task.warmup)
        state, record = march(task, marching, arrays, state, span, {n: s[rows] for n, s in series.items()})
        if needed and not segments.recompute:
            kept.append(record)
        if span.stop - 1 - task.warmup in task.state_days:
            chosen.append(state)
    on_days = [torch.stack([s[name] for s in chosen]) for name in plan.states] if chosen else []
    return (*series.values(), *state.values(), *on_days), plan, segments, kept


def _segments(task: Task, plan: Plan, tensors: Sequence[Tensor]) -> Segments:
    lane = task.shape[0] * task.shape[1] * tensors[0].element_size()
    summed = [n for n, t in zip(task.inputs, tensors, strict=True) if n in plan.needed and is_shared(task, t)]
    passing = max(len(task.outputs) if task.over else 0, len(summed))
    return cut(
        range(task.warmup, task.days),
        [task.warmup + day for day in task.state_days],
        per_day=lane * (len(plan.recorded) + passing),
        per_cut=lane * len(plan.states),
        memory=task.memory,
        record=bool(plan.needed),
    )
