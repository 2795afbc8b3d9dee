"""The fused backend as a torch function: one kernel forward, one backward."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from thalweg.models.engine.fused import native
from thalweg.models.engine.fused.emit import Vector
from thalweg.models.engine.fused.kernel import VECTORS_PER_UNIT, Kernel, March, write
from thalweg.models.engine.fused.passes import lowered
from thalweg.models.engine.fused.program import Program

Layouts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Task:
    """What a simulation is, apart from its numbers.

    ``inputs`` name the tensors given, in order: ``forcing.*``, ``parameter.*``, ``state.*``;
    ``outputs`` those wanted: ``flux.*``, ``series.state.*`` and ``end.state.*``.
    """

    program: Program
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    days: int
    shape: tuple[int, int]
    dtype: torch.dtype

    @property
    def lanes(self) -> int:
        return self.shape[0] * self.shape[1]

    @functools.cached_property
    def vector(self) -> Vector:
        single = self.dtype == torch.float32
        widest = native.vector_bytes() // (4 if single else 8)
        fitting = 1 << (self.lanes.bit_length() - 1)
        return Vector(single, min(widest, fitting), "avx512f" in native.processor()[1])

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(name for name in self.inputs if name.startswith("state."))


def simulate(task: Task, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Give the outputs of a task."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        result: tuple[Tensor, ...] = _Fused.apply(task, *tensors)  # type: ignore[no-untyped-call]
        return result
    return _forward(task, tensors, keep=False)[0]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, task: Task, *tensors: Tensor) -> tuple[Tensor, ...]:
        results, record, recorded = _forward(task, tensors, keep=True)
        ctx.task, ctx.record, ctx.recorded = task, record, recorded
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        needed = [n for n, need in zip(ctx.task.inputs, ctx.needs_input_grad[1:], strict=True) if need]
        gradients = _backward(ctx.task, ctx.saved_tensors, ctx.record, ctx.recorded, needed, given)
        return (None, *(gradients.get(name) for name in ctx.task.inputs))


def _forward(
    task: Task, tensors: Sequence[Tensor], keep: bool
) -> tuple[tuple[Tensor, ...], Tensor | None, tuple[str, ...]]:
    """Give the outputs, the record of states that the way back needs, and the states in it."""
    arrays, layouts, static = _laid_out(task, tensors)
    recorded = tuple(n for n in task.states if n in task.program.inputs_of(task.program.outputs.values()))
    recorded = recorded if keep else ()
    stored = tuple(n.removeprefix("series.") for n in task.outputs if not n.startswith("end."))
    kernel = _forward_kernel(_Key(task.program), task.states, layouts, static, stored, recorded, task.vector)
    bound = _Binding(task, {**arrays, **{f"start.{n}": arrays[n] for n in task.states}})
    outputs = {}
    for name in task.outputs:
        is_end = name.startswith("end.")
        size = task.shape if is_end else (task.days, *task.shape)
        outputs[name] = bound.new(name if is_end else _store_name(name.removeprefix("series.")), size)
    for name in task.states:
        if f"end.{name}" not in outputs:
            bound.new(f"end.{name}", task.shape)
    record = bound.new("record", (bound.vectors, task.days, len(recorded), task.vector.width)) if keep else None
    bound.run(kernel)
    return tuple(outputs[name] for name in task.outputs), record, recorded


def _backward(
    task: Task,
    tensors: Sequence[Tensor],
    record: Tensor,
    recorded: tuple[str, ...],
    needed: Sequence[str],
    given: Sequence[Tensor | None],
) -> dict[str, Tensor]:
    arrays, layouts, static = _laid_out(task, tensors)
    present = {name: g for name, g in zip(task.outputs, given, strict=True) if g is not None}
    if not present or not needed:
        return {}
    targets: list[tuple[str, str]] = []
    for name, gradient in present.items():
        if name.startswith("end."):
            arrays[f"start.given.{name.removeprefix('end.')}"] = gradient.expand(task.shape).contiguous()
        else:
            array, layout = _series(gradient, task)
            label = f"given.{name}" if name.startswith("flux.") else f"series.given.{name.removeprefix('series.')}"
            arrays[label] = array
            targets.append((label, layout))
    started = tuple(n.removeprefix("start.") for n in arrays if n.startswith("start."))
    kernel = _backward_kernel(
        _Key(task.program), task.states, layouts, static, tuple(needed), recorded, tuple(targets), started, task.vector
    )
    bound = _Binding(task, {**arrays, "record": record})
    gradients = {}
    for name, tensor in zip(task.inputs, tensors, strict=True):
        if name in needed:
            label = f"end.given.{name}" if name in task.states else f"gradient.{name}"
            size = (task.days, *task.shape) if tensor.dim() == 3 else task.shape
            gradients[name] = bound.new(label, size)
    bound.run(kernel)
    return {
        name: gradients[name].sum_to_size(tensor.shape)
        for name, tensor in zip(task.inputs, tensors, strict=True)
        if name in gradients
    }


def _store_name(name: str) -> str:
    return name


def _laid_out(task: Task, tensors: Sequence[Tensor]) -> tuple[dict[str, Tensor], Layouts, tuple[str, ...]]:
    """Give arrays as kernels read them, the layout of each series, and the names of the rest."""
    arrays: dict[str, Tensor] = {}
    layouts: list[tuple[str, str]] = []
    static: list[str] = []
    for name, tensor in zip(task.inputs, tensors, strict=True):
        if tensor.dim() == 3:
            arrays[name], layout = _series(tensor, task)
            layouts.append((name, layout))
        else:
            arrays[name] = tensor.detach().expand(task.shape).contiguous()
            if name not in task.states:
                static.append(name)
    return arrays, tuple(layouts), tuple(static)


def _series(tensor: Tensor, task: Task) -> tuple[Tensor, str]:
    """Give a series without what only repeats it over components, and its layout."""
    sites, components = task.shape
    tensor = tensor.detach()
    if components > 1 and (tensor.shape[2] == 1 or tensor.stride(2) == 0):
        rows = tensor[:, :, 0].expand(task.days, sites)
        rows = rows if sites == 1 or rows.stride(1) == 1 else rows.contiguous()
        return rows, "site" if components % task.vector.width == 0 else "gather"
    full = tensor.expand(task.days, *task.shape)
    packed = components == 1 or full.stride(2) == 1
    packed = packed and (sites == 1 or full.stride(1) == components)
    return full if packed else full.contiguous(), "lane"


class _Key:
    """A program as a key of a cache: the one object, not its content."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __hash__(self) -> int:
        return id(self.program)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.program is self.program


Loaded = tuple[Kernel, native.Run]


@functools.lru_cache(maxsize=256)
def _forward_kernel(
    key: _Key,
    states: tuple[str, ...],
    layouts: Layouts,
    static: tuple[str, ...],
    stored: tuple[str, ...],
    recorded: tuple[str, ...],
    vector: Vector,
) -> Loaded:
    program, loose = lowered(key.program.specialised((*states, *stored), ()), vector.single)
    used = program.inputs_of(program.outputs.values())
    march = March(
        program=program,
        backward=False,
        static=tuple(n for n in static if n in used),
        series=tuple(item for item in layouts if item[0] in used),
        carried=tuple((n, n) for n in states),
        started=states,
        finished=states,
        added=(),
        recorded=recorded,
        stored=stored,
        summed=(),
        loose=loose,
    )
    kernel = write(march, vector)
    return kernel, native.load(kernel.text)


@functools.lru_cache(maxsize=256)
def _backward_kernel(
    key: _Key,
    states: tuple[str, ...],
    layouts: Layouts,
    static: tuple[str, ...],
    needed: tuple[str, ...],
    recorded: tuple[str, ...],
    targets: Layouts,
    started: tuple[str, ...],
    vector: Vector,
) -> Loaded:
    carried = tuple((f"given.{n}", f"gradient.{n}") for n in states)
    wanted = tuple(f"gradient.{n}" for n in needed if n not in states)
    fluxes = {name for name, _ in targets if name.startswith("given.flux.")}
    absent = [n for n in _given_fluxes(key.program) if n not in fluxes]
    special = key.program.specialised((*(out for _, out in carried), *wanted), absent)
    program, loose = lowered(special, vector.single)
    used = program.inputs_of(program.outputs.values())
    march = March(
        program=program,
        backward=True,
        static=tuple(n for n in static if n in used),
        series=tuple(item for item in (*layouts, *targets) if item[0] in used),
        carried=carried,
        started=started,
        finished=tuple(f"given.{n}" for n in needed if n in states),
        added=tuple(item for item in targets if item[0].startswith("series.")),
        recorded=recorded,
        stored=tuple(w for w in wanted if w.removeprefix("gradient.") in dict(layouts)),
        summed=tuple(w for w in wanted if w.removeprefix("gradient.") in static),
        loose=loose,
    )
    kernel = write(march, vector)
    return kernel, native.load(kernel.text)


def _given_fluxes(program: Program) -> list[str]:
    return [str(n.value) for n in program.nodes if n.operation == "input" and str(n.value).startswith("given.flux.")]


class _Binding:
    """The arrays of one run of a kernel, by the names that the kernel gives them."""

    def __init__(self, task: Task, arrays: dict[str, Tensor]) -> None:
        self.task, self.arrays = task, dict(arrays)
        self.vectors = -(-task.lanes // task.vector.width)

    def new(self, name: str, size: tuple[int, ...]) -> Tensor:
        self.arrays[name] = torch.empty(size, dtype=self.task.dtype)
        return self.arrays[name]

    def run(self, loaded: Loaded) -> None:
        kernel, entry = loaded
        threads = torch.get_num_threads()
        per_unit = max(1, min(VECTORS_PER_UNIT, self.vectors // threads))
        units = -(-self.vectors // per_unit)
        numbers = {
            "units": units,
            "days": self.task.days,
            "lanes": self.task.lanes,
            "components": self.task.shape[1],
            "vectors": self.vectors,
            "vectors_per_unit": per_unit,
        }
        values = [self._value(name, numbers) for name in kernel.arguments[1:]]
        native.run(entry, values, min(threads, units))

    def _value(self, name: str, numbers: dict[str, int]) -> int:
        if name.startswith("at."):
            return self.arrays[name.removeprefix("at.")].data_ptr()
        if name.startswith("stride."):
            return self.arrays[name.removeprefix("stride.")].stride(0)
        return numbers[name]
