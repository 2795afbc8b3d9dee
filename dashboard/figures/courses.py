"""Parameters that vary in time at one site, below its rain and flow."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from thalweg.dashboard.figures.frame import dress, fade
from thalweg.dashboard.figures.regimes import UNITS
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
    rows = 1 + len(names)
    heights = [1.5, *[1.0] * len(names)]
    specs = [[{"secondary_y": True}], *[[{}]] * len(names)]
    fig = make_subplots(rows, 1, shared_xaxes=True, row_heights=heights, vertical_spacing=0.05, specs=specs)
    dress(fig, look, 190 + 150 * len(names))
    if rain is not None and rain.notna().any():
        bars = go.Bar(
            x=rain.index,
            y=rain,
            name="precipitation",
            marker={"color": look.rain, "line": {"width": 0}},
            hovertemplate=f"%{{y:.1f}} {UNITS}",
        )
        fig.add_trace(bars, row=1, col=1, secondary_y=True)
        fig.update_yaxes(
            title_text=f"rain, snow ({UNITS})",
            ticks="",  # to the left of a number they look like a minus sign
            range=[2.6 * max(float(rain.max()), 1.0), 0],
            showgrid=False,
            tickmode="auto",
            nticks=4,
            row=1,
            col=1,
            secondary_y=True,
        )
    for name, shade, width in (("observed", look.observed, 1.7), ("simulated", color, 1.5)):
        if name in flows:
            line = go.Scatter(
                x=flows.index,
                y=flows[name],
                name=name,
                mode="lines",
                line={"color": shade, "width": width},
                hovertemplate=f"%{{y:.2f}} {UNITS}",
            )
            fig.add_trace(line, row=1, col=1)
    fig.update_yaxes(title_text=f"flow ({UNITS})", rangemode="tozero", row=1, col=1, secondary_y=False)
    for row, name in enumerate(names, start=2):
        unit = "–" if units.get(name, "1") in ("", "1") else units[name]
        line = go.Scatter(
            x=parameters.index,
            y=parameters[name],
            name=words(name),
            mode="lines",
            line={"color": color, "width": 1.6},
            hovertemplate="%{y:.3~g}",
            showlegend=False,
        )
        fig.add_trace(line, row=row, col=1)
        fig.update_yaxes(
            title_text=f"{words(name).replace(' ', '<br>', 1)} ({unit})", nticks=4, row=row, col=1
        )
    half = pd.Timedelta(hours=12)
    # all at once: one by one, in every panel, they take Plotly most of a second
    shades = [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": first - half,
            "x1": last + half,
            "y0": 0,
            "y1": 1,
            "fillcolor": fade(look.floor, 0.25),
            "line": {"width": 0},
            "layer": "below",
        }
        for first, last in events
    ]
    fig.update_layout(shapes=shades)
    fig.update_xaxes(hoverformat="%-d %b %Y", showgrid=True)
    fig.update_layout(
        hovermode="x unified",
        hoversubplots="axis",
        bargap=0,
        margin={"t": 30},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"},
    )
    return fig


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
