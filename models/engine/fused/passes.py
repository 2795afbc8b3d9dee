"""What is done to a program before it becomes a kernel."""

from __future__ import annotations

from thalweg.models.engine.fused.arithmetic import Expansion, Precision
from thalweg.models.engine.fused.program import Program


def lowered(program: Program, single: bool) -> tuple[Program, frozenset[int]]:
    """Give the program in primitives, and which of its values may be rounded differently.

    What a step gives, and every comparison, must come out as in the eager backend: where two values
    tie (an empty store, a soil at its capacity), the last bit decides which way a gradient flows.
    Gradients themselves are linear in what is given and may fuse products with sums.
    """
    expanded = Expansion(Precision(single)).rewrite(_with_reciprocals(program))
    everything = expanded.reachable(expanded.outputs.values())
    return expanded, frozenset(everything) - _exact(expanded)


def _exact(program: Program) -> set[int]:
    roots = [index for name, index in program.outputs.items() if not name.startswith("gradient.")]
    everything = program.reachable(program.outputs.values())
    roots += [index for index in everything if program.is_condition(index)]
    return set(program.reachable(roots))


def _with_reciprocals(program: Program) -> Program:
    """Divide by a value once for all the gradients that are divided by it."""
    exact = _exact(program)
    result = Program()
    new: dict[int, int] = {}
    for index in program.reachable(program.outputs.values()):
        node = program.nodes[index]
        inside = [new[a] for a in node.arguments]
        if node.operation == "div" and index not in exact:
            new[index] = result.add("mul", inside[0], result.add("div", result.constant(1.0), inside[1]))
        elif inside:
            new[index] = result.add(node.operation, *inside)
        else:
            new[index] = result.leaf(node)
    result.outputs = {name: new[index] for name, index in program.outputs.items()}
    return result
