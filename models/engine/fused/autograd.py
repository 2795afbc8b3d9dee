"""The fused backend as a torch function: tensors in, kernels forward, kernels back, tensors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from thalweg.models.engine.eager import together
from thalweg.models.engine.fused.plan import (
    START,
    STATIC,
    Plan,
    Reach,
    backward_kernel,
    forward_kernel,
    plan_of,
    way_back,
)
from thalweg.models.engine.fused.program import Program
from thalweg.models.engine.fused.segments import Segments, cut
from thalweg.models.engine.fused.target import Arrays, Target
from thalweg.models.engine.fused.tracing import UnsupportedOperation
from thalweg.models.engine.request import Over


@dataclass(frozen=True)
class Task:
    """One simulation, apart from its tensors.

    ``inputs`` name the tensors in order: ``forcing.*``, ``parameter.*``, ``state.*``; ``outputs``
    are the series wanted, ``flux.*`` and ``state.*``, of the days after warm-up. ``shape`` is
    ``(site, component)``. For ``state_days``, ``over`` and ``memory`` see
    :class:`thalweg.models.engine.request.Request`.
    """

    program: Program
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    days: int
    warmup: int
    state_days: tuple[int, ...]
    over: Over | None
    memory: int
    shape: tuple[int, int]
    target: Target

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(name for name in self.inputs if name.startswith("state."))


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
        way = _WayBack(ctx.task, ctx.plan, tensors, given, one=len(ctx.segments.spans) == 1)
        way.run(ctx.segments, kept)
        return (None, *(way.gradients.get(name) for name in ctx.task.inputs))


def _forward(
    task: Task, tensors: Sequence[Tensor], needed: tuple[str, ...]
) -> tuple[tuple[Tensor, ...], Plan, Segments, list[Tensor]]:
    """Give the results, the plan, the segments, and what the way back needs of each."""
    arrays, kinds = _arrays(task, tensors)
    plan = plan_of(task.program, tuple(kinds.items()), task.outputs, needed, task.target)
    segments = _segments(task, plan, tensors)
    state = {name: arrays[name] for name in plan.states}
    if task.warmup:
        early = plan.variant(outputs=False, way_back=False)
        state = _march(task, early, arrays, state, range(task.warmup), {})[0]
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
        state, record = _march(task, marching, arrays, state, span, {n: s[rows] for n, s in series.items()})
        if needed and not segments.recompute:
            kept.append(record)
        if span.stop - 1 - task.warmup in task.state_days:
            chosen.append(state)
    on_days = [torch.stack([s[name] for s in chosen]) for name in plan.states] if chosen else []
    return (*series.values(), *state.values(), *on_days), plan, segments, kept


def _segments(task: Task, plan: Plan, tensors: Sequence[Tensor]) -> Segments:
    lane = task.shape[0] * task.shape[1] * tensors[0].element_size()
    summed = [
        n for n, t in zip(task.inputs, tensors, strict=True) if n in plan.needed and _is_shared(task, t)
    ]
    passing = max(len(task.outputs) if task.over else 0, len(summed))
    return cut(
        range(task.warmup, task.days),
        [task.warmup + day for day in task.state_days],
        per_day=lane * (len(plan.recorded) + passing),
        per_cut=lane * len(plan.states),
        memory=task.memory,
        record=bool(plan.needed),
    )


def _is_shared(task: Task, tensor: Tensor) -> bool:
    """Tell whether a series repeats over sites or components, so that its gradient is a sum."""
    return tensor.dim() == 3 and tensor.shape[1:] != task.shape


def _march(
    task: Task, plan: Plan, arrays: Arrays, state: Arrays, span: range, into: Arrays
) -> tuple[Arrays, Tensor]:
    """Simulate some days: fill ``into``, give the states after them and the record of them."""
    like = arrays[plan.states[0]]
    days, target = len(span), task.target
    final = {name: target.empty(task.shape, like) for name in plan.states}
    lanes = task.shape[0] * task.shape[1]
    record = target.empty(target.record_shape(days, len(plan.recorded), lanes), like)
    given = {**arrays, **_of_days(arrays, plan, span), "record": record}
    given |= {f"start.{n}": t for n, t in state.items()} | {f"end.{n}": t for n, t in final.items()}
    apart = into if task.over is None else {n: target.empty((days, *task.shape), like) for n in into}
    target.run(forward_kernel(plan), {**given, **apart}, days, task.shape)
    if task.over is not None:
        for name, series in into.items():
            series.copy_(together(apart[name], task.over))
    return final, record


def _of_days(arrays: Arrays, plan: Plan, days: range) -> Arrays:
    return {name: arrays[name][days.start : days.stop] for name, _ in plan.series}


class _WayBack:
    """Gradients of the inputs, gathered from the last segment to the first."""

    def __init__(
        self, task: Task, plan: Plan, tensors: Sequence[Tensor], given: Sequence[Tensor | None], *, one: bool
    ) -> None:
        self.task, self.plan, self.one = task, plan, one
        self.arrays = _arrays(task, tensors)[0]
        self.tensors = dict(zip(task.inputs, tensors, strict=True))
        self.kinds: dict[str, str] = {}
        number, states = len(task.outputs), len(plan.states)
        for name, gradient in zip(task.outputs, given[:number], strict=True):
            if gradient is not None:
                self._take_series(f"given.{name}", gradient)
        self.carried = dict(zip(plan.states, given[number : number + states], strict=True))
        self.on_days = dict(zip(plan.states, given[number + states :], strict=False))
        fixed = [name for name in plan.needed if self.tensors[name].dim() == 2]
        zeros = tensors[0].new_zeros((len(fixed), *task.shape)).unbind(0)  # asked for at once
        self.gradients = dict(zip(fixed, zeros, strict=True))
        for name in plan.needed:
            if name not in self.gradients:
                tensor = self.tensors[name]
                self.gradients[name] = task.target.empty(tuple(tensor.shape), tensor)

    def _take_series(self, name: str, gradient: Tensor) -> None:
        if self.task.over is not None:
            shared = gradient.unsqueeze(-1)
            shared = shared / self.task.shape[1] if self.task.over == "mean" else shared
            gradient = shared.expand(-1, *self.task.shape)
        self.arrays[name], self.kinds[name] = _series(gradient, self.task)

    def run(self, segments: Segments, kept: Sequence[Tensor]) -> None:
        """Go back through all segments; ``kept`` is what the way forward kept of each."""
        task, plan = self.task, self.plan
        for span, found in zip(reversed(segments.spans), reversed(kept), strict=True):
            record = found
            if segments.recompute:
                state = dict(zip(plan.states, found.unbind(0), strict=True))
                again = plan.variant(outputs=False, way_back=True)
                record = _march(task, again, self.arrays, state, span, {})[1]
            self._add_chosen(span.stop - 1 - task.warmup)
            self._segment(span, record)
        self.gradients |= {n: g for n, g in self.carried.items() if n in plan.needed and g is not None}
        for name, gradient in self.gradients.items():
            if gradient.dim() == 3:
                gradient[: task.warmup] = 0.0
            self.gradients[name] = gradient.sum_to_size(self.tensors[name].shape)

    def _add_chosen(self, day: int) -> None:
        if day in self.task.state_days:
            place = self.task.state_days.index(day)
            for name, gradient in self.on_days.items():
                if gradient is not None:
                    before = self.carried[name]
                    self.carried[name] = gradient[place] if before is None else before + gradient[place]

    def _segment(self, span: range, record: Tensor) -> None:
        """Go back through a segment: its last days apart where other states have a gradient on them."""
        present = tuple(name for name in self.plan.states if self.carried[name] is not None)
        stop = len(span)
        for days, reach in way_back(self.plan, tuple(self.kinds.items()), present, len(span)):
            some = slice(stop - days, stop)
            if some.start == 0 and self.one:
                wanted = tuple(name for name in reach.finished if name in self.plan.needed)
                reach = replace(reach, finished=wanted)
            self._stretch(span[some], self.task.target.days_of(record, some), reach)
            stop = some.start

    def _lanes(self, names: Sequence[str], like: Tensor) -> Arrays:
        """Give memory for ``(site, component)`` of each name, asked for at once."""
        together = self.task.target.empty((len(names), *self.task.shape), like)
        return dict(zip(names, together.unbind(0), strict=True))

    def _stretch(self, span: range, record: Tensor, reach: Reach) -> None:
        task, plan = self.task, self.plan
        rows = slice(span.start - task.warmup, span.stop - task.warmup)
        arrays = {**self.arrays, **_of_days(self.arrays, plan, span), "record": record}
        arrays |= {name: self.arrays[name][rows] for name in self.kinds}
        for name, gradient in self.carried.items():
            if gradient is not None:
                arrays[f"start.given.{name}"] = gradient.expand(task.shape).contiguous()
        after = self._lanes(reach.finished, record)
        arrays |= {f"end.given.{name}": t for name, t in after.items()}
        series = {name: g for name, g in self.gradients.items() if name not in plan.states}
        passing = self._lanes([name for name, gradient in series.items() if gradient.dim() == 2], record)
        for name, gradient in series.items():
            if name in passing:
                arrays[f"start.sum.gradient.{name}"] = gradient
                arrays[f"gradient.{name}"] = passing[name]
            elif _is_shared(task, gradient):
                passing[name] = task.target.empty((len(span), *task.shape), record)
                arrays[f"gradient.{name}"] = passing[name]
            else:
                arrays[f"gradient.{name}"] = gradient[span.start : span.stop]
        kernel = backward_kernel(plan, tuple(self.kinds.items()), reach)
        task.target.run(kernel, arrays, len(span), task.shape)
        self.carried = {name: after.get(name) for name in plan.states}
        for name, found in passing.items():
            if found.dim() == 2:
                self.gradients[name] = found
            else:
                rows_of = self.gradients[name][span.start : span.stop]
                rows_of.copy_(found.sum_to_size(rows_of.shape))


def _arrays(task: Task, tensors: Sequence[Tensor]) -> tuple[Arrays, dict[str, str]]:
    """Give the inputs as kernels read them, and how each lies in memory."""
    arrays: Arrays = {}
    kinds: dict[str, str] = {}
    for name, tensor in zip(task.inputs, tensors, strict=True):
        if tensor.dim() == 3:
            arrays[name], kinds[name] = _series(tensor, task)
        else:
            arrays[name] = tensor.detach().expand(task.shape).contiguous()
            kinds[name] = START if name.startswith("state.") else STATIC
    return arrays, kinds


def _series(tensor: Tensor, task: Task) -> tuple[Tensor, str]:
    """Give a series without what only repeats it over components, and its layout."""
    sites, components = task.shape
    tensor = tensor.detach()
    if components > 1 and (tensor.shape[2] == 1 or tensor.stride(2) == 0):
        rows = tensor[:, :, 0].expand(-1, sites)
        return rows if rows.stride(1) == 1 else rows.contiguous(), task.target.shared_layout(components)
    full = tensor.expand(-1, *task.shape)
    packed = (components == 1 or full.stride(2) == 1) and (sites == 1 or full.stride(1) == components)
    return full if packed else full.contiguous(), "lane"
