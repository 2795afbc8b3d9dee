"""The same flows without their order in time: how often they are exceeded, and their mean by month."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.sketch import figure
from thalweg.dashboard.look import Look, Stroke

UNITS = "mm/day"
LEAST_LOG_FLOW = 1e-3
"""mm/day: smaller flows are drawn here on a logarithmic axis, which has no zero."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


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
            line=line_of(name, strokes, look),
            hovertemplate=f"%{{y:.2f}} {UNITS}, exceeded on %{{x:.1f}} % of days",
            showlegend=False,
        )
    fig.update_xaxes(
        title_text="days with a higher flow (%)", range=[0, 100.6], tickvals=[0, 20, 40, 60, 80, 100]
    )
    fig.update_yaxes(title_text=f"flow ({UNITS})", type="log", tickvals=decades(seen), exponentformat="none")
    return fig.done()


def regime(
    table: pd.DataFrame, models: list[str], strokes: Mapping[str, Stroke], look: Look, height: int
) -> go.Figure:
    """Mean flow of each calendar month (mm/day), over days with an observation."""
    fig = figure(look, height, "Mean flow by month")
    seen = table[table["observed"].notna()]
    means = seen.groupby(pd.DatetimeIndex(seen.index).month).mean().reindex(range(1, 13))
    for name in ("observed", *models):
        fig.add_scatter(
            x=list(MONTHS),
            y=means[name],
            name=name,
            mode="lines",
            line=line_of(name, strokes, look),
            hovertemplate=f"%{{x}}: %{{y:.2f}} {UNITS}",
            showlegend=False,
        )
    fig.update_xaxes(title_text="month")
    fig.update_yaxes(title_text=f"mean flow ({UNITS})", rangemode="tozero")
    return fig.done()


def line_of(name: str, strokes: Mapping[str, Stroke], look: Look) -> dict[str, object]:
    """How a model, or what was observed, is drawn."""
    if name == "observed":
        return {"color": look.observed, "width": 2.4}
    stroke = strokes[name]
    return {"color": stroke.color, "dash": stroke.dash, "width": stroke.width}


def decades(table: pd.DataFrame) -> list[float]:
    """Ticks at the powers of ten that the data span."""
    values = table.to_numpy(float)
    values = values[np.isfinite(values) & (values > 0)]
    if values.size == 0:
        return [0.1, 1.0, 10.0]
    low = int(np.floor(np.log10(max(values.min(), LEAST_LOG_FLOW))))
    high = int(np.ceil(np.log10(max(values.max(), 10 * LEAST_LOG_FLOW))))
    return [10.0**power for power in range(low, high + 1)]
