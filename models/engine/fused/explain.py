"""Show what the fused backend makes of a process model, for people."""

from __future__ import annotations

import torch

from thalweg.models.engine.fused import program_of
from thalweg.models.engine.fused.cpu import Cpu
from thalweg.models.engine.fused.cuda import kernel as cuda
from thalweg.models.engine.fused.cuda.gpu import Gpu
from thalweg.models.engine.fused.emit import Vector
from thalweg.models.engine.fused.kernel import write
from thalweg.models.engine.fused.plan import START, STATIC, Reach, plan_of
from thalweg.models.engine.fused.program import Program
from thalweg.models.process import ProcessModel, names

INFIX = {
    **{"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "and", "or": "or"},
    **{"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="},
}


def listing(program: Program) -> str:
    """Give a program as text, one value a line."""
    label: dict[int, str] = {}
    lines = []
    for index in program.reachable(program.outputs.values()):
        node = program.nodes[index]
        if not node.arguments:
            label[index] = node.operation if node.value is None else str(node.value)
            continue
        label[index] = f"v{index}"
        inside = [label[a] for a in node.arguments]
        sign = INFIX.get(node.operation)
        text = f" {sign} ".join(inside) if sign else f"{node.operation}({', '.join(inside)})"
        lines.append(f"v{index} = {text}")
    return "\n".join([*lines, *(f"{name} = {label[index]}" for name, index in program.outputs.items())])


def explain(process: ProcessModel, width: int = 8) -> dict[str, str]:
    """Give the texts that a process goes through, in single precision.

    All parameters are static, forcing has a value for each component, all fluxes are given, and
    gradients of all of them go to the parameters.

    Returns
    -------
    dict with ``step``, the traced program; ``forward`` and ``backward``, the CPU's kernels in LLVM's
    language on vectors of ``width`` numbers; ``forward.gpu`` and ``backward.gpu``, the GPU's in Triton.
    """
    program = program_of(process, torch.float32)
    fluxes = tuple(f"flux.{name}" for name in names(process.fluxes))
    parameters = tuple(f"parameter.{name}" for name in names(process.parameters))
    states = tuple(f"state.{name}" for name in names(process.states))
    inputs = (
        *((f"forcing.{name}", "lane") for name in names(process.forcings)),
        *((name, STATIC) for name in parameters),
        *((name, START) for name in states),
    )
    reach = Reach(started=(), live=states, finished=())
    vector = Vector(single=True, width=width)
    given = tuple((f"given.{name}", "lane") for name in fluxes)
    cpu = plan_of(program, inputs, fluxes, parameters, Cpu(vector))
    gpu = plan_of(program, inputs, fluxes, parameters, Gpu(single=True))
    return {
        "step": listing(program),
        "forward": write(cpu.forward_march(), vector).text,
        "backward": write(cpu.backward_march(given, reach), vector).text,
        "forward.gpu": cuda.write(gpu.forward_march(), single=True).text,
        "backward.gpu": cuda.write(gpu.backward_march(given, reach), single=True).text,
    }
