"""Flow at one site by day: observed and modelled, the weather above and the errors below."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from thalweg.dashboard.figures.frame import dress, fade
from thalweg.dashboard.figures.regimes import LEAST_LOG_FLOW, UNITS, decades
from thalweg.dashboard.look import Look, Stroke, units_text
from thalweg.dashboard.weather import Weather

_MANY_POINTS = 40_000
_LONG_RECORD = 1200


@dataclass(frozen=True)
class Band:
    """An interval around a model's flow at one site.

    Attributes
    ----------
    table : index time; `lower` and `upper` (mm/day).
    label : in the legend.
    """

    model: str
    label: str
    table: pd.DataFrame


def hydrograph(
    table: pd.DataFrame,
    models: list[str],
    strokes: Mapping[str, Stroke],
    look: Look,
    height: int,
    log: bool,
    weather: Weather | None = None,
    band: Band | None = None,
) -> go.Figure:
    """Flow by day, the weather above and the errors below on the same time axis.

    Parameters
    ----------
    table : index time; column `observed` and one column a model (mm/day), NaN where missing.
    log : logarithmic flow axis.
    weather : precipitation hangs from the top, as rain falls; temperature beside it.
    band : an interval around one model's flow.
    """
    above = weather is not None and not weather.table.empty
    fig = _panels(above)
    dress(fig, look, height)
    flow_row = 2 if above else 1
    # SVG lines are crisper; beyond some tens of thousands of points only WebGL stays fluid
    line = go.Scattergl if len(table) * (2 * len(models) + 1) > _MANY_POINTS else go.Scatter
    if weather is not None and above:
        _weather(fig, weather.table.reindex(table.index), weather.units, look)
    if band is not None:
        _band(fig, band, table.index, strokes, look, flow_row, log)
    _flows(fig, table, models, strokes, look, flow_row, log, line)
    fig.add_hline(y=0, line={"color": look.border, "width": 1}, row=flow_row + 1, col=1)
    fig.update_yaxes(
        title_text=f"flow ({UNITS})", type="log" if log else "linear", row=flow_row, col=1, secondary_y=False
    )
    if log:
        fig.update_yaxes(tickvals=decades(table), exponentformat="none", row=flow_row, col=1)
    else:
        fig.update_yaxes(rangemode="tozero", row=flow_row, col=1)
    fig.update_yaxes(title_text=f"error ({UNITS})", nticks=4, row=flow_row + 1, col=1)
    fig.update_xaxes(hoverformat="%-d %b %Y", showgrid=True)
    for row in range(1, flow_row + 1):
        fig.update_xaxes(showline=False, ticks="", row=row, col=1)
    fig.update_layout(
        hovermode="x unified",
        hoversubplots="axis",
        margin={"t": 30},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"},
    )
    return fig


def _panels(above: bool) -> go.Figure:
    """Rows of flow and error, with one for the weather above them or not, on one time axis."""
    if not above:
        return make_subplots(2, 1, shared_xaxes=True, row_heights=[0.74, 0.26], vertical_spacing=0.05)
    return make_subplots(
        3,
        1,
        shared_xaxes=True,
        row_heights=[0.2, 0.58, 0.22],
        vertical_spacing=0.035,
        specs=[[{"secondary_y": True}], [{}], [{}]],
    )


def _weather(fig: go.Figure, table: pd.DataFrame, units: Mapping[str, str], look: Look) -> None:
    """Precipitation as bars from the top, temperature as a line on the right-hand axis."""
    if "precipitation" in table:
        unit = units.get("precipitation") or UNITS
        rain = table["precipitation"]
        fig.add_trace(
            go.Bar(
                x=table.index,
                y=rain,
                name="precipitation",
                marker={"color": look.rain, "line": {"width": 0}},
                hovertemplate=f"%{{y:.1f}} {unit}",
                showlegend=False,
            ),
            row=1,
            col=1,
        )
        most = float(rain.max()) if rain.notna().any() else 1.0
        fig.update_yaxes(title_text=f"rain, snow<br>({unit})", nticks=4, row=1, col=1, secondary_y=False)
        fig.update_yaxes(range=[1.05 * max(most, 1.0), 0], row=1, col=1, secondary_y=False)
        fig.update_layout(bargap=0)
    if "temperature" in table:
        unit = units_text(units.get("temperature", ""))
        fig.add_trace(
            go.Scatter(
                x=table.index,
                y=table["temperature"],
                name="temperature",
                mode="lines",
                line={"color": look.warmth, "width": 1.1},
                hovertemplate=f"%{{y:.1f}} {unit}",
                showlegend=False,
            ),
            row=1,
            col=1,
            secondary_y="precipitation" in table,
        )
        title = {"text": f"temperature<br>({unit})", "font": {"color": look.warmth}}
        axis = {"title": title, "showgrid": False, "zeroline": False, "nticks": 4, "tickmode": "auto"}
        beside = "precipitation" in table
        # ticks to the left of a number look like a minus sign
        fig.update_yaxes(**axis, ticks="" if beside else "outside", row=1, col=1, secondary_y=beside)


def _band(
    fig: go.Figure,
    band: Band,
    time: pd.Index,
    strokes: Mapping[str, Stroke],
    look: Look,
    row: int,
    log: bool,
) -> None:
    """An interval in the colour of its model, named in the legend."""
    table = band.table.reindex(time)
    if log:
        table = table.clip(lower=LEAST_LOG_FLOW)
    fill = fade(strokes[band.model].color, 0.28 if look.dark else 0.2)
    for name in ("lower", "upper"):
        fig.add_scatter(
            x=table.index,
            y=table[name],
            mode="lines",
            line={"width": 0, "color": fill},
            fill="tonexty" if name == "upper" else None,
            fillcolor=fill,
            name=band.label,
            legendgroup=band.label,
            showlegend=name == "upper",
            hovertemplate="%{y:.2f}" if name == "upper" else "%{y:.2f} and above",
            row=row,
            col=1,
        )


def _flows(
    fig: go.Figure,
    table: pd.DataFrame,
    models: list[str],
    strokes: Mapping[str, Stroke],
    look: Look,
    row: int,
    log: bool,
    line: type[go.Scatter] | type[go.Scattergl],
) -> None:
    """Observed and simulated flow, and simulated less observed in the row below."""
    # in a decade of days thick lines hide each other
    thin, strength = (0.65, 0.8) if len(table) > _LONG_RECORD else (1.0, 1.0)

    def flow(values: pd.Series) -> pd.Series:
        return values.clip(lower=LEAST_LOG_FLOW) if log else values

    observed = line(
        x=table.index,
        y=flow(table["observed"]),
        name="observed",
        mode="lines",
        line={"color": look.observed, "width": 1.7 * thin},
        fill=None if log else "tozeroy",
        fillcolor=fade(look.observed, 0.07),
        hovertemplate="%{y:.2f}",
    )
    fig.add_trace(observed, row=row, col=1)
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
            row=row,
            col=1,
        )
        fig.add_trace(
            line(
                x=table.index,
                y=table[model] - table["observed"],
                name=f"{model}, error",
                legendgroup=model,
                showlegend=False,
                mode="lines",
                line={**drawn, "width": thin * max(0.9, stroke.width - 0.7)},
                hovertemplate="%{y:+.2f}",
            ),
            row=row + 1,
            col=1,
        )
