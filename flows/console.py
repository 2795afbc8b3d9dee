"""Printing for people and for scripts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 200  # columns where there is no terminal: nothing is cut off in a log or a pipe


def console() -> Console:
    """Give the console of standard output."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, soft_wrap=False)


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """Give an empty table; columns named in ``right`` are aligned there."""
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def print_json(content: Any) -> None:
    """Print JSON; numbers that are not finite become null."""
    print(json.dumps(plain(content), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Give what JSON can hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # a NumPy number
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (date, Path)):
        return str(value)
    return value if isinstance(value, (bool, int, str, type(None))) else None


def plural(count: int, word: str) -> str:
    """Give ``1 cell``, ``1,200 cells``."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def part_text(part: Mapping[str, Any] | None) -> str:
    """Give a part, as its ``summary`` tells it, as text; nothing where there is none."""
    if not part:
        return ""
    days = f"{part['days'] / 365.25:.1f} years in " if part.get("days") else ""
    store = f", of {part['store']}" if part.get("store") else ""
    return f"{part['sites']} sites, {days}{part['start']} to {part['end']}{store}"


def number(value: Any, digits: int = 3) -> str:
    """Give a number as text; nothing where it is missing."""
    missing = value is None or not isinstance(value, (int, float)) or not math.isfinite(value)
    return "" if missing else f"{value:.{digits}f}"


def interval(row: Mapping[str, Any], digits: int = 3) -> str:
    """Give ``median [low, high]`` as text."""
    if not number(row["median"]):
        return "-"
    text = number(row["median"], digits)
    if not number(row["low"]):
        return text
    return f"{text} [{number(row['low'], digits - 1)}, {number(row['high'], digits - 1)}]"
