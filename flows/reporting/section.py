"""What a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """A table of text; columns after the first ``words`` ones are numbers and stand to the right.

    Attributes
    ----------
    marked : places of rows that deserve doubt.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Figure:
    """A figure as SVG."""

    caption: str
    svg: str


@dataclass
class Section:
    """A question and its answer.

    Attributes
    ----------
    key : the anchor.
    parts : paragraphs, tables and figures, in order.
    short : sentences that go to the top of the report.
    """

    key: str
    title: str
    parts: list[str | Table | Figure] = field(default_factory=list)
    short: list[str] = field(default_factory=list)

    def tell(self, sentence: str, *, short: bool = False) -> None:
        """Add a paragraph; with ``short`` to the top of the report too."""
        self.parts.append(sentence)
        if short:
            self.short.append(sentence)


def number(value: float | None, decimals: int = 2) -> str:
    """Give a number for reading; a dash where there is none."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return "–"
    text = f"{round(float(value), decimals) + 0.0:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def between(low: float, high: float, decimals: int = 2) -> str:
    """Give an interval for reading."""
    return f"{number(low, decimals)} to {number(high, decimals)}"
