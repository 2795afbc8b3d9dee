"""A step as a small program: pointwise operations in single assignment, each value computed once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
LOGIC = frozenset({"and", "or", "not"})
CONDITIONS = COMPARISONS | LOGIC | {"never"}


@dataclass(frozen=True)
class Node:
    """One value: what is done to which earlier values.

    ``value`` is the number of a ``constant`` or the name of an ``input``, such as
    ``state.snowpack``; a ``zero`` is a gradient that is absent, which differs from the number 0 in
    that its product with infinity is absent too.
    """

    operation: str
    arguments: tuple[int, ...] = ()
    value: float | str | None = None
    repeated: int = 0  # sets apart constants that compare equal but are not (0.0 and -0.0)


@dataclass(eq=False)
class Program:
    """Nodes in an order in which each comes after its arguments, and the outputs among them.

    New nodes are made with :meth:`add`, which gives an existing one where the same value is already
    there, and simplifies what needs no arithmetic.
    """

    nodes: list[Node] = field(default_factory=list)
    outputs: dict[str, int] = field(default_factory=dict)
    _known: dict[Node, int] = field(default_factory=dict)

    def input(self, name: str) -> int:
        return self._intern(Node("input", value=name))

    def constant(self, value: float) -> int:
        number = float(value)
        return self._intern(Node("constant", value=number, repeated=int(math.copysign(1.0, number) < 0)))

    def zero(self) -> int:
        """Give the absent gradient."""
        return self._intern(Node("zero"))

    def never(self) -> int:
        """Give the condition that is always false."""
        return self._intern(Node("never"))

    def add(self, operation: str, *arguments: int) -> int:
        """Give the node of this operation, simplified; booleans become 0 and 1 in arithmetic."""
        if operation in LOGIC:
            arguments = tuple(self._as_condition(a) for a in arguments)
        elif operation == "where":
            arguments = (self._as_condition(arguments[0]), *map(self.as_number, arguments[1:]))
        else:
            arguments = tuple(self.as_number(a) for a in arguments)
        simple = self._simplify(operation, arguments)
        return self._intern(Node(operation, arguments)) if simple is None else simple

    def number(self, index: int) -> float | None:
        """Give the value of a constant, ``None`` for anything else."""
        node = self.nodes[index]
        return float(node.value) if node.operation == "constant" and node.value is not None else None

    def is_condition(self, index: int) -> bool:
        return self.nodes[index].operation in CONDITIONS

    def as_number(self, index: int) -> int:
        if not self.is_condition(index):
            return index
        return self._intern(Node("where", (index, self.constant(1.0), self.constant(0.0))))

    def reachable(self, wanted: Iterable[int], until: Iterable[int] = ()) -> list[int]:
        """Give the nodes that ``wanted`` needs, in order, not looking beyond ``until``."""
        found: set[int] = set()
        edge = set(until)
        waiting = list(wanted)
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                if index not in edge:
                    waiting.extend(self.nodes[index].arguments)
        return sorted(found)

    def inputs_of(self, wanted: Iterable[int]) -> set[str]:
        """Give the names of the inputs that ``wanted`` depends on."""
        return {str(n.value) for i in self.reachable(wanted) if (n := self.nodes[i]).operation == "input"}

    def specialised(self, outputs: Iterable[str], absent: Iterable[str]) -> Program:
        """Give the program of these outputs alone, with these inputs as absent gradients."""
        wanted = [name for name in outputs if name in self.outputs]
        missing = set(absent)
        result = Program()
        new: dict[int, int] = {}
        for index in self.reachable(self.outputs[name] for name in wanted):
            node = self.nodes[index]
            if node.operation == "input":
                name = str(node.value)
                new[index] = result.zero() if name in missing else result.input(name)
            elif not node.arguments:
                new[index] = result.leaf(node)
            else:
                new[index] = result.add(node.operation, *(new[a] for a in node.arguments))
        result.outputs = {name: new[self.outputs[name]] for name in wanted}
        return result

    def leaf(self, node: Node) -> int:
        """Give a copy of an input, a constant or a zero of another program."""
        return self._intern(node)

    def _intern(self, node: Node) -> int:
        if node not in self._known:
            self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return self._known[node]

    def _as_condition(self, index: int) -> int:
        return index if self.is_condition(index) else self._intern(Node("ne", (index, self.constant(0.0))))

    def _simplify(self, operation: str, arguments: tuple[int, ...]) -> int | None:
        numbers = [self.number(a) for a in arguments]
        zeros = [self.nodes[a].operation == "zero" for a in arguments]
        first = arguments[0]
        if any(zeros):
            return self._simplify_absent(operation, arguments, zeros, numbers)
        if operation in ("and", "or", "where") and "never" in (
            self.nodes[a].operation for a in arguments[:2]
        ):
            return self._simplify_never(operation, arguments)
        if operation in ("minimum", "maximum", "and", "or") and first == arguments[1]:
            return first
        if operation == "where" and arguments[1] == arguments[2]:
            return arguments[1]
        if operation == "div" and numbers[1] is not None and _is_power_of_two(numbers[1]):
            return self.add("mul", first, self.constant(1.0 / numbers[1]))
        if operation == "sub" and numbers[1] == 0.0:
            return first
        if operation == "mul" and 1.0 in numbers:
            return arguments[1 - numbers.index(1.0)]
        return self._simplify_signs(operation, arguments, numbers)

    def _simplify_never(self, operation: str, arguments: tuple[int, ...]) -> int | None:
        first_is_never = self.nodes[arguments[0]].operation == "never"
        if operation == "where":
            return arguments[2] if first_is_never else None
        if operation == "and":
            return self.never()
        return arguments[1] if first_is_never else arguments[0]

    def _simplify_signs(
        self, operation: str, arguments: tuple[int, ...], numbers: list[float | None]
    ) -> int | None:
        """Move changes of sign outwards, where they meet sums; exact in floating point."""
        inner = [self.nodes[a].arguments[0] if self.nodes[a].operation == "neg" else None for a in arguments]
        if operation == "neg":
            return self.constant(-numbers[0]) if numbers[0] is not None else inner[0]
        if operation == "add" and inner[1] is not None:
            return self.add("sub", arguments[0], inner[1])
        if operation == "add" and inner[0] is not None:
            return self.add("sub", arguments[1], inner[0])
        if operation == "sub" and inner[1] is not None:
            return self.add("add", arguments[0], inner[1])
        if operation in ("mul", "div"):
            for side in (0, 1):
                if (positive := inner[side]) is not None:
                    pair = (positive, arguments[1]) if side == 0 else (arguments[0], positive)
                    return self.add("neg", self.add(operation, *pair))
        if operation == "where" and 0.0 in numbers[1:]:
            side = 2 if numbers[1] == 0.0 else 1
            if (positive := inner[side]) is not None:
                branches = (positive, arguments[2]) if side == 1 else (arguments[1], positive)
                return self.add("neg", self.add("where", arguments[0], *branches))
        return None

    def _simplify_absent(
        self, operation: str, arguments: tuple[int, ...], zeros: list[bool], numbers: list[float | None]
    ) -> int | None:
        absent = self.zero()
        if operation in ("mul", "neg") or (operation == "div" and zeros[0]):
            return absent
        if operation == "add":
            return arguments[0] if zeros[1] else arguments[1]
        if operation == "sub":
            return arguments[0] if zeros[1] else self.add("neg", arguments[1])
        if operation == "where" and all(
            zero or number == 0.0 for zero, number in zip(zeros[1:], numbers[1:], strict=True)
        ):
            return absent
        plain = tuple(self.constant(0.0) if zero else a for a, zero in zip(arguments, zeros, strict=True))
        return self.add(operation, *plain)


def _is_power_of_two(number: float) -> bool:
    return (
        number != 0.0 and math.isfinite(number) and math.frexp(abs(number))[0] == 0.5 and abs(number) < 1e30
    )
