"""The fused backend as a torch function: tensors in, one kernel forward, one back, tensors out."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from thalweg.models.engine.fused import native
from thalweg.models.engine.fused.emit import Vector
from thalweg.models.engine.fused.frame import VECTORS_PER_UNIT
from thalweg.models.engine.fused.plan import (
    START,
    STATIC,
    Compiled,
    Plan,
    backward_kernel,
    forward_kernel,
    plan_of,
)
from thalweg.models.engine.fused.program import Program

Arrays = dict[str, Tensor]

MUCH_MEMORY = 4 << 20  # bytes; below, numpy asks for no huge pages


@dataclass(frozen=True)
class Task:
    """One simulation, apart from its tensors.

    ``inputs`` name the tensors in order: ``forcing.*``, ``parameter.*``, ``state.*``; ``outputs``
    are the series wanted, ``flux.*`` and ``state.*``, of the days after warm-up. ``shape`` is
    ``(site, component)``.
    """

    program: Program
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    days: int
    warmup: int
    shape: tuple[int, int]
    vector: Vector

    @property
    def vectors(self) -> int:
        return -(-self.shape[0] * self.shape[1] // self.vector.width)


def simulate(task: Task, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Give the series of ``task.outputs``, then the final states in the order of the inputs."""
    if torch.is_grad_enabled() and any(_needed(task, [t.requires_grad for t in tensors])):
        results: tuple[Tensor, ...] = _Fused.apply(task, *tensors)  # type: ignore[no-untyped-call]
        return results
    return _forward(task, tensors, ())[0]


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
        results, plan, record = _forward(task, tensors, _needed(task, ctx.needs_input_grad[1:]))
        ctx.task, ctx.plan = task, plan
        ctx.save_for_backward(record, *tensors)
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        if all(g is None for g in given):
            return (None,) * (1 + len(ctx.task.inputs))
        record, *tensors = ctx.saved_tensors
        gradients = _backward(ctx.task, ctx.plan, tensors, record, given)
        return (None, *(gradients.get(name) for name in ctx.task.inputs))


def _forward(
    task: Task, tensors: Sequence[Tensor], needed: tuple[str, ...]
) -> tuple[tuple[Tensor, ...], Plan, Tensor]:
    """Give the results, the plan and the record of states that the way back needs."""
    arrays, kinds = _arrays(task, tensors)
    inputs = tuple(kinds.items())
    plan = plan_of(task.program, inputs, task.outputs, needed, task.vector)
    if task.warmup:
        early = plan_of(task.program, inputs, (), (), task.vector)
        arrays |= _run_forward(task, early, arrays, range(task.warmup))[1]
    late = range(task.warmup, task.days)
    series, final, record = _run_forward(task, plan, arrays, late)
    return (*series.values(), *final.values()), plan, record


def _run_forward(task: Task, plan: Plan, arrays: Arrays, days: range) -> tuple[Arrays, Arrays, Tensor]:
    """Give the series, the final states and the record of some days."""
    like = arrays[plan.states[0]]
    series = {name: _empty((len(days), *task.shape), like) for name in plan.outputs}
    final = {name: _empty(task.shape, like) for name in plan.states}
    record = _empty((task.vectors, len(days), len(plan.recorded), task.vector.width), like)
    ends = {f"start.{n}": arrays[n] for n in plan.states} | {f"end.{n}": t for n, t in final.items()}
    given = {**arrays, **_of_days(arrays, plan, days)}
    _run(task, forward_kernel(plan), {**given, **series, **ends, "record": record}, len(days))
    return series, final, record


def _of_days(arrays: Arrays, plan: Plan, days: range) -> Arrays:
    return {name: arrays[name][days.start : days.stop] for name, _ in plan.series}


def _backward(
    task: Task, plan: Plan, tensors: Sequence[Tensor], record: Tensor, given: Sequence[Tensor | None]
) -> Arrays:
    """Give the gradient of every input that needs one, given those of the results."""
    days = range(task.warmup, task.days)
    arrays = {**_arrays(task, tensors)[0], "record": record}
    arrays |= _of_days(arrays, plan, days)
    kinds: dict[str, str] = {}
    for name, gradient in zip(task.outputs, given[: len(task.outputs)], strict=True):
        if gradient is not None:
            arrays[f"given.{name}"], kinds[f"given.{name}"] = _series(gradient, task)
    started = []
    for name, gradient in zip(plan.states, given[len(task.outputs) :], strict=True):
        if gradient is not None:
            arrays[f"start.given.{name}"] = gradient.expand(task.shape).contiguous()
            started.append(f"given.{name}")
    gradients: Arrays = {}
    for name, tensor in zip(task.inputs, tensors, strict=True):
        if name not in plan.needed:
            continue
        size = (task.days, *task.shape) if tensor.dim() == 3 else task.shape
        gradients[name] = _empty(size, tensor)
        if name in plan.states:
            arrays[f"end.given.{name}"] = gradients[name]
        elif tensor.dim() == 3:
            gradients[name][: task.warmup] = 0.0
            arrays[f"gradient.{name}"] = gradients[name][task.warmup :]
        else:
            arrays[f"gradient.{name}"] = gradients[name]
    _run(task, backward_kernel(plan, tuple(kinds.items()), tuple(started)), arrays, len(days))
    shapes = {name: tensor.shape for name, tensor in zip(task.inputs, tensors, strict=True)}
    return {name: gradient.sum_to_size(shapes[name]) for name, gradient in gradients.items()}


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Give memory; much of it from numpy, which asks for huge pages: a tenth of the time to touch it."""
    if math.prod(shape) * like.element_size() < MUCH_MEMORY:
        return like.new_empty(shape)
    return torch.from_numpy(np.empty(shape, np.float32 if like.dtype == torch.float32 else np.float64))


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
        return rows if rows.stride(1) == 1 else rows.contiguous(), _site_layout(components, task.vector.width)
    full = tensor.expand(-1, *task.shape)
    packed = (components == 1 or full.stride(2) == 1) and (sites == 1 or full.stride(1) == components)
    return full if packed else full.contiguous(), "lane"


def _site_layout(components: int, width: int) -> str:
    if components % width == 0:
        return "site"
    return f"repeat.{components}" if width % components == 0 else "gather"


@functools.cache
def _vectors_per_unit(vectors: int, threads: int) -> int:
    """Give the size of unit, the larger of equals, with which the last thread is done soonest."""
    sizes = range(1, max(1, min(VECTORS_PER_UNIT, vectors // threads)) + 1)
    # A unit of one vector has nothing to do while that vector waits for itself.
    work = {size: -(-vectors // (size * threads)) * (size if size > 1 else 1.5) for size in sizes}
    return min(reversed(sizes), key=lambda size: work[size])


def _run(task: Task, compiled: Compiled, arrays: Arrays, days: int) -> None:
    threads = torch.get_num_threads()
    per_unit = _vectors_per_unit(task.vectors, threads)
    units = -(-task.vectors // per_unit)
    numbers = {
        "units": units,
        "days": days,
        "lanes": task.shape[0] * task.shape[1],
        "components": task.shape[1],
        "vectors": task.vectors,
        "vectors_per_unit": per_unit,
    }
    values = []
    for argument in compiled.arguments[1:]:
        what, _, name = argument.partition(".")
        if what == "at":
            values.append(arrays[name].data_ptr())
        else:
            values.append(arrays[name].stride(0) if what == "stride" else numbers[argument])
    native.run(compiled.run, values, min(threads, units), arrays)
