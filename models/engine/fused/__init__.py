"""The fused backend: a step compiled into one kernel forward and one backward, for CPU and GPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from thalweg.models.engine import eager
from thalweg.models.engine.fused.autograd import Task, simulate
from thalweg.models.engine.fused.cpu import cpu_for
from thalweg.models.engine.fused.cuda.gpu import Gpu, why_not
from thalweg.models.engine.fused.program import Program
from thalweg.models.engine.fused.target import Target
from thalweg.models.engine.fused.tracing import NotElementwise, UnsupportedOperation, trace
from thalweg.models.engine.request import Request, Results, Tensors
from thalweg.models.process import ProcessModel, names

__all__ = ["NotElementwise", "UnsupportedOperation", "program_of", "run", "takes", "target_for"]

# The traced step, or why there is none, by the attributes of the process and the type of its numbers.
_programs: WeakKeyDictionary[type[ProcessModel], dict[Any, Program | UnsupportedOperation]] = (
    WeakKeyDictionary()
)
_lock = threading.Lock()


def run(
    process: ProcessModel, forcing: Tensors, parameters: Tensors, state: Tensors, request: Request
) -> Results:
    """Run all days in one kernel; see :data:`thalweg.models.engine.request.Run` for the arguments.

    Raises
    ------
    UnsupportedOperation
        When the step, the device or the type of the tensors cannot be compiled for.
    """
    inputs = {
        **{f"forcing.{n}": forcing[n] for n in names(process.forcings)},
        **{f"parameter.{n}": parameters[n] for n in names(process.parameters)},
        **{f"state.{n}": state[n] for n in names(process.states)},
    }
    some = _like(inputs)
    sites, components = next(iter(state.values())).shape
    if sites * components == 0:
        return eager.run(process, forcing, parameters, state, request)
    task = Task(
        program=program_of(process, some.dtype),
        inputs=tuple(inputs),
        outputs=(*(f"flux.{n}" for n in request.fluxes), *(f"state.{n}" for n in request.states)),
        days=next(iter(forcing.values())).shape[0],
        warmup=request.warmup,
        state_days=request.state_days,
        over=request.over,
        memory=request.memory,
        shape=(sites, components),
        target=target_for(some, sites * components),
    )
    results = iter(simulate(task, list(inputs.values())))
    return Results(
        fluxes={n: next(results) for n in request.fluxes},
        states={n: next(results) for n in request.states},
        final={n: next(results) for n in names(process.states)},
        on_days={n: next(results) for n in names(process.states) if request.state_days},
    )


def program_of(process: ProcessModel, dtype: torch.dtype) -> Program:
    """Give the traced step of a process, traced once for its class, its attributes and the type."""
    key = (dtype, *sorted((name, _identity(value)) for name, value in vars(process).items()))
    with _lock:
        programs = _programs.setdefault(type(process), {})
        if key not in programs:
            try:
                programs[key] = trace(process, dtype)
            except UnsupportedOperation as error:
                programs[key] = error
        found = programs[key]
    if isinstance(found, UnsupportedOperation):
        raise found
    return found


def _identity(value: Any) -> Any:
    return repr(value) if isinstance(value, (bool, int, float, str, type(None))) else id(value)


def takes(tensors: Iterable[Tensor]) -> bool:
    """Tell whether tensors are on one device, a CPU or a GPU, and of one type that kernels compute with."""
    kinds = {(t.device, t.dtype) for t in tensors}
    device, dtype = next(iter(kinds))
    return len(kinds) == 1 and device.type in ("cpu", "cuda") and dtype in (torch.float32, torch.float64)


def target_for(tensor: Tensor, lanes: int) -> Target:
    """Give what kernels run on where a tensor is.

    ``THALWEG_FUSED_TARGET=triton`` in the environment runs the GPU's kernels on the CPU, in Triton's
    interpreter: thousands of times slower, for tests.

    Raises
    ------
    UnsupportedOperation
        When the tensor is on a GPU for which nothing can be compiled here.
    """
    single = tensor.dtype == torch.float32
    interpreted = tensor.device.type == "cpu" and os.environ.get("THALWEG_FUSED_TARGET") == "triton"
    if tensor.device.type == "cpu" and not interpreted:
        return cpu_for(single, lanes)
    if reason := why_not(tensor.device):
        raise UnsupportedOperation(reason)
    return Gpu(single, interpreted)


def _like(tensors: Tensors) -> Tensor:
    """Give one of the tensors, where all are on one device and of one type."""
    if not takes(tensors.values()):
        found = sorted({f"{t.dtype} on {t.device}" for t in tensors.values()})
        raise UnsupportedOperation(
            "the fused backend wants tensors that are all float32 or all float64, on the CPU or on one GPU; "
            f"found {', '.join(found)}"
        )
    return next(iter(tensors.values()))
