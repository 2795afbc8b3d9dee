"""Paths that somebody typed into the page: which stay within the workspace, wherever links and patterns lead.

A pattern is judged by all that it meets, and a folder of data by all that is in it. What stands in braces, as
in `obs/{site}.csv`, may become any name: it is a pattern here.
"""

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

FOLDERS = "THALWEG_DASHBOARD_FOLDERS"
"""Further folders, with `:` between, in which a submitted experiment may read and make stores."""
MOST_MET = 200_000  # files and folders that are looked through for links
_ALL = ""  # in place of a part of a pattern: everything below, hidden or not
_WILD = re.compile(r"[*?[]")
_BRACES = re.compile(r"\{[^{}]*\}")
_NUMBER = re.compile(r"\.(\d[\d_]*([eE][-+]?\d+)?|inf|nan)", re.I)


class _TooManyError(Exception):
    """There is more than can be looked through."""


def workspace() -> Path:
    """The folder that paths of experiments are relative to: where the server was started."""
    return Path.cwd().resolve()


def path_refusal(value: str, whole: bool = False) -> str:
    """Tell why a path must not stand in a submitted experiment; nothing where it may.

    Parameters
    ----------
    value : a path, a pattern, or any other text, which is a path that is not there.
    whole : all that is in a folder counts.
    """
    leaves = f"{value!r}: leaves the workspace"
    if value.startswith("~") or "\0" in value:
        return leaves
    parts = [part for part in value.split("/") if part not in ("", ".")]
    wild = next((place for place, part in enumerate(parts) if _pattern(part) is not None), len(parts))
    fixed, rest = parts[:wild], parts[wild:]
    if any(".." in part.split("\\") for part in rest):
        return leaves
    try:
        place = Path("/" if value.startswith("/") else workspace(), *fixed).resolve()
    except (OSError, RuntimeError):  # a circle of links: it cannot be opened
        return leaves if value.startswith("/") else ""
    if not _allowed(place):
        return leaves
    if _is_hidden(value):
        return f"{value!r}: hidden files and folders are not taken"
    pattern = (*(_pattern(part) or part for part in rest), *((_ALL,) if whole else ()))
    try:
        out = next((link for link in _links(str(place), pattern) if not _allowed_link(link)), None)
    except _TooManyError:
        return f"{value!r}: more than {MOST_MET:,} files would have to be looked through: name a folder below"
    return "" if out is None else f"{value!r}: leaves the workspace by the link {Path(out).name!r}"


def _pattern(part: str) -> str | None:
    """A part of a path as a pattern; None where it has no sign of one."""
    found = part
    while _BRACES.search(found):  # also those in others
        found = _BRACES.sub("*", found)
    if found != part:
        return re.sub(r"\*+", "*", found)  # names side by side are one name, not the `**` of folders
    return part if _WILD.search(part) else None


def _is_hidden(value: str) -> bool:
    """Whether a path goes through a hidden name, below the folder that it is allowed in."""
    root = next((root for root in _roots() if Path(value).is_relative_to(root)), None)
    parts = (value if root is None else str(Path(value).relative_to(root))).split("/")
    if len(parts) == 1 and _NUMBER.fullmatch(value):
        return False
    return any(part.startswith(".") and part not in (".", "..") for part in parts)


def _roots() -> tuple[Path, ...]:
    further = os.environ.get(FOLDERS, "").split(":")
    return (workspace(), *(Path(each).resolve() for each in further if each))


def _allowed(place: Path) -> bool:
    return any(place.is_relative_to(root) for root in _roots())


def _allowed_link(link: str) -> bool:
    try:
        return _allowed(Path(link).resolve())
    except (OSError, RuntimeError):  # a circle of links
        return True


def _links(place: str, pattern: tuple[str, ...]) -> Iterator[str]:
    """Give every link that a pattern meets below a folder, each before anything behind it is looked at."""
    todo, seen, met = [(place, pattern)], set[tuple[str, tuple[str, ...]]](), 0
    while todo:
        folder, parts = todo.pop()
        key = (os.path.realpath(folder), parts)
        if not parts or key in seen:  # links may lead in circles
            continue
        seen.add(key)
        first, rest = parts[0], parts[1:]
        deep = first in ("**", _ALL)
        if deep:
            todo.append((folder, rest))
        for entry in _entries(folder):
            met += 1
            if met > MOST_MET:
                raise _TooManyError
            if not (
                _matches(entry.name, first) and (not deep or not rest or first == _ALL or _is_dir(entry))
            ):
                continue
            if entry.is_symlink():
                yield entry.path
            if _is_dir(entry):
                todo.append((entry.path, parts if deep else rest))


def _matches(name: str, part: str) -> bool:
    """Whether a name fits a part of a pattern; as with `glob`, a hidden one does not."""
    return part == _ALL or (not name.startswith(".") and fnmatchcase(name, part))


def _entries(folder: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:  # no folder, or one that cannot be read
        return []


def _is_dir(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
