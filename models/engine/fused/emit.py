"""One value of a program as LLVM instructions on vectors: the other table of operations."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from thalweg.models.engine.fused.program import COMPARISONS, LOGIC, Node, Program

# In LLVM's words; `une` and not `one`: a comparison with NaN says that it differs.
PREDICATES = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
INTRINSICS = {
    **{name: name for name in ("sqrt", "floor", "ceil", "trunc", "rint", "fma", "minimum", "maximum")},
    **{"abs": "fabs", "copysign": "copysign"},
}


@dataclass(frozen=True)
class Vector:
    """The type that a kernel computes with: ``width`` lanes of single or double precision."""

    single: bool
    width: int
    scalef: bool = False  # the processor has an instruction for x * 2**n on vectors of 512 bits

    @property
    def element(self) -> str:
        return "float" if self.single else "double"

    @property
    def bytes(self) -> int:
        return 4 if self.single else 8

    @property
    def name(self) -> str:
        return f"<{self.width} x {self.element}>"

    @property
    def integers(self) -> str:
        return f"<{self.width} x i{8 * self.bytes}>"

    @property
    def mask(self) -> str:
        return f"<{self.width} x i1>"

    @property
    def suffix(self) -> str:
        return f"v{self.width}f{8 * self.bytes}"

    def number(self, value: float) -> str:
        """Give a vector of one number, rounded to the type, with all its bits."""
        return f"splat ({self.element} {self.bits(value)})"

    def bits(self, value: float) -> str:
        if self.single:
            value = struct.unpack("<f", struct.pack("<f", value))[0]
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"

    def whole(self, value: int) -> str:
        return f"splat (i{8 * self.bytes} {value})"


@dataclass
class Emitter:
    """Appends instructions to ``lines`` and keeps what they need declared."""

    vector: Vector
    lines: list[str] = field(default_factory=list)
    declarations: set[str] = field(default_factory=set)
    _count: int = 0

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
        for index in program.reachable(wanted, until=known):
            if index in names:
                continue
            node = program.nodes[index]
            if node.operation in ("constant", "never"):
                is_number = node.operation == "constant"
                names[index] = (
                    self.vector.number(float(node.value or 0.0)) if is_number else "zeroinitializer"
                )
                continue
            names[index] = f"%{prefix}{index}"
            self._value(names[index], node, [names[a] for a in node.arguments], index in loose)
        return names

    def _value(self, name: str, node: Node, inside: list[str], loose: bool) -> None:
        t, operation = self.vector.name, node.operation
        if operation in BINARY:
            flags = " contract" if loose else ""
            self.line(f"{name} = {BINARY[operation]}{flags} {t} {inside[0]}, {inside[1]}")
        elif operation == "neg":
            self.line(f"{name} = fneg {t} {inside[0]}")
        elif operation in COMPARISONS:
            self.line(f"{name} = fcmp {PREDICATES[operation]} {t} {inside[0]}, {inside[1]}")
        elif operation in LOGIC:
            verb, other = (operation, inside[-1]) if operation != "not" else ("xor", "splat (i1 true)")
            self.line(f"{name} = {verb} {self.vector.mask} {inside[0]}, {other}")
        elif operation == "where":
            self.line(self._select(name, *inside))
        elif operation in INTRINSICS:
            self._intrinsic(name, INTRINSICS[operation], inside)
        elif operation.startswith("call."):
            self._library(name, operation.removeprefix("call."), inside)
        elif operation in ("exponent", "mantissa"):
            self._split(name, operation, inside[0])
        elif operation == "scale":
            self._scale(name, *inside)
        else:
            raise NotImplementedError(f"no instruction for {operation}")

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def fresh(self) -> str:
        self._count += 1
        return f"%t{self._count}"

    def _select(self, name: str, condition: str, yes: str, no: str) -> str:
        t = self.vector.name
        return f"{name} = select {self.vector.mask} {condition}, {t} {yes}, {t} {no}"

    def _intrinsic(self, name: str, function: str, inside: list[str]) -> None:
        t, full = self.vector.name, f"@llvm.{function}.{self.vector.suffix}"
        self.declarations.add(f"declare {t} {full}({', '.join([t] * len(inside))})")
        flags = "nsz " if function in ("minimum", "maximum") else ""
        self.line(f"{name} = call {flags}{t} {full}({', '.join(f'{t} {a}' for a in inside)})")

    def _library(self, name: str, function: str, inside: list[str]) -> None:
        element = self.vector.element
        full = f"@{function}{'f' if self.vector.single else ''}"
        self.declarations.add(f"declare {element} {full}({', '.join([element] * len(inside))})")
        vector = "poison"
        for lane in range(self.vector.width):
            lanes = [self.fresh() for _ in inside]
            for value, argument in zip(lanes, inside, strict=True):
                self.line(f"{value} = extractelement {self.vector.name} {argument}, i64 {lane}")
            result = self.fresh()
            self.line(f"{result} = call {element} {full}({', '.join(f'{element} {v}' for v in lanes)})")
            last = lane == self.vector.width - 1
            joined = name if last else self.fresh()
            self.line(f"{joined} = insertelement {self.vector.name} {vector}, {element} {result}, i64 {lane}")
            vector = joined

    def _split(self, name: str, operation: str, x: str) -> None:
        """The exponent of a positive normal number (of NaN: NaN), or its mantissa in [sqrt(1/2), sqrt(2))."""
        v, ints = self.vector, self.vector.integers
        shift = v.whole(23 if v.single else 52)
        root_half = 0x3F3504F3 if v.single else 0x3FE6A09E667F3BCD
        bits, over, exponent = self.fresh(), self.fresh(), self.fresh()
        self.line(f"{bits} = bitcast {v.name} {x} to {ints}")
        self.line(f"{over} = sub {ints} {bits}, {v.whole(root_half)}")
        self.line(f"{exponent} = ashr {ints} {over}, {shift}")
        if operation == "exponent":
            number, undefined = self.fresh(), self.fresh()
            self._to_number(number, exponent)
            self.line(f"{undefined} = fcmp uno {v.name} {x}, {x}")
            self.line(self._select(name, undefined, x, number))
            return
        away, rest = self.fresh(), self.fresh()
        self.line(f"{away} = shl {ints} {exponent}, {shift}")
        self.line(f"{rest} = sub {ints} {bits}, {away}")
        self.line(f"{name} = bitcast {ints} {rest} to {v.name}")

    # Adding 1.5 * 2**23 (2**52) leaves a whole number in the last bits, whatever its sign.
    def _magic(self) -> tuple[float, int]:
        return (12582912.0, 0x4B400000) if self.vector.single else (6755399441055744.0, 0x4338000000000000)

    def _to_number(self, name: str, whole: str) -> None:
        v, (number, bits) = self.vector, self._magic()
        shifted, shown = self.fresh(), self.fresh()
        self.line(f"{shifted} = add {v.integers} {whole}, {v.whole(bits)}")
        self.line(f"{shown} = bitcast {v.integers} {shifted} to {v.name}")
        self.line(f"{name} = fsub {v.name} {shown}, {v.number(number)}")

    def _scale(self, name: str, x: str, exponent: str) -> None:
        """x * 2**exponent for a whole number, in two factors so that neither leaves the range."""
        v, ints = self.vector, self.vector.integers
        if v.scalef and v.width * v.bytes == 64:
            self._scalef(name, x, exponent)
            return
        number, bits = self._magic()
        most = 252.0 if v.single else 2044.0
        not_less, bounded, shifted, seen, whole, half, other = (self.fresh() for _ in range(7))
        self._intrinsic(not_less, "maximum", [exponent, v.number(-most)])
        self._intrinsic(bounded, "minimum", [not_less, v.number(most)])
        self.line(f"{shifted} = fadd {v.name} {bounded}, {v.number(number)}")
        self.line(f"{seen} = bitcast {v.name} {shifted} to {ints}")
        self.line(f"{whole} = sub {ints} {seen}, {v.whole(bits)}")
        self.line(f"{half} = ashr {ints} {whole}, {v.whole(1)}")
        self.line(f"{other} = sub {ints} {whole}, {half}")
        partial = self.fresh()
        self.line(f"{partial} = fmul {v.name} {x}, {self._power_of_two(half)}")
        self.line(f"{name} = fmul {v.name} {partial}, {self._power_of_two(other)}")

    def _power_of_two(self, whole: str) -> str:
        v, ints = self.vector, self.vector.integers
        biased, bits, factor = self.fresh(), self.fresh(), self.fresh()
        self.line(f"{biased} = add {ints} {whole}, {v.whole(127 if v.single else 1023)}")
        self.line(f"{bits} = shl {ints} {biased}, {v.whole(23 if v.single else 52)}")
        self.line(f"{factor} = bitcast {ints} {bits} to {v.name}")
        return factor

    def _scalef(self, name: str, x: str, exponent: str) -> None:
        v = self.vector
        mask = f"i{v.width}"
        full = f"@llvm.x86.avx512.mask.scalef.p{'s' if v.single else 'd'}.512"
        self.declarations.add(f"declare {v.name} {full}({v.name}, {v.name}, {v.name}, {mask}, i32)")
        arguments = f"{v.name} {x}, {v.name} {exponent}, {v.name} zeroinitializer, {mask} -1, i32 4"
        self.line(f"{name} = call {v.name} {full}({arguments})")
