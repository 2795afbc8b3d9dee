"""What each torch operation is in a program: the one table to extend for a new operation.

An entry takes the program and the operation's arguments (values as nodes; numbers as constants) and
gives the node of its result. It is built from the primitives that the emitters know:

``add sub mul div neg abs sqrt fma minimum maximum where``, comparisons ``lt le gt ge eq ne``, logic
``and or not``, ``floor ceil trunc rint copysign``, ``exp log pow tanh``, and functions of the C mathematical
library, one lane after another: ``call.sin`` and so on (any of :data:`LIBRARY`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from thalweg.models.engine.fused.program import Program

LIBRARY = [
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "acosh",
    "atanh",
    "expm1",
    "log1p",
    "erf",
    "erfc",
    "lgamma",
    "atan2",
    "fmod",
]

# B(2k) / 2k of Bernoulli's numbers, k = 1, 2, ...: the series of digamma in 1 / z**2.
DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760)

Entry = Callable[..., int]


def _scaled(p: Program, x: int, factor: int | None) -> int:
    return x if factor is None else p.add("mul", x, factor)


def _add(p: Program, x: int, y: int, alpha: int | None = None) -> int:
    return p.add("add", x, y) if alpha is None else p.add("fma", y, alpha, x)


def _sub(p: Program, x: int, y: int, alpha: int | None = None) -> int:
    return p.add("sub", x, y) if alpha is None else p.add("fma", y, p.add("neg", alpha), x)


def _rsub(p: Program, x: int, y: int, alpha: int | None = None) -> int:
    return _sub(p, y, x, alpha)


def _div(p: Program, x: int, y: int, rounding_mode: str | None = None) -> int:
    quotient = p.add("div", x, y)
    if rounding_mode == "floor":
        return _floor_division(p, x, y, quotient)
    return quotient if rounding_mode is None else p.add(rounding_mode, quotient)


def _floor_division(p: Program, x: int, y: int, quotient: int) -> int:
    """Give the whole number below x / y as torch does, by the exact rest: the quotient may be rounded up."""
    zero, one = p.constant(0.0), p.constant(1.0)
    rest, shift = _rest(p, x, y)
    times = p.add("div", p.add("sub", x, rest), y)
    times = p.add("where", shift, p.add("sub", times, one), times)
    below = p.add("floor", times)
    above = p.add("gt", p.add("sub", times, below), p.constant(0.5))
    whole = p.add("where", above, p.add("add", below, one), below)
    whole = p.add("where", p.add("eq", times, zero), p.add("mul", quotient, zero), whole)
    return p.add("where", p.add("eq", y, zero), quotient, whole)


def _reciprocal(p: Program, x: int) -> int:
    return p.add("div", p.constant(1.0), x)


def _clamp(p: Program, x: int, lower: int | None = None, upper: int | None = None) -> int:
    if lower is not None:
        x = p.add("maximum", x, lower)
    return x if upper is None else p.add("minimum", x, upper)


def _pow(p: Program, x: int, y: int) -> int:
    exponent = p.number(y)
    if exponent is None or exponent not in (-2.0, -1.0, -0.5, 0.0, 0.5, *map(float, range(1, 9))):
        return p.add("pow", x, y)
    if exponent == 0.0:
        return p.constant(1.0)
    if exponent < 0.0:
        return _reciprocal(p, _pow(p, x, p.constant(-exponent)))
    if exponent == 0.5:
        return p.add("sqrt", x)
    return _whole_power(p, x, int(exponent))


def _whole_power(p: Program, x: int, exponent: int) -> int:
    if exponent == 1:
        return x
    half = _whole_power(p, x, exponent // 2)
    square = p.add("mul", half, half)
    return p.add("mul", square, x) if exponent % 2 else square


def _sign(p: Program, x: int) -> int:
    zero, one = p.constant(0.0), p.constant(1.0)
    below = p.add("where", p.add("lt", x, zero), p.constant(-1.0), zero)
    return p.add("where", p.add("gt", x, zero), one, below)


def _sigmoid(p: Program, x: int) -> int:
    return _reciprocal(p, p.add("add", p.constant(1.0), p.add("exp", p.add("neg", x))))


def _softplus(p: Program, x: int, beta: int | None = None, threshold: int | None = None) -> int:
    beta = p.constant(1.0) if beta is None else beta
    threshold = p.constant(20.0) if threshold is None else threshold
    scaled = p.add("mul", x, beta)
    soft = p.add("div", p.add("call.log1p", p.add("exp", scaled)), beta)
    return p.add("where", p.add("gt", scaled, threshold), x, soft)


def _softplus_backward(p: Program, grad: int, x: int, beta: int, threshold: int) -> int:
    scaled = p.add("mul", x, beta)
    grown = p.add("exp", scaled)
    soft = p.add("div", p.add("mul", grad, grown), p.add("add", grown, p.constant(1.0)))
    return p.add("where", p.add("gt", scaled, threshold), grad, soft)


def _one_minus_square(p: Program, y: int) -> int:
    return p.add("sub", p.constant(1.0), p.add("mul", y, y))


def _remainder(p: Program, x: int, y: int) -> int:
    rest, shift = _rest(p, x, y)
    return p.add("where", shift, p.add("add", rest, y), rest)


def _rest(p: Program, x: int, y: int) -> tuple[int, int]:
    """Give what division towards zero leaves, and whether it has the other sign than y."""
    rest, zero = p.add("call.fmod", x, y), p.constant(0.0)
    differs = p.add("ne", p.add("lt", rest, zero), p.add("lt", y, zero))
    return rest, p.add("and", p.add("ne", rest, zero), differs)


def _lerp(p: Program, x: int, y: int, w: int) -> int:
    """Go from the nearer end, rounded once."""
    way, weight = p.add("sub", y, x), p.number(w)
    from_x = p.add("fma", w, way, x)
    from_y = p.add("fma", p.add("sub", w, p.constant(1.0)), way, y)
    if weight is not None:
        return from_x if abs(weight) < 0.5 else from_y
    return p.add("where", p.add("lt", p.add("abs", w), p.constant(0.5)), from_x, from_y)


def _hardtanh_backward(p: Program, grad: int, x: int, lower: int, upper: int) -> int:
    inside = p.add("and", p.add("gt", x, lower), p.add("lt", x, upper))
    return p.add("where", inside, grad, p.constant(0.0))


def _digamma(p: Program, x: int) -> int:
    """Give the slope of lgamma: its asymptotic series ten steps up, and the reflection for negative numbers.

    Abramowitz and Stegun (1964), Handbook of Mathematical Functions, eq. 6.3.6, 6.3.7 and 6.3.18.
    """
    zero, one = p.constant(0.0), p.constant(1.0)
    negative = p.add("lt", x, zero)
    start = p.add("where", negative, p.add("sub", one, x), x)
    steps = _reciprocal(p, start)
    for i in range(1, 10):
        steps = p.add("add", steps, _reciprocal(p, p.add("add", start, p.constant(i))))
    z = p.add("add", start, p.constant(10.0))
    square, series = _reciprocal(p, p.add("mul", z, z)), zero
    for number in reversed(DIGAMMA):
        series = p.add("mul", square, p.add("add", p.constant(number), series))
    far = p.add("sub", p.add("log", z), p.add("div", p.constant(0.5), z))
    value = p.add("sub", p.add("sub", far, series), steps)
    whole = p.add("trunc", x)
    turn = p.add("call.tan", p.add("mul", p.add("sub", x, whole), p.constant(math.pi)))
    reflected = p.add("sub", value, p.add("div", p.constant(math.pi), turn))
    reflected = p.add("where", p.add("eq", x, whole), p.constant(math.nan), reflected)
    return p.add("where", negative, reflected, value)


def _xor(p: Program, x: int, y: int) -> int:
    return p.add("ne", x, y)


def _isnan(p: Program, x: int) -> int:
    return p.add("ne", x, x)


def _addcmul(p: Program, x: int, a: int, b: int, value: int | None = None) -> int:
    return p.add("fma", _scaled(p, a, value), b, x)


def _addcdiv(p: Program, x: int, a: int, b: int, value: int | None = None) -> int:
    return p.add("add", x, p.add("div", _scaled(p, a, value), b))


def _primitive(operation: str) -> Entry:
    def entry(p: Program, *arguments: int) -> int:
        return p.add(operation, *arguments)

    return entry


def _scaled_exp(scale: float) -> Entry:
    return lambda p, x: p.add("exp", p.add("mul", x, p.constant(scale)))


def _scaled_log(scale: float) -> Entry:
    return lambda p, x: p.add("mul", p.add("log", x), p.constant(scale))


def _same(p: Program, x: int, *_rest: Any, **_options: Any) -> int:
    return x


# By the name in torch.ops.aten; a trailing underscore (in place) is left out.
TABLE: dict[str, Entry] = {
    **{
        name: _primitive(name)
        for name in ["mul", "neg", "abs", "sqrt", "exp", "log", "tanh", "floor", "ceil", "trunc"]
    },
    **{
        name: _primitive(name) for name in ["lt", "le", "gt", "ge", "eq", "ne", "minimum", "maximum", "where"]
    },
    **{name: _primitive(f"call.{name}") for name in LIBRARY},
    **{f"logical_{name}": _primitive(name) for name in ("and", "or", "not")},
    **{f"bitwise_{name}": _primitive(name) for name in ("and", "or", "not")},
    **{f"__{name}__": _primitive(name) for name in ("and", "or")},
    "logical_xor": _xor,
    "bitwise_xor": _xor,
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "div": _div,
    "reciprocal": _reciprocal,
    "pow": _pow,
    "square": lambda p, x: p.add("mul", x, x),
    "rsqrt": lambda p, x: _reciprocal(p, p.add("sqrt", x)),
    "exp2": _scaled_exp(0.6931471805599453),
    "log2": _scaled_log(1.4426950408889634),
    "log10": _scaled_log(0.4342944819032518),
    "clamp": _clamp,
    "clamp_min": lambda p, x, lower: _clamp(p, x, lower),
    "clamp_max": lambda p, x, upper: _clamp(p, x, None, upper),
    "relu": lambda p, x: _clamp(p, x, p.constant(0.0)),
    "hardtanh": _clamp,
    "hardtanh_backward": _hardtanh_backward,
    "sign": _sign,
    "sgn": _sign,
    "sigmoid": _sigmoid,
    "digamma": _digamma,
    "softplus": _softplus,
    "remainder": _remainder,
    "isnan": _isnan,
    "round": _primitive("rint"),
    "masked_fill": lambda p, x, mask, value: p.add("where", mask, value, x),
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "lerp": _lerp,
    "threshold_backward": lambda p, g, x, t: p.add("where", p.add("le", x, t), p.constant(0.0), g),
    "sigmoid_backward": lambda p, g, y: p.add("mul", g, p.add("mul", y, p.add("sub", p.constant(1.0), y))),
    "tanh_backward": lambda p, g, y: p.add("mul", g, _one_minus_square(p, y)),
    "softplus_backward": _softplus_backward,
    "fill": lambda p, _x, value: value,
    "zero": lambda p, _x: p.constant(0.0),
    "copy": lambda p, _x, y, **_o: y,
    **dict.fromkeys(("detach", "alias", "clone", "contiguous", "expand", "_to_copy", "lift_fresh"), _same),
}
