"""Reading a YAML file together with the line of every key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from thalweg.storage.errors import InputError


class _Loader(yaml.SafeLoader):
    """YAML without two traps of its version 1.1: 1e-3 is a number here, and 01 a label."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^([-+]?((0|[1-9][0-9_]*)(\.[0-9_]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class SpecFile:
    """What a YAML file holds, and where."""

    path: Path
    content: dict[str, Any]
    tree: yaml.Node

    def line(self, path: Sequence[str | int]) -> int:
        """Give the line (from 1) of a key, or of the nearest key above it that is there."""
        node, line = self.tree, self.tree.start_mark.line
        for part in path:
            found = _below(node, part)
            if found is None:
                break
            node, line = found
        return line + 1


def read(path: str | Path) -> SpecFile:
    """Read a YAML file that holds keys.

    Raises
    ------
    InputError
        When it is absent, unreadable, no valid YAML, or gives a key twice; with the line.
    """
    path = Path(path)
    text = _text(path)
    tree: yaml.Node | None = None
    try:
        tree = yaml.compose(text, Loader=_Loader)
        if tree is None:
            raise InputError(f"{path}: is empty")
        _refuse_twins(path, tree)
        loader = _Loader(text)
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{place}: is no valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is no valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply; an anchor (&) may hold itself (*)") from None
    except ValueError as error:  # a date such as 1999-02-30
        if isinstance(error, InputError):
            raise
        raise InputError(f"{_date_place(path, tree)}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {_word(content)}, not keys such as `name: ...`")
    return SpecFile(path, content, tree)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{_yaml_files_near(path)}") from None
    except IsADirectoryError:
        raise InputError(
            f"{path}: is a folder, not an experiment file{_yaml_files_near(path / 'x')}"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text in UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _yaml_files_near(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist"
    found = sorted(item.name for item in path.parent.iterdir() if item.suffix in (".yaml", ".yml"))
    return f"; {path.parent} has {', '.join(found[:5])}" if found else ""


def _refuse_twins(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise InputError(f"{path}:{key.start_mark.line + 1}: {key.value}: is given twice; keep one")
            seen.add(key.value)
            _refuse_twins(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twins(path, item)


def _date_place(path: Path, tree: yaml.Node | None) -> str:
    """Give file and line of the first date that the calendar does not have."""
    pending = [tree] if tree else []
    while pending:
        node = pending.pop(0)
        if isinstance(node, yaml.MappingNode):
            pending.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif node.tag.endswith(":timestamp"):
            try:
                _Loader("").construct_object(node)
            except ValueError:
                return f"{path}:{node.start_mark.line + 1}: {node.value}"
    return str(path)


def _below(node: yaml.Node, part: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, item.start_mark.line
    return None


def _word(value: Any) -> str:
    return "a list" if isinstance(value, list) else f"only {value!r}"


def value(text: str, where: str) -> Any:
    """Read one value written as YAML, such as ``5``, ``1e-3`` or ``[a, b]``."""
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: {text!r} is no valid value: {' '.join(str(error).split())}") from None
