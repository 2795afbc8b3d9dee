"""What all figures share: type, grid, margins, legend, and how they are shown."""

from typing import Any

import plotly.graph_objects as go

from thalweg.dashboard.look import Look

FONT = '"Source Sans", "Source Sans Pro", "Helvetica Neue", Arial, sans-serif'

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "toggleSpikelines"],
    "doubleClickDelay": 400,
}
"""Plotly's own settings, the same for every figure."""


def figure(look: Look, height: int, title: str = "") -> go.Figure:
    """An empty figure in the one look.

    Parameters
    ----------
    height : pixels.
    title : a short line above the plot, left-aligned with it.
    """
    result = go.Figure()
    dress(result, look, height, title)
    return result


def dress(fig: go.Figure, look: Look, height: int, title: str = "") -> None:
    """Puts the one look on a figure (see :func:`figure`)."""
    fig.update_layout(
        height=height,
        font={"family": FONT, "size": 13, "color": look.ink},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 8, "r": 8, "t": 34 if title else 10, "b": 8},
        hoverlabel={
            "bgcolor": look.panel,
            "bordercolor": look.border,
            "font": {"family": FONT, "size": 12.5, "color": look.ink},
            "namelength": -1,
        },
        legend={"font": {"size": 12.5, "color": look.ink}, "bgcolor": "rgba(0,0,0,0)", "tracegroupgap": 2},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": look.border, "activecolor": look.muted},
        dragmode="zoom",
    )
    if title:
        fig.update_layout(
            title={
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
        )
    axis = {
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
    fig.update_xaxes(**axis, showline=True)
    fig.update_yaxes(**axis, showline=False)


def fade(color: str, opacity: float) -> str:
    """A `#rrggbb` colour with an opacity between 0 and 1."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
