"""Exponentials, logarithms and powers by polynomials, in operations that run on whole vectors.

Every other way to call them from a vector (the C library) goes lane by lane. All are written in
primitives of the program, so that what two of them share is computed once: ``x**y``, its derivative
by ``x`` (``y * x**(y - 1)``) and by ``y`` (``x**y * log(x)``) take one logarithm of ``x``.

The polynomials are near-minimax fits (mpmath's ``chebyfit``); the error that is left is below half
a unit in the last place of the type. Range reduction as in Muller et al. (2018), Handbook of
Floating-Point Arithmetic, chapter 10: log2(m 2^e) = e + log2(m), 2^p = 2^n 2^f with n = round(p).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from thalweg.models.engine.fused.program import Node, Program

LOG2_OF_E = 1.4426950408889634074
LN_2 = 0.6931471805599453094

# (2**f - 1) / f for f in [-1/2, 1/2]
EXP2_SINGLE = (
    *(0.693147188026228781, 0.240226507605681269, 0.0555035711421907782),
    *(0.00961808255727785149, 0.00133908633646712344, 0.000154531629451206902),
)
EXP2_DOUBLE = (
    *(0.693147180559945309, 0.240226506959100982, 0.0555041086648215943, 0.00961812910760688853),
    *(0.00133335581464169353, 0.000154035304417360502, 0.0000152527338298361184),
    *(1.32154425879216897e-6, 1.01780624458457735e-7, 7.0725859492692237e-9, 4.45496059818651839e-10),
)
# (log2(1 + z) - z log2(e)) / z**2 for 1 + z in [sqrt(1/2), sqrt(2)]
LOG2_SINGLE = (
    *(-0.7213474791, 0.4809032128, -0.3606903177, 0.2881357707),
    *(-0.2393213014, 0.2140207341, -0.2042805252, 0.1267734435),
)
# (log2(m) / s - 2 log2(e)) / s**2 by s**2, s = (m - 1) / (m + 1), for the same m
LOG2_DOUBLE = (
    *(0.961796693925976041, 0.577078016354135519, 0.412198583898078018, 0.320598738017563657),
    *(0.262323639700489482, 0.221189987214124015, 0.210870794760151727),
)
# (tanh(x) / x - 1) / x**2 by x**2, for |x| < 0.5625
TANH_BOUND = 0.5625
TANH_SINGLE = (
    *(-0.333333316952605473, 0.133330738135011693, -0.0539017531645812335),
    *(0.0212633534471516221, -0.00652557216899814836),
)
TANH_DOUBLE = (
    *(-0.333333333333333333, 0.133333333333332995, -0.0539682539682029094, 0.0218694885331303319),
    *(-0.00886323543712037703, 0.00359212635282223382, -0.00145581494362496544),
    *(0.000589878818750234106, -0.000238364590393762153, 0.0000942777882831950298),
    *(-0.0000333306201399715213, 7.63441418511871332e-6),
)


@dataclass(frozen=True)
class Precision:
    """What depends on the floating-point type."""

    single: bool

    @property
    def smallest_normal(self) -> float:
        return 2.0**-126 if self.single else 2.0**-1022

    @property
    def largest_exponent(self) -> float:
        """Beyond it 2**p is infinite or zero whatever follows."""
        return 200.0 if self.single else 1200.0


@dataclass
class Expansion:
    """Rewrites a program without ``exp log pow tanh``.

    The values made in their place are ``careful``: they make up for each other's rounding, so none
    may be rounded in another way.
    """

    precision: Precision
    program: Program = field(default_factory=Program)
    careful: set[int] = field(default_factory=set)
    _range: dict[int, tuple[float, float]] = field(default_factory=dict)

    def rewrite(self, program: Program) -> Program:
        new: dict[int, int] = {}
        for index in program.reachable(program.outputs.values()):
            node = program.nodes[index]
            new[index] = self._rewritten(node, [new[a] for a in node.arguments])
        self.program.outputs = {name: new[index] for name, index in program.outputs.items()}
        return self.program

    def _rewritten(self, node: Node, arguments: list[int]) -> int:
        p = self.program
        if node.operation == "input":
            return p.input(str(node.value))
        if node.operation == "constant":
            return p.constant(float(node.value or 0.0))
        if node.operation == "zero":
            return p.constant(0.0)
        if node.operation in ("exp", "log", "pow", "power_below", "tanh"):
            before = len(p.nodes)
            made: int = getattr(self, f"_{node.operation}")(*arguments)
            self.careful.update(range(before, len(p.nodes)))
            return made
        if node.operation == "eq" and self._never_equal(*arguments):
            return p.never()
        made = p.add(node.operation, *arguments)
        self._note_range(made)
        return made

    def _never_equal(self, x: int, y: int) -> bool:
        number = self.program.number(y)
        lower, upper = self._range.get(x, (-float("inf"), float("inf")))
        return number is not None and not lower <= number <= upper

    def _note_range(self, index: int) -> None:
        """Keep what clamping says of a value: a power of what is surely positive is simpler."""
        p = self.program
        node = p.nodes[index]
        if node.operation not in ("minimum", "maximum"):
            return
        lower, upper = self._range.get(node.arguments[0], (-float("inf"), float("inf")))
        bound = p.number(node.arguments[1])
        if bound is not None and node.operation == "maximum":
            self._range[index] = max(lower, bound), max(upper, bound)
        elif bound is not None:
            self._range[index] = min(lower, bound), min(upper, bound)

    def _surely_positive(self, x: int) -> bool:
        lower, upper = self._range.get(x, (0.0, float("inf")))
        return lower >= self.precision.smallest_normal and upper < 1e38

    def _polynomial(self, x: int, coefficients: Sequence[float]) -> int:
        """Evaluate by Estrin's scheme: pairs at once, so that no long chain waits for itself."""
        p = self.program
        terms = [p.constant(c) for c in coefficients]
        while len(terms) > 1:
            pairs = [p.add("fma", high, x, low) for low, high in zip(terms[::2], terms[1::2], strict=False)]
            terms = pairs + terms[len(terms) - len(terms) % 2 :]
            x = p.add("mul", x, x) if len(terms) > 1 else x
        return terms[0]

    def _log2(self, x: int) -> tuple[int, int]:
        """Give log2(x) of a positive normal number (or NaN) as a sum of two numbers."""
        p = self.program
        exponent, mantissa = p.add("exponent", x), p.add("mantissa", x)
        one = p.constant(1.0)
        z = p.add("sub", mantissa, one)
        if self.precision.single:
            curved = p.add("mul", p.add("mul", z, z), self._polynomial(z, LOG2_SINGLE))
            fraction = p.add("fma", z, p.constant(LOG2_OF_E), curved)
        else:
            s = p.add("div", z, p.add("add", mantissa, one))
            square = p.add("mul", s, s)
            slope = p.add("fma", square, self._polynomial(square, LOG2_DOUBLE), p.constant(2 * LOG2_OF_E))
            fraction = p.add("mul", s, slope)
        high = p.add("add", exponent, fraction)
        return high, p.add("sub", fraction, p.add("sub", high, exponent))

    def _exp2(self, high: int, low: int) -> int:
        """Give 2**(high + low), ``low`` being small."""
        p = self.program
        whole = p.add("rint", high)
        beyond = p.add("ge", p.add("abs", high), p.constant(self.precision.largest_exponent))
        part = p.add("where", beyond, p.constant(0.0), p.add("add", p.add("sub", high, whole), low))
        slope = self._polynomial(part, EXP2_SINGLE if self.precision.single else EXP2_DOUBLE)
        return p.add("scale", p.add("fma", part, slope, p.constant(1.0)), whole)

    def _any_log2(self, x: int) -> tuple[int, int]:
        """Give log2 of any number as a sum of two; also of 0, infinity and what has no logarithm."""
        if self._surely_positive(x):
            return self._log2(x)
        p = self.program
        tiny = p.add("lt", x, p.constant(self.precision.smallest_normal))
        lift = 30.0 if self.precision.single else 60.0
        lifted = p.add("where", tiny, p.add("mul", x, p.constant(2.0**lift)), x)
        high, low = self._log2(lifted)
        high = p.add("sub", high, p.add("where", tiny, p.constant(lift), p.constant(0.0)))
        infinity, zero = p.constant(float("inf")), p.constant(0.0)
        plain = p.add("and", p.add("gt", x, zero), p.add("lt", x, infinity))
        beyond = p.add("where", p.add("eq", x, zero), p.constant(-float("inf")), p.constant(float("nan")))
        beyond = p.add("where", p.add("eq", x, infinity), infinity, beyond)
        return p.add("where", plain, high, beyond), p.add("where", plain, low, zero)

    def _log(self, x: int) -> int:
        p = self.program
        high, low = self._any_log2(x)
        return p.add("mul", p.add("add", high, low), p.constant(LN_2))

    def _exp(self, x: int) -> int:
        p = self.program
        scale = p.constant(LOG2_OF_E)
        rounded = _as_single(LOG2_OF_E) if self.precision.single else LOG2_OF_E
        rest = LOG2_OF_E - rounded if self.precision.single else 2.0355273740931033e-17
        high = p.add("mul", x, scale)
        low = p.add("fma", x, p.constant(rest), p.add("fma", x, scale, p.add("neg", high)))
        return self._exp2(high, low)

    def _pow(self, x: int, y: int) -> int:
        p = self.program
        if self._surely_positive(x):
            return self._power_of_positive(*self._log2(x), y)
        zero, one, absolute = p.constant(0.0), p.constant(1.0), p.add("abs", x)
        size = self._power_of_positive(*self._any_log2(absolute), y)
        size = p.add("where", p.add("eq", absolute, one), one, size)
        half = p.add("mul", y, p.constant(0.5))
        is_whole = p.add("eq", p.add("floor", y), y)
        is_odd = p.add("and", is_whole, p.add("ne", p.add("floor", half), half))
        is_infinite = p.add("eq", absolute, p.constant(float("inf")))
        is_real = p.add("or", p.add("or", is_whole, is_infinite), p.add("not", p.add("lt", x, zero)))
        signed = p.add("where", is_odd, p.add("copysign", size, x), size)
        result = p.add("where", is_real, signed, p.constant(float("nan")))
        return p.add("where", p.add("eq", y, zero), one, result)

    def _power_below(self, x: int, y: int) -> int:
        """Give x**(y - 1), for a gradient, from x**y where x is not so small that this vanishes."""
        p, one = self.program, self.program.constant(1.0)
        if self._surely_positive(x) and self._range[x][0] >= 1e-6:
            return p.add("mul", self._pow(x, y), p.add("div", one, x))
        return self._pow(x, p.add("sub", y, one))

    def _power_of_positive(self, high: int, low: int, y: int) -> int:
        p = self.program
        product = p.add("mul", high, y)
        rest = p.add("fma", low, y, p.add("fma", high, y, p.add("neg", product)))
        return self._exp2(product, rest)

    def _tanh(self, x: int) -> int:
        p = self.program
        one, two = p.constant(1.0), p.constant(2.0)
        size = p.add("abs", x)
        grown = self._exp(p.add("mul", size, two))
        far = p.add("sub", one, p.add("div", two, p.add("add", grown, one)))
        far = p.add("where", p.add("lt", x, p.constant(0.0)), p.add("neg", far), far)
        square = p.add("mul", x, x)
        curve = self._polynomial(square, TANH_SINGLE if self.precision.single else TANH_DOUBLE)
        near = p.add("fma", p.add("mul", square, curve), x, x)
        return p.add("where", p.add("lt", size, p.constant(TANH_BOUND)), near, far)


def _as_single(value: float) -> float:
    single: float = struct.unpack("f", struct.pack("f", value))[0]
    return single
