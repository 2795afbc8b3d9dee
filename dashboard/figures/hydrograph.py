"""Flow at one site: observed and modelled by day, the errors below, and two summaries of the same days."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from thalweg.dashboard.figures.frame import dress, fade, figure
from thalweg.dashboard.look import Look, Stroke

UNITS = "mm/day"
LEAST_LOG_FLOW = 1e-3
"""mm/day: smaller flows are drawn here on a logarithmic axis, which has no zero."""
_MANY_POINTS = 40_000
_LONG_RECORD = 1200
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def hydrograph(
    table: pd.DataFrame, models: list[str], strokes: Mapping[str, Stroke], look: Look, height: int, log: bool
) -> go.Figure:
    """Flow by day with the errors below on the same time axis.

    Parameters
    ----------
    table : index time; column `observed` and one column a model (mm/day), NaN where missing.
    log : logarithmic flow axis.
    """
    fig = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.74, 0.26], vertical_spacing=0.05)
    dress(fig, look, height)
    # SVG lines are crisper; beyond some tens of thousands of points only WebGL stays fluid
    line = go.Scattergl if len(table) * (2 * len(models) + 1) > _MANY_POINTS else go.Scatter

    # in a decade of days thick lines hide each other
    thin, strength = (0.65, 0.8) if len(table) > _LONG_RECORD else (1.0, 1.0)

    def flow(values: pd.Series) -> pd.Series:
        return values.clip(lower=LEAST_LOG_FLOW) if log else values

    fig.add_trace(
        line(
            x=table.index,
            y=flow(table["observed"]),
            name="observed",
            mode="lines",
            line={"color": look.observed, "width": 1.7 * thin},
            fill=None if log else "tozeroy",
            fillcolor=fade(look.observed, 0.07),
            hovertemplate="%{y:.2f}",
        ),
        row=1,
        col=1,
    )
    for model in models:
        stroke = strokes[model]
        drawn = {"color": stroke.color, "dash": stroke.dash, "width": thin * max(1.1, stroke.width - 0.4)}
        fig.add_trace(
            line(
                x=table.index,
                y=flow(table[model]),
                name=model,
                legendgroup=model,
                mode="lines",
                line=drawn,
                opacity=strength,
                hovertemplate="%{y:.2f}",
            ),
            row=1,
            col=1,
        )
        fig.add_trace(
            line(
                x=table.index,
                y=table[model] - table["observed"],
                name=model,
                legendgroup=model,
                showlegend=False,
                mode="lines",
                line={**drawn, "width": thin * max(0.9, stroke.width - 0.7)},
                hovertemplate="%{y:+.2f}",
            ),
            row=2,
            col=1,
        )
    fig.add_hline(y=0, line={"color": look.border, "width": 1}, row=2, col=1)
    fig.update_yaxes(title_text=f"flow ({UNITS})", type="log" if log else "linear", row=1, col=1)
    if log:
        fig.update_yaxes(tickvals=_decades(table), exponentformat="none", row=1, col=1)
    else:
        fig.update_yaxes(rangemode="tozero", row=1, col=1)
    fig.update_yaxes(title_text=f"error ({UNITS})", nticks=4, row=2, col=1)
    fig.update_xaxes(hoverformat="%-d %b %Y", showgrid=True)
    fig.update_xaxes(showline=False, ticks="", row=1, col=1)
    fig.update_layout(
        hovermode="x unified",
        margin={"t": 30},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"},
    )
    return fig


def flow_duration(
    table: pd.DataFrame, models: list[str], strokes: Mapping[str, Stroke], look: Look, height: int
) -> go.Figure:
    """Flow (mm/day) against the share of days on which it is exceeded, over days with an observation."""
    fig = figure(look, height, "Flow-duration curve")
    seen = table[table["observed"].notna()]
    for name in ("observed", *models):
        flows = np.sort(seen[name].dropna().to_numpy(float))[::-1].clip(min=LEAST_LOG_FLOW)
        if flows.size == 0:
            continue
        # 300 points draw the curve of any record length; Weibull plotting position
        pick = np.unique(np.linspace(0, flows.size - 1, min(300, flows.size)).round().astype(int))
        fig.add_scatter(
            x=100.0 * (pick + 1) / (flows.size + 1),
            y=flows[pick],
            name=name,
            mode="lines",
            line=_line(name, strokes, look),
            hovertemplate=f"%{{y:.2f}} {UNITS}, exceeded on %{{x:.1f}} % of days",
            showlegend=False,
        )
    fig.update_xaxes(
        title_text="days with a higher flow (%)", range=[0, 100.6], tickvals=[0, 20, 40, 60, 80, 100]
    )
    fig.update_yaxes(title_text=f"flow ({UNITS})", type="log", tickvals=_decades(seen), exponentformat="none")
    return fig


def regime(
    table: pd.DataFrame, models: list[str], strokes: Mapping[str, Stroke], look: Look, height: int
) -> go.Figure:
    """Mean flow of each calendar month (mm/day), over days with an observation."""
    fig = figure(look, height, "Mean flow by month")
    seen = table[table["observed"].notna()]
    means = seen.groupby(pd.DatetimeIndex(seen.index).month).mean().reindex(range(1, 13))
    for name in ("observed", *models):
        fig.add_scatter(
            x=list(_MONTHS),
            y=means[name],
            name=name,
            mode="lines",
            line=_line(name, strokes, look),
            hovertemplate=f"%{{x}}: %{{y:.2f}} {UNITS}",
            showlegend=False,
        )
    fig.update_xaxes(title_text="month")
    fig.update_yaxes(title_text=f"mean flow ({UNITS})", rangemode="tozero")
    return fig


def _line(name: str, strokes: Mapping[str, Stroke], look: Look) -> dict[str, object]:
    if name == "observed":
        return {"color": look.observed, "width": 2.4}
    stroke = strokes[name]
    return {"color": stroke.color, "dash": stroke.dash, "width": stroke.width}


def _decades(table: pd.DataFrame) -> list[float]:
    """Ticks at the powers of ten that the data span."""
    values = table.to_numpy(float)
    values = values[np.isfinite(values) & (values > 0)]
    if values.size == 0:
        return [0.1, 1.0, 10.0]
    low = int(np.floor(np.log10(max(values.min(), LEAST_LOG_FLOW))))
    high = int(np.ceil(np.log10(max(values.max(), 10 * LEAST_LOG_FLOW))))
    return [10.0**power for power in range(low, high + 1)]
