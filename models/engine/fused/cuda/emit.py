"""One value of a program as lines of Triton: the GPU's table of operations."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from thalweg.models.engine.fused.operations import LIBRARY
from thalweg.models.engine.fused.program import Node, Program
from thalweg.models.engine.fused.tracing import UnsupportedOperation

INFIX = {
    **{"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|"},
    **{"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="},
}
CALLS = {
    **{"abs": "tl.abs", "floor": "tl.floor", "ceil": "tl.ceil", "where": "tl.where", "fma": "fma"},
    **{name: f"libdevice.{name}" for name in ("rint", "trunc", "copysign")},
    **{f"call.{name}": f"libdevice.{name}" for name in LIBRARY},
}


@dataclass(frozen=True)
class Bits:
    """How a number of single or double precision lies in memory."""

    single: bool

    @property
    def number(self) -> str:
        return "tl.float32" if self.single else "tl.float64"

    @property
    def whole(self) -> str:
        return "tl.int32" if self.single else "tl.int64"

    @property
    def shift(self) -> int:
        """The bits of the mantissa."""
        return 23 if self.single else 52

    @property
    def bias(self) -> int:
        return 127 if self.single else 1023

    @property
    def root_half(self) -> int:
        """The square root of one half."""
        return 0x3F3504F3 if self.single else 0x3FE6A09E667F3BCD

    @property
    def magic(self) -> tuple[float, int]:
        """Added to a whole number, it leaves it in the last bits; as a number and as its bits."""
        return (12582912.0, 0x4B400000) if self.single else (6755399441055744.0, 0x4338000000000000)


@dataclass
class Emitter:
    """Appends lines to ``lines``, each one value of a block of lanes.

    Triton is told not to fuse products with sums on its own (``enable_fp_fusion``), so a value is
    rounded as torch rounds it unless it is loose. Its ``-x`` is ``0 - x``, which loses the sign of a
    zero, and its ``/`` and ``sqrt`` are approximate in single precision: others stand in for them.
    """

    single: bool
    lines: list[str] = field(default_factory=list)
    indent: str = "    "

    def __post_init__(self) -> None:
        self.bits = Bits(self.single)

    def line(self, text: str) -> None:
        self.lines.append(f"{self.indent}{text}")

    @contextlib.contextmanager
    def indented(self) -> Iterator[None]:
        """Write lines one level further in."""
        outer, self.indent = self.indent, f"{self.indent}    "
        yield
        self.indent = outer

    def constants(self, program: Program, wanted: Iterable[int]) -> dict[int, str]:
        """Emit the numbers among these values, which take no memory and no time; give their names."""
        names: dict[int, str] = {}
        for index in program.reachable(wanted):
            node = program.nodes[index]
            if node.operation == "constant":
                names[index] = f"k{index}"
                self.line(f"k{index} = {self.full(float(node.value or 0.0))}")
            elif node.operation == "never":
                names[index] = f"k{index}"
                self.line(f"k{index} = tl.full((BLOCK,), 0, tl.int1)")
        return names

    def full(self, value: float) -> str:
        """Give a block of one number."""
        if value == 0.0 and math.copysign(1.0, value) < 0.0:
            return f"{self.full(0.0)} * -1.0"
        text = repr(value) if math.isfinite(value) else f'float("{value}")'
        return f"tl.full((BLOCK,), {text}, {self.bits.number})"

    def values(
        self,
        program: Program,
        wanted: Iterable[int],
        known: Mapping[int, str],
        prefix: str,
        loose: frozenset[int] = frozenset(),
    ) -> dict[int, str]:
        """Emit what ``wanted`` needs beyond ``known``; give the name of every value.

        ``loose`` values may fuse a product with a sum; all others round as torch does.
        """
        names = dict(known)
        roots = list(wanted)
        needed = [i for i in program.reachable(roots, until=known) if i not in names]
        products = _fused_products(program, needed, roots, loose)
        taken_in = set(products.values())
        for index in needed:
            if index in taken_in:
                continue
            node, name = program.nodes[index], f"{prefix}{index}"
            if index in products:
                text = self._fused(program, index, products[index], names)
            else:
                text = self._value(name, node, [names[a] for a in node.arguments], index in loose)
            self.line(f"{name} = {text}")
            names[index] = name
        return names

    def _value(self, name: str, node: Node, inside: list[str], loose: bool) -> str:
        operation = node.operation
        if operation == "div" and self.single and not loose:
            return f"tl.div_rn({inside[0]}, {inside[1]})"
        if operation in INFIX:
            return f"{inside[0]} {INFIX[operation]} {inside[1]}"
        if operation in CALLS:
            return f"{CALLS[operation]}({', '.join(inside)})"
        if operation in ("minimum", "maximum"):
            return f"tl.{operation}({inside[0]}, {inside[1]}, propagate_nan=tl.PropagateNan.ALL)"
        if operation == "sqrt":
            return f"tl.sqrt_rn({inside[0]})" if self.single else f"tl.sqrt({inside[0]})"
        if operation == "neg":
            return f"{inside[0]} * -1.0"
        if operation == "not":
            return f"~{inside[0]}"
        if operation in ("exponent", "mantissa"):
            return self._split(name, operation, inside[0])
        if operation == "scale":
            return self._scale(name, *inside)
        raise UnsupportedOperation(f"the fused backend cannot compute {operation} on a GPU")

    def _fused(self, program: Program, index: int, product: int, names: Mapping[int, str]) -> str:
        """Give ``a * b + c``, ``a * b - c`` or ``c - a * b`` rounded once."""
        node = program.nodes[index]
        a, b = (names[i] for i in program.nodes[product].arguments)
        is_first = node.arguments[0] == product
        c = names[node.arguments[1 if is_first else 0]]
        if node.operation == "add":
            return f"fma({a}, {b}, {c})"
        return f"fma({a}, {b}, {c} * -1.0)" if is_first else f"fma({a} * -1.0, {b}, {c})"

    def _split(self, name: str, operation: str, x: str) -> str:
        """The exponent of a positive normal number (of NaN: NaN), or its mantissa in [sqrt(1/2), sqrt(2))."""
        bits = self.bits
        self.line(f"{name}_bits = {x}.to({bits.whole}, bitcast=True)")
        exponent = f"(({name}_bits - {bits.root_half:#x}) >> {bits.shift})"
        if operation == "exponent":
            return f"tl.where({x} == {x}, {exponent}.to({bits.number}), {x})"
        return f"({name}_bits - ({exponent} << {bits.shift})).to({bits.number}, bitcast=True)"

    def _scale(self, name: str, x: str, exponent: str) -> str:
        """x * 2**exponent for a whole number, in two factors so that neither leaves the range."""
        bits, (number, shown) = self.bits, self.bits.magic
        most = 2.0 * (bits.bias - 1)
        self.line(f"{name}_near = tl.minimum(tl.maximum({exponent}, {-most}), {most})")
        self.line(f"{name}_whole = ({name}_near + {number}).to({bits.whole}, bitcast=True) - {shown:#x}")
        self.line(f"{name}_half = {name}_whole >> 1")
        halves = (f"{name}_half", f"({name}_whole - {name}_half)")
        factors = [f"(({h} + {bits.bias}) << {bits.shift}).to({bits.number}, bitcast=True)" for h in halves]
        return f"{x} * {factors[0]} * {factors[1]}"


def _fused_products(
    program: Program, needed: list[int], roots: list[int], loose: frozenset[int]
) -> dict[int, int]:
    """Give the sums that take in a product, which nothing else uses, and that product."""
    uses = Counter(a for index in needed for a in program.nodes[index].arguments) + Counter(roots)
    inside = set(needed)
    found: dict[int, int] = {}
    for index in needed:
        node = program.nodes[index]
        if node.operation not in ("add", "sub") or index not in loose:
            continue
        for a in node.arguments:
            if a in inside and a in loose and uses[a] == 1 and program.nodes[a].operation == "mul":
                found[index] = a
                break
    return found
