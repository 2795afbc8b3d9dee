"""What each torch operation is in a program: the one table to extend for a new operation.

An entry takes the program and the operation's arguments (values as nodes; numbers as constants) and
gives the node of its result. It is built from the primitives that the emitters know:

``add sub mul div neg abs sqrt fma minimum maximum where``, comparisons ``lt le gt ge eq ne``, logic
``and or not``, ``floor ceil trunc rint``, ``exp log pow tanh``, and functions of the C mathematical
library, one lane after another: ``call.sin`` and so on (any of :data:`LIBRARY`).
"""

from __future__ import annotations

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

Entry = Callable[..., int]


def _scaled(p: Program, x: int, alpha: int | None) -> int:
    return x if alpha is None else p.add("mul", x, alpha)


def _add(p: Program, x: int, y: int, alpha: int | None = None) -> int:
    return p.add("add", x, _scaled(p, y, alpha))


def _sub(p: Program, x: int, y: int, alpha: int | None = None) -> int:
    return p.add("sub", x, _scaled(p, y, alpha))


def _rsub(p: Program, x: int, y: int, alpha: int | None = None) -> int:
    return p.add("sub", y, _scaled(p, x, alpha))


def _div(p: Program, x: int, y: int, rounding_mode: str | None = None) -> int:
    quotient = p.add("div", x, y)
    return quotient if rounding_mode is None else p.add(rounding_mode, quotient)


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
    return p.add(
        "where", p.add("gt", x, zero), one, p.add("where", p.add("lt", x, zero), p.constant(-1.0), x)
    )


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
    return p.add("where", p.add("gt", scaled, threshold), grad, p.add("mul", grad, _sigmoid(p, scaled)))


def _one_minus_square(p: Program, y: int) -> int:
    return p.add("sub", p.constant(1.0), p.add("mul", y, y))


def _remainder(p: Program, x: int, y: int) -> int:
    rest = p.add("call.fmod", x, y)
    zero = p.constant(0.0)
    differs = p.add("ne", p.add("lt", rest, zero), p.add("lt", y, zero))
    shift = p.add("and", p.add("ne", rest, zero), differs)
    return p.add("where", shift, p.add("add", rest, y), rest)


def _xor(p: Program, x: int, y: int) -> int:
    return p.add("ne", x, y)


def _isnan(p: Program, x: int) -> int:
    return p.add("ne", x, x)


def _fused(p: Program, x: int, a: int, b: int, value: int | None, operation: str) -> int:
    return p.add("add", x, _scaled(p, p.add(operation, a, b), value))


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
    "sign": _sign,
    "sgn": _sign,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "remainder": _remainder,
    "isnan": _isnan,
    "round": _primitive("rint"),
    "masked_fill": lambda p, x, mask, value: p.add("where", mask, value, x),
    "addcmul": lambda p, x, a, b, value=None: _fused(p, x, a, b, value, "mul"),
    "addcdiv": lambda p, x, a, b, value=None: _fused(p, x, a, b, value, "div"),
    "lerp": lambda p, x, y, w: p.add("add", x, p.add("mul", w, p.add("sub", y, x))),
    "threshold_backward": lambda p, g, x, t: p.add("where", p.add("le", x, t), p.constant(0.0), g),
    "sigmoid_backward": lambda p, g, y: p.add("mul", g, p.add("mul", y, p.add("sub", p.constant(1.0), y))),
    "tanh_backward": lambda p, g, y: p.add("mul", g, _one_minus_square(p, y)),
    "softplus_backward": _softplus_backward,
    "fill": lambda p, _x, value: value,
    "zero": lambda p, _x: p.constant(0.0),
    "copy": lambda p, _x, y, **_o: y,
    **dict.fromkeys(("detach", "alias", "clone", "contiguous", "expand", "_to_copy", "lift_fresh"), _same),
}
