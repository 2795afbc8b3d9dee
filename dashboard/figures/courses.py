"""Parameters that vary in time at one site, below its rain and flow."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import axis, fade
from thalweg.dashboard.figures.regimes import UNITS
from thalweg.dashboard.figures.sketch import Sketch, on, over_time, panels
from thalweg.dashboard.figures.water import words
from thalweg.dashboard.look import Look


def courses(
    flows: pd.DataFrame,
    rain: pd.Series | None,
    parameters: pd.DataFrame,
    units: Mapping[str, str],
    events: Sequence[tuple[pd.Timestamp, pd.Timestamp]],
    color: str,
    look: Look,
) -> go.Figure:
    """Parameters that vary in time at a site, below the flow and the rain; floods are shaded through all.

    Parameters
    ----------
    flows : index time; observed and simulated (mm/day).
    rain : precipitation of the same days (mm/day).
    parameters : index time, a column a parameter.
    events : first and last day of each.
    """
    names = list(parameters.columns)
    fig = panels(look, 190 + 150 * len(names), [1.5, *[1.0] * len(names)], 0.05)
    _rain_and_flow(fig, flows, rain, f"yaxis{2 + len(names)}", color, look)
    for panel, name in enumerate(names, start=2):
        unit = "–" if units.get(name, "1") in ("", "1") else units[name]
        fig.add_scatter(
            **over_time(parameters[name]),
            **on(panel),
            name=words(name),
            mode="lines",
            line={"color": color, "width": 1.6},
            hovertemplate="%{y:.3~g}",
            showlegend=False,
        )
        told = f"{words(name).replace(' ', '<br>', 1)} ({unit})"
        fig.update_axis(f"yaxis{panel}", title_text=told, nticks=4)
    half = pd.Timedelta(hours=12)
    for first, last in events:
        fig.add_shape(
            type="rect",
            xref="x",
            yref="paper",
            x0=first - half,
            x1=last + half,
            y0=0,
            y1=1,
            fillcolor=fade(look.floor, 0.25),
            line={"width": 0},
            layer="below",
        )
    fig.update_xaxes(showgrid=True)
    fig.update_layout(
        bargap=0, legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"}
    )
    return fig.done()


def _rain_and_flow(
    fig: Sketch, flows: pd.DataFrame, rain: pd.Series | None, right: str, color: str, look: Look
) -> None:
    """The flow in the first panel, and the rain that hangs from its top on an axis of its own."""
    if rain is not None and rain.notna().any():
        fig.add_bar(
            **over_time(rain),
            **(on(1) | {"yaxis": right.replace("axis", "")}),
            name="precipitation",
            marker={"color": look.rain, "line": {"width": 0}},
            hovertemplate=f"%{{y:.1f}} {UNITS}",
        )
        fig.layout[right] = {**axis(look), "anchor": "x", "overlaying": "y", "side": "right"}
        fig.update_axis(
            right,
            title_text=f"rain, snow ({UNITS})",
            ticks="",  # to the left of a number they look like a minus sign
            range=[2.6 * max(float(rain.max()), 1.0), 0],
            showgrid=False,
            showline=False,
            tickmode="auto",
            nticks=4,
        )
    for name, shade, width in (("observed", look.observed, 1.7), ("simulated", color, 1.5)):
        if name in flows:
            fig.add_scatter(
                **over_time(flows[name]),
                **on(1),
                name=name,
                mode="lines",
                line={"color": shade, "width": width},
                hovertemplate=f"%{{y:.2f}} {UNITS}",
            )
    fig.update_axis("yaxis", title_text=f"flow ({UNITS})", rangemode="tozero")


def flood_days(observed: pd.Series, share: float = 0.95) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """First and last day of each run of days above a quantile of the whole record's observed flow."""
    limit = observed.quantile(share)
    above = (observed > limit).to_numpy(bool)
    if not above.any():
        return []
    edges = np.diff(np.r_[0, above.astype(int), 0])
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    time = pd.DatetimeIndex(observed.index)
    return [(time[a], time[b]) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
