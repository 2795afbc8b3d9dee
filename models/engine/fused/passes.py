"""What is done to a program before it becomes a kernel."""

from __future__ import annotations

from thalweg.models.engine.fused.arithmetic import Expansion, Precision
from thalweg.models.engine.fused.program import Program

WHOLE = frozenset({"floor", "ceil", "trunc", "rint"})


def lowered(program: Program, single: bool) -> tuple[Program, frozenset[int]]:
    """Give the program in primitives, and which of its values may be rounded differently.

    What a step gives, and every comparison, must come out as in the eager backend: where two values
    tie (an empty store, a soil at its capacity), the last bit decides which way a gradient flows. So must
    what is rounded to a whole number, where it decides which. Gradients themselves are linear in what is
    given and may fuse products with sums.
    """
    expansion = Expansion(Precision(single))
    expanded = expansion.rewrite(_for_gradients(program))
    everything = expanded.reachable(expanded.outputs.values())
    return expanded, frozenset(everything) - _exact(expanded) - expansion.careful


def _exact(program: Program) -> set[int]:
    roots = [index for name, index in program.outputs.items() if not name.startswith("gradient.")]
    everything = program.reachable(program.outputs.values())
    roots += [i for i in everything if program.is_condition(i) or program.nodes[i].operation in WHOLE]
    return set(program.reachable(roots))


def _for_gradients(program: Program) -> Program:
    """Write what only gradients need so that it shares work.

    Dividing by what depends on parameters alone takes one reciprocal, often computed once for all days; any
    other divisor may be so small that it has none. ``x**(y - 1)``, the slope of a power, becomes an operation
    of its own that may use ``x**y``.
    """
    exact = _exact(program)
    settled = _of_parameters(program)
    result = Program()
    new: dict[int, int] = {}
    for index in program.reachable(program.outputs.values()):
        node = program.nodes[index]
        inside = [new[a] for a in node.arguments]
        if node.operation == "div" and index not in exact and node.arguments[1] in settled:
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


def _of_parameters(program: Program) -> set[int]:
    """Give the values that depend on parameters alone, or on nothing."""
    found: set[int] = set()
    for index, node in enumerate(program.nodes):
        if node.operation == "input":
            depends_on_none_else = str(node.value).startswith("parameter.")
        else:
            depends_on_none_else = all(a in found for a in node.arguments)
        if depends_on_none_else:
            found.add(index)
    return found


def _one_more(program: Program, exponent: int) -> int | None:
    """Give y where the exponent is y - 1."""
    node = program.nodes[exponent]
    if node.operation == "sub" and program.number(node.arguments[1]) == 1.0:
        return node.arguments[0]
    return None
