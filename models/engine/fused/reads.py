"""What a step reads besides its arguments: attributes, closures and globals, as one value to compare."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor

from thalweg.models.process import ProcessModel

PLAIN = (bool, int, float, complex, str, bytes, type(None))
# Tuples of frozen declarations: nothing in them changes.
DECLARED = frozenset(("forcings", "states", "parameters", "fluxes", "balance"))
# Of what wraps a function.
PARTS = ("__func__", "__self__", "func", "args", "keywords", "fget")
# Libraries do not change while a program runs.
LIBRARIES = frozenset(("torch", "math", "numpy", "builtins", "functools", "itertools", "operator", "typing"))


@dataclass(frozen=True)
class _Same:
    """An object that is compared by identity, and kept, so that its identity is not given to another."""

    item: Any

    def __hash__(self) -> int:
        return id(self.item)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.item is self.item


def reads(process: ProcessModel) -> Any:
    """Give all that a step may read besides its arguments, as a value that can be hashed and compared.

    Two equal ones are the same physics: attributes of the instance and of its classes, what the step and the
    functions that it calls close over, and the globals that they name. Plain numbers, text, containers and
    small tensors count by value; what else there is by identity.
    """
    return _Reader().object(process)


class _Reader:
    def __init__(self) -> None:
        self.seen: set[int] = set()  # objects that contain themselves

    def object(self, process: ProcessModel) -> Any:
        return (type(process).__qualname__, self.kind(type(process)), self.mapping(vars(process)))

    def kind(self, kind: type) -> Any:
        """Give the attributes and the functions of a process model's class and its bases."""
        if id(kind) in self.seen:
            return None
        self.seen.add(id(kind))
        return tuple(
            tuple(
                (name, _Same(value) if name in DECLARED else self.value(value))
                for name, value in vars(base).items()
                if not name.startswith("__")
            )
            for base in kind.__mro__
            if base is not object and base is not ProcessModel
        )

    def mapping(self, values: Any) -> Any:
        return tuple((name, self.value(values[name])) for name in values)

    def value(self, value: Any) -> Any:
        if isinstance(value, PLAIN):
            return type(value).__name__, repr(value)  # apart: 1 and 1.0 and True, 0.0 and -0.0
        if isinstance(value, CodeType):
            return value
        if isinstance(value, (BuiltinFunctionType, ModuleType)):
            return _Same(value)
        if isinstance(value, type):
            ours = issubclass(value, ProcessModel) and value is not ProcessModel
            return _Same(value), self.kind(value) if ours else None
        if id(value) in self.seen:
            return None
        self.seen.add(id(value))
        try:
            return self.composed(value)
        finally:
            self.seen.discard(id(value))

    def composed(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return (str(value.dtype), repr(value.item())) if value.numel() == 1 else _Same(value)
        if isinstance(value, (list, tuple)):
            return type(value).__name__, tuple(self.value(each) for each in value)
        if isinstance(value, (set, frozenset)):
            return "set", frozenset(self.value(each) for each in value)
        if isinstance(value, dict):
            return "dict", tuple((self.value(key), self.value(each)) for key, each in value.items())
        if isinstance(value, FunctionType):
            return self.function(value)
        if isinstance(value, (MethodType, functools.partial, staticmethod, classmethod, property)):
            parts = (
                getattr(value, n, None) for n in ("__func__", "__self__", "func", "args", "keywords", "fget")
            )
            return type(value).__name__, tuple(self.value(part) for part in parts)
        if isinstance(getattr(value, "__dict__", None), dict):
            return type(value).__qualname__, self.mapping(vars(value))
        return _Same(value)

    def function(self, function: FunctionType) -> Any:
        if function.__module__ is None or function.__module__.partition(".")[0] in LIBRARIES:
            return _Same(function)
        cells = tuple(self.value(_content(cell)) for cell in function.__closure__ or ())
        defaults = (self.value(function.__defaults__), self.value(function.__kwdefaults__))
        named = {name: function.__globals__[name] for name in _globals(function.__code__, function)}
        return function.__code__, defaults, cells, self.mapping(named)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _globals(code: CodeType, function: FunctionType) -> Iterator[str]:
    return (name for name in _names(code) if name in function.__globals__)


@functools.lru_cache(maxsize=1024)
def _names(code: CodeType) -> tuple[str, ...]:
    """Name the globals that code loads, and the code within it."""
    loaded = [each.argval for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            loaded.extend(_names(constant))
    return tuple(dict.fromkeys(loaded))
