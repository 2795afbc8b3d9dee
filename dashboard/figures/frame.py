"""What all figures share: type, grid, margins, legend, and how they are shown."""

from textwrap import shorten, wrap
from typing import Any

import numpy as np

from thalweg.dashboard.look import Look

FONT = '"Source Sans", "Source Sans Pro", "Helvetica Neue", Arial, sans-serif'

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "toggleSpikelines"],
    "doubleClickDelay": 400,
}
"""Plotly's own settings, the same for every figure."""


def frame(look: Look, height: int, title: str = "") -> dict[str, Any]:
    """The layout that figures share, without axes."""
    heading = {
        "text": title,
        "x": 0,
        "xref": "container",
        "xanchor": "left",
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"t": 6, "l": 2},
        "font": {"size": 14.5, "color": look.ink, "weight": 600},
    }
    return {
        "height": height,
        "font": {"family": FONT, "size": 13, "color": look.ink},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 34 if title else 10, "b": 8},
        "hoverlabel": {
            "bgcolor": look.panel,
            "bordercolor": look.border,
            "font": {"family": FONT, "size": 12.5, "color": look.ink},
            "namelength": -1,
        },
        "legend": {"font": {"size": 12.5, "color": look.ink}, "bgcolor": "rgba(0,0,0,0)", "tracegroupgap": 2},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": look.border, "activecolor": look.muted},
        "dragmode": "zoom",
        **({"title": heading} if title else {}),
    }


def axis(look: Look) -> dict[str, Any]:
    """An axis in the one look."""
    return {
        "gridcolor": look.faint,
        "zerolinecolor": look.faint,
        "linecolor": look.border,
        "tickcolor": look.border,
        "tickfont": {"size": 12, "color": look.muted},
        "title": {"font": {"size": 12.5, "color": look.muted}, "standoff": 6},
        "automargin": True,
        "ticks": "outside",
        "ticklen": 4,
    }


def marker_size(points: int, least: float = 5.0, most: float = 13.0) -> float:
    """Marker size (pixels): large for tens of points, small for thousands."""
    return float(np.clip(26.0 / max(points, 1) ** 0.22, least, most))


def fade(color: str, opacity: float) -> str:
    """A `#rrggbb` colour with an opacity between 0 and 1."""
    red, green, blue = channels(color)
    return f"rgba({red},{green},{blue},{opacity:g})"


def channels(color: str) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of a `#rrggbb` colour."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def luminance(color: str) -> float:
    """Relative luminance of a `#rrggbb` colour, 0 to 1 (WCAG 2.2)."""
    parts = (channel / 255 for channel in channels(color))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def readable_on(color: str) -> str:
    """Black or white, whichever has the higher contrast on a `#rrggbb` colour: at least 4.58 on any."""
    # where both contrasts are equal: (1.05 / 0.05) ** 0.5 = 4.58
    return "#000000" if (luminance(color) + 0.05) ** 2 >= 1.05 * 0.05 else "#ffffff"


def two_lines(name: str, letters: int) -> str:
    """A name on at most two lines of so many letters; what does not fit is cut."""
    first, *others = wrap(name, letters) or [""]
    rest = shorten(" ".join(others), letters, placeholder=" …")
    return f"{first}<br>{rest}" if rest else first
