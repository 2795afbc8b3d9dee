"""One simulation apart from its tensors, and its march forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from thalweg.models.engine.eager import together
from thalweg.models.engine.fused.plan import START, STATIC, Plan, forward_kernel
from thalweg.models.engine.fused.program import Program
from thalweg.models.engine.fused.target import Arrays, Target
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


def march(
    task: Task, plan: Plan, arrays: Arrays, state: Arrays, span: range, into: Arrays
) -> tuple[Arrays, Tensor]:
    """Simulate some days: fill ``into``, give the states after them and the record of them."""
    like = arrays[plan.states[0]]
    days, target = len(span), task.target
    final = {name: target.empty(task.shape, like) for name in plan.states}
    lanes = task.shape[0] * task.shape[1]
    record = target.empty(target.record_shape(days, len(plan.recorded), lanes), like)
    given = {**arrays, **of_days(arrays, plan, span), "record": record}
    given |= {f"start.{n}": t for n, t in state.items()} | {f"end.{n}": t for n, t in final.items()}
    apart = into if task.over is None else {n: target.empty((days, *task.shape), like) for n in into}
    target.run(forward_kernel(plan), {**given, **apart}, days, task.shape)
    if task.over is not None:
        for name, series in into.items():
            series.copy_(together(apart[name], task.over))
    return final, record


def of_days(arrays: Arrays, plan: Plan, days: range) -> Arrays:
    """Give the series of some days."""
    return {name: arrays[name][days.start : days.stop] for name, _ in plan.series}


def is_shared(task: Task, tensor: Tensor) -> bool:
    """Tell whether a series repeats over sites or components, so that its gradient is a sum."""
    return tensor.dim() == 3 and tensor.shape[1:] != task.shape


def arrays_of(task: Task, tensors: Sequence[Tensor]) -> tuple[Arrays, dict[str, str]]:
    """Give the inputs as kernels read them, and how each lies in memory."""
    arrays: Arrays = {}
    kinds: dict[str, str] = {}
    for name, tensor in zip(task.inputs, tensors, strict=True):
        if tensor.dim() == 3:
            arrays[name], kinds[name] = series_of(tensor, task)
        else:
            arrays[name] = tensor.detach().expand(task.shape).contiguous()
            kinds[name] = START if name.startswith("state.") else STATIC
    return arrays, kinds


def series_of(tensor: Tensor, task: Task) -> tuple[Tensor, str]:
    """Give a series without what only repeats it over components, and its layout."""
    sites, components = task.shape
    tensor = tensor.detach()
    if components > 1 and (tensor.shape[2] == 1 or tensor.stride(2) == 0):
        rows = tensor[:, :, 0].expand(-1, sites)
        return rows if rows.stride(1) == 1 else rows.contiguous(), task.target.shared_layout(components)
    full = tensor.expand(-1, *task.shape)
    packed = (components == 1 or full.stride(2) == 1) and (sites == 1 or full.stride(1) == components)
    return full if packed else full.contiguous(), "lane"
