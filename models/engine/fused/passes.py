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
    expansion = Expansion(Precision(single))
    expanded = expansion.rewrite(_for_gradients(program))
    everything = expanded.reachable(expanded.outputs.values())
    return expanded, frozenset(everything) - _exact(expanded) - expansion.careful


def _exact(program: Program) -> set[int]:
    roots = [index for name, index in program.outputs.items() if not name.startswith("gradient.")]
    everything = program.reachable(program.outputs.values())
    roots += [index for index in everything if program.is_condition(index)]
    return set(program.reachable(roots))


def _for_gradients(program: Program) -> Program:
    """Write what only gradients need so that it shares work.

    Dividing by one value several times takes one reciprocal; ``x**(y - 1)``, the slope of a power,
    becomes an operation of its own that may use ``x**y``.
    """
    exact = _exact(program)
    result = Program()
    new: dict[int, int] = {}
    for index in program.reachable(program.outputs.values()):
        node = program.nodes[index]
        inside = [new[a] for a in node.arguments]
        if node.operation == "div" and index not in exact:
            new[index] = result.add("mul", inside[0], result.add("div", result.constant(1.0), inside[1]))
        elif (
            node.operation == "pow"
            and index not in exact
            and (whole := _one_more(result, inside[1])) is not None
        ):
            new[index] = result.add("power_below", inside[0], whole)
        elif inside:
            new[index] = result.add(node.operation, *inside)
        else:
            new[index] = result.leaf(node)
    result.outputs = {name: new[index] for name, index in program.outputs.items()}
    return result


def _one_more(program: Program, exponent: int) -> int | None:
    """Give y where the exponent is y - 1."""
    node = program.nodes[exponent]
    if node.operation == "sub" and program.number(node.arguments[1]) == 1.0:
        return node.arguments[0]
    return None
