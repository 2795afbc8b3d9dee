"""The keys of an experiment: which there are at a place, and what a dotted key leads to."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from thalweg.flows.names import nearest
from thalweg.storage.errors import InputError

Path = Sequence[str | int]


def known_keys(model: type[BaseModel]) -> list[str]:
    """Give the keys as they are written in a file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def model_at(path: Path, content: Any) -> type[BaseModel] | None:
    """Give the model of a place in an experiment, or None where there is a plain value.

    Parameters
    ----------
    content : what the file holds; its ``kind`` keys say which of several models a place has.
    """
    from thalweg.flows.experiment import Experiment

    annotation: Any = Experiment
    for part in path:
        annotation = _below(_choose(annotation, content), part)
        content = _content_below(content, part)
    chosen = _choose(annotation, content)
    return chosen if isinstance(chosen, type) and issubclass(chosen, BaseModel) else None


def kinds_at(path: Path) -> list[str]:
    """Give the values that ``kind`` may have at a place such as ``models.<name>`` or ``splits.0``."""
    from thalweg.flows import experiment

    union = experiment.Model if path[0] == "models" else experiment.Split
    union = experiment.Network if path[-1] == "network" else union
    members = get_args(get_args(union)[0])
    return [get_args(member.model_fields["kind"].annotation)[0] for member in members]


def resolve(key: str, content: dict[str, Any]) -> list[str | int]:
    """Give the path of a dotted key, such as ``models.hybrid.components`` or ``splits.temporal.train``.

    Parameters
    ----------
    content : the experiment as nested mappings.

    Raises
    ------
    InputError
        When there is no such key; the nearest is named.
    """
    path: list[str | int] = []
    for written in key.split("."):
        place = ".".join(str(part) for part in path) or "the experiment"
        below = _content_at(content, path)
        model = model_at(path, content)
        if model is not None:
            known = known_keys(model)
            open_ended = model.model_config.get("extra") == "allow"
        elif path == ["splits"]:
            path.append(_split_index(written, below, key))
            continue
        elif isinstance(below, dict):
            known, open_ended = list(below), path == ["search", "space"]
        else:
            raise InputError(f"{key}: {place} has no keys below it")
        if written not in known and not open_ended:
            raise InputError(f"{key}: {place} has no key {written!r}{nearest(written, known)}")
        path.append(written)
    return path


def _split_index(written: str, splits: Sequence[dict[str, Any]], key: str) -> int:
    labels = [split["name"] or split["kind"] for split in splits]
    if written in labels:
        return labels.index(written)
    if written.isdigit() and int(written) < len(labels):
        return int(written)
    raise InputError(f"{key}: there is no split {written!r}{nearest(written, labels)}")


def _choose(annotation: Any, content: Any) -> Any:
    """Strip what surrounds a type; of several models choose the one of this ``kind``."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    members = [item for item in get_args(annotation) if item is not NoneType]
    if len(members) == 1:
        return _choose(members[0], content)
    kind = content.get("kind") if isinstance(content, dict) else None
    for member in members:
        chosen = _choose(member, content)
        field = getattr(chosen, "model_fields", {}).get("kind")
        if field is not None and kind in get_args(field.annotation):
            return chosen
    return None


def _below(annotation: Any, part: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if part in (name, field.alias):
                return field.annotation
        return None
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return arguments[1]
    if get_origin(annotation) is tuple:
        return arguments[0]
    return None


def _content_at(content: Any, path: Path) -> Any:
    for part in path:
        content = _content_below(content, part)
    return content


def _content_below(content: Any, part: str | int) -> Any:
    if isinstance(content, dict):
        return content.get(part)
    if isinstance(content, (list, tuple)) and isinstance(part, int) and part < len(content):
        return content[part]
    return None
