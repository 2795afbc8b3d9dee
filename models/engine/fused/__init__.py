"""The fused backend: a step compiled into one kernel forward and one backward, for the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from thalweg.models.engine import eager
from thalweg.models.engine.fused.autograd import Task, simulate
from thalweg.models.engine.fused.cpu import cpu_for
from thalweg.models.engine.fused.program import Program
from thalweg.models.engine.fused.tracing import NotElementwise, UnsupportedOperation, trace
from thalweg.models.engine.request import Request, Results, Tensors
from thalweg.models.process import ProcessModel, names

__all__ = ["NotElementwise", "UnsupportedOperation", "program_of", "run", "takes"]

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
    dtype = _common_dtype(inputs)
    sites, components = next(iter(state.values())).shape
    if sites * components == 0:
        return eager.run(process, forcing, parameters, state, request)
    task = Task(
        program=program_of(process, dtype),
        inputs=tuple(inputs),
        outputs=(*(f"flux.{n}" for n in request.fluxes), *(f"state.{n}" for n in request.states)),
        days=next(iter(forcing.values())).shape[0],
        warmup=request.warmup,
        state_days=request.state_days,
        over=request.over,
        memory=request.memory,
        shape=(sites, components),
        target=cpu_for(dtype == torch.float32, sites * components),
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
    """Tell whether tensors are on the CPU and all of one type that kernels compute with."""
    kinds = {(t.device.type, t.dtype) for t in tensors}
    return kinds in ({("cpu", torch.float32)}, {("cpu", torch.float64)})


def _common_dtype(tensors: Tensors) -> torch.dtype:
    if not takes(tensors.values()):
        found = sorted({f"{t.dtype} on {t.device}" for t in tensors.values()})
        raise UnsupportedOperation(
            "the fused backend wants tensors that are all float32 or all float64, on the CPU; "
            f"found {', '.join(found)}"
        )
    return next(iter(tensors.values())).dtype
