"""The figures of a report: SVG without a display, the same bytes for the same numbers."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from thalweg.flows.palette import MODELS, place

COLOURS = MODELS
INK, MUTED, FAINT, FLOOR = "#1a242e", "#5c6975", "#e4e9ed", "#7d8892"
STYLE: Any = {
    "axes.edgecolor": "#b9c3cc",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": FAINT,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "thalweg",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


def colours(models: Iterable[str], floors: Iterable[str] = ()) -> dict[str, str]:
    """Give each model its colour, by its place among them: the dashboard's, where there are no others."""
    muted = set(floors)
    names = sorted(set(models) - muted, key=place)
    found = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    return found | dict.fromkeys(muted, FLOOR)


def panels(count: int, width: float = 3.4, height: float = 2.7, most: int = 3) -> tuple[Figure, list[Axes]]:
    """Give a figure with panels side by side, ``most`` in a row."""
    columns = min(count, most)
    rows = -(-count // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.flat:
        panel.set_axisbelow(True)
        panel.tick_params(length=0)
    for unused in axes.flat[count:]:
        unused.set_visible(False)
    return figure, list(axes.flat[:count])


def svg(figure: Figure) -> str:
    """Give a figure as SVG to stand in a page."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def legend(axes: Axes, **options: Any) -> None:
    """Show the names of lines, if there are any."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8, **{"frameon": False, "labelcolor": INK, **options})


def distribution(axes: Axes, values: Mapping[str, ArrayLike], shades: Mapping[str, str], low: float) -> None:
    """Draw the cumulative distribution over sites of a score for every model; below ``low`` it is cut."""
    for name, each in values.items():
        ordered = np.sort(np.asarray(each, dtype=float))
        ordered = ordered[np.isfinite(ordered)]
        if ordered.size:
            share = np.arange(1, ordered.size + 1) / ordered.size
            broken = "--" if shades.get(name) == FLOOR else "-"
            axes.step(
                np.maximum(ordered, low), share, where="post", label=name, color=shades.get(name), ls=broken
            )
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of sites below")


def ranges(
    axes: Axes,
    names: Sequence[str],
    middle: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    shades: Sequence[str] | None = None,
) -> None:
    """Draw a value and its interval for each name, one below the other."""
    places = np.arange(len(names))[::-1]
    values, below, above = (np.asarray(each, dtype=float) for each in (middle, low, high))
    for row, value, start, end, shade in zip(
        places, values, below, above, shades or [COLOURS[0]] * len(names), strict=True
    ):
        axes.plot([start, end], [row, row], color=shade, lw=2, solid_capstyle="round")
        axes.plot(value, row, "o", color=shade, ms=5)
    axes.set_yticks(places, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.axvline(0, color=MUTED, lw=0.8)


def heat(
    axes: Axes,
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    low: float,
    high: float,
    scale: str = "viridis",
    decimals: int = 2,
) -> None:
    """Draw a table of numbers on coloured cells."""
    table = np.asarray(values, dtype=float)
    axes.imshow(table, cmap=scale, vmin=low, vmax=high, aspect="auto")
    axes.grid(visible=False)
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    if table.size <= 150:
        shade = mpl.colormaps[scale]
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                red, green, blue, _ = shade((value - low) / ((high - low) or 1.0))
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
                axes.text(
                    column, row, f"{value:.{decimals}f}", ha="center", va="center", fontsize=7,
                    color="white" if dark else INK,
                )  # fmt: skip
