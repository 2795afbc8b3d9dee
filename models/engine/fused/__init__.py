"""The fused backend: a step compiled into one kernel forward and one backward, for CPU and GPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from thalweg.models.engine import eager
from thalweg.models.engine.fused.autograd import simulate
from thalweg.models.engine.fused.cpu import cpu_for
from thalweg.models.engine.fused.cuda.gpu import Gpu, why_not
from thalweg.models.engine.fused.program import Program
from thalweg.models.engine.fused.reads import reads
from thalweg.models.engine.fused.target import Target
from thalweg.models.engine.fused.task import Task
from thalweg.models.engine.fused.tracing import NotElementwise, UnsupportedOperation, trace
from thalweg.models.engine.request import Request, Results, Tensors
from thalweg.models.process import ProcessModel, names

__all__ = ["NotElementwise", "UnsupportedOperation", "one_of", "program_of", "run", "target_for"]

# The traced step, or why there is none, by all that it reads and the type of its numbers.
_programs: dict[Any, Program | UnsupportedOperation] = {}
MOST_PROGRAMS = 256  # with more the oldest goes
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)  # another thread may have held it


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
    some = one_of(inputs.values())
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
    """Give the traced step of a process, traced once for all that it reads and the type of its numbers."""
    key = (dtype, reads(process))
    with _lock:
        if key not in _programs:
            if len(_programs) >= MOST_PROGRAMS:
                _programs.pop(next(iter(_programs)))
            try:
                _programs[key] = trace(process, dtype)
            except UnsupportedOperation as error:
                _programs[key] = error
        found = _programs[key]
    if isinstance(found, UnsupportedOperation):
        raise found
    return found


def one_of(tensors: Iterable[Tensor]) -> Tensor:
    """Give one of the tensors, where all are on one device and of one type that kernels compute with.

    Raises
    ------
    UnsupportedOperation
        Where they are not.
    """
    some = tuple(tensors)
    kinds = {(t.device, t.dtype) for t in some}
    device, dtype = next(iter(kinds))
    if len(kinds) > 1 or device.type not in ("cpu", "cuda") or dtype not in (torch.float32, torch.float64):
        found = sorted(f"{dtype} on {device}" for device, dtype in kinds)
        raise UnsupportedOperation(
            "the fused backend wants tensors that are all float32 or all float64, on the CPU or on one GPU; "
            f"found {', '.join(found)}"
        )
    return some[0]


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
