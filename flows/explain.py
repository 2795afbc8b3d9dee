"""Mistakes in an experiment, each as one line: where, what is wrong, what would be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from thalweg.flows import keys
from thalweg.flows.names import nearest
from thalweg.flows.specfile import SpecFile


def lines(error: ValidationError, source: SpecFile | None = None) -> list[str]:
    """Give one line for each mistake, in the order of the file.

    Parameters
    ----------
    source : the file, for its name and line numbers.
    """
    found: list[tuple[int, str]] = []
    items = error.errors(include_url=False)
    for item in items:
        if _follows(item, items):
            continue
        path = _path(item)
        content = source.content if source else None
        message = _message(item, path, content)
        dotted = ".".join(str(part) for part in path)
        line = source.line(path) if source else 0
        place = f"{source.path}:{line}: " if source else ""
        found.append((line, f"{place}{dotted}: {message}" if dotted else f"{place}{message}"))
    return [text for _, text in sorted(found, key=lambda pair: pair[0])]


def _follows(item: Any, items: Sequence[Any]) -> bool:
    """Tell whether a mistake is only the consequence of another, which has its own line."""
    if item["type"] == "too_short":  # items with a mistake were not counted
        return bool(len(item["input"]) >= item["ctx"]["min_length"])
    if item["type"] == "missing":  # a key that is there, misspelt
        *place, name = item["loc"]
        misspelt = [
            other["loc"][-1]
            for other in items
            if other["type"] == "extra_forbidden" and list(other["loc"][:-1]) == place
        ]
        return any(f"'{name}'?" in nearest(each, [str(name)]) for each in misspelt)
    return False


def _path(item: Any) -> list[str | int]:
    """Give the place in the file: the error's own, less the names of the variants pydantic puts in."""
    path = [part for part in item["loc"] if part != "[key]"]
    if len(path) > 2 and path[0] in ("models", "splits"):
        del path[2]
        if len(path) > 3 and path[0] == "models" and path[2] == "network":
            del path[3]
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path.append("kind")
    key = getattr(item.get("ctx", {}).get("error"), "key", "")
    return [*path, *key.split(".")] if key else path


def _message(item: Any, path: list[str | int], content: Any) -> str:
    kind, given = item["type"], item["input"]
    context = item.get("ctx", {})
    if kind == "extra_forbidden":
        model = keys.model_at(path[:-1], content)
        return f"unknown key{nearest(path[-1], keys.known_keys(model) if model else [])}"
    if kind in ("union_tag_invalid", "union_tag_not_found", "literal_error"):
        expected = context.get("expected_tags") or context.get("expected") or context.get("discriminator", "")
        known = [text.strip(" '\"") for text in str(expected).replace(" or ", ", ").split(",")]
        if kind == "union_tag_not_found":
            return f"is missing; there is {', '.join(keys.kinds_at(path[:-1]))}"
        wrong = context.get("tag", given)
        return f"{wrong!r} is unknown{nearest(wrong, known)}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return f"{given!r} must be of lower-case letters, digits, `_` and single `-`"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {_described(given)}"
    if kind in _LIMITS:
        return f"must be {_LIMITS[kind](context)}, not {given!r}"
    return _FIXED.get(kind) or str(item["msg"])


_FIXED = {"missing": "is missing", "recursion_loop": "refers to itself"}

_NUMBER = "a number such as 0.001"
_DATE = "a date such as 1999-10-01"
_WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "date_type": _DATE,
    "date_parsing": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": "a date without a time of day",
    "tuple_type": "a list such as [a, b]",
    "list_type": "a list such as [a, b]",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
}

_LIMITS: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": lambda context: f"more than {context['gt']:g}",
    "greater_than_equal": lambda context: f"at least {context['ge']:g}",
    "less_than": lambda context: f"less than {context['lt']:g}",
    "less_than_equal": lambda context: f"at most {context['le']:g}",
    "too_short": lambda context: f"{context['min_length']} or more items",
    "too_long": lambda context: f"{context['max_length']} items at most",
}


def _described(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"text {value!r}"
    if isinstance(value, dict):
        return "keys with values"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return repr(value)
