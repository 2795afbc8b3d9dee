"""Flow at one site by day: observed and modelled, the weather above and the errors below."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import axis, fade
from thalweg.dashboard.figures.regimes import LEAST_LOG_FLOW, UNITS, decades
from thalweg.dashboard.figures.sketch import Sketch, on, over_time, panels
from thalweg.dashboard.look import Look, Stroke, units_text
from thalweg.dashboard.reading.weather import Weather

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
    fig = (
        panels(look, height, (0.2, 0.58, 0.22), 0.035) if above else panels(look, height, (0.74, 0.26), 0.05)
    )
    flow = 2 if above else 1
    if weather is not None and above:
        _weather(fig, weather.table.reindex(table.index), weather.units, look)
    if band is not None:
        _band(fig, band, table.index, strokes, look, flow, log)
    _flows(fig, table, models, strokes, look, flow, log)
    own = "yaxis2" if above else "yaxis"
    fig.update_axis(own, title_text=f"flow ({UNITS})")
    if log:
        fig.update_axis(own, type="log", tickvals=decades(table), exponentformat="none")
    else:
        fig.update_axis(own, rangemode="tozero")
    error = on(flow + 1)
    fig.update_axis(f"yaxis{flow + 1}", title_text=f"error ({UNITS})", nticks=4)
    fig.add_hline(
        0, xref=f"{error['xaxis']} domain", yref=error["yaxis"], line={"color": look.border, "width": 1}
    )
    fig.update_xaxes(showgrid=True)
    fig.update_layout(legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"})
    return fig.done()


def _weather(fig: Sketch, table: pd.DataFrame, units: Mapping[str, str], look: Look) -> None:
    """Precipitation as bars from the top, temperature as a line on the right-hand axis."""
    if "precipitation" in table:
        unit = units.get("precipitation") or UNITS
        rain = table["precipitation"]
        fig.add_bar(
            **over_time(rain),
            **on(1),
            name="precipitation",
            marker={"color": look.rain, "line": {"width": 0}},
            hovertemplate=f"%{{y:.1f}} {unit}",
            showlegend=False,
        )
        most = float(rain.max()) if rain.notna().any() else 1.0
        down = [1.05 * max(most, 1.0), 0]
        fig.update_axis("yaxis", title_text=f"rain, snow<br>({unit})", nticks=4, range=down)
        fig.update_layout(bargap=0)
    if "temperature" in table:
        unit = units_text(units.get("temperature", ""))
        beside = "precipitation" in table
        if beside:
            # ticks to the left of a number look like a minus sign
            right = {"anchor": "x", "overlaying": "y", "side": "right", "ticks": ""}
            fig.layout["yaxis4"] = {**axis(look), **right}
        fig.add_scatter(
            **over_time(table["temperature"]),
            **(on(1) | {"yaxis": "y4"} if beside else on(1)),
            name="temperature",
            mode="lines",
            line={"color": look.warmth, "width": 1.1},
            hovertemplate=f"%{{y:.1f}} {unit}",
            showlegend=False,
        )
        fig.update_axis(
            "yaxis4" if beside else "yaxis",
            title={"text": f"temperature<br>({unit})", "font": {"color": look.warmth}},
            showgrid=False,
            zeroline=False,
            showline=False,
            nticks=4,
            tickmode="auto",
        )


def _band(
    fig: Sketch,
    band: Band,
    time: pd.Index,
    strokes: Mapping[str, Stroke],
    look: Look,
    panel: int,
    log: bool,
) -> None:
    """An interval in the colour of its model, named in the legend."""
    table = band.table.reindex(time)
    if log:
        table = table.clip(lower=LEAST_LOG_FLOW)
    fill = fade(strokes[band.model].color, 0.28 if look.dark else 0.2)
    for name in ("lower", "upper"):
        fig.add_scatter(
            **over_time(table[name]),
            **on(panel),
            mode="lines",
            line={"width": 0, "color": fill},
            **({"fill": "tonexty"} if name == "upper" else {}),
            fillcolor=fill,
            name=band.label,
            legendgroup=band.label,
            showlegend=name == "upper",
            hovertemplate="%{y:.2f}" if name == "upper" else "%{y:.2f} and above",
        )


def _flows(
    fig: Sketch,
    table: pd.DataFrame,
    models: list[str],
    strokes: Mapping[str, Stroke],
    look: Look,
    panel: int,
    log: bool,
) -> None:
    """Observed and simulated flow, and simulated less observed in the panel below."""
    # in a decade of days thick lines hide each other
    thin, strength = (0.65, 0.8) if len(table) > _LONG_RECORD else (1.0, 1.0)
    points = len(table) * (2 * len(models) + 1)

    def flow(values: pd.Series) -> pd.Series:
        return values.clip(lower=LEAST_LOG_FLOW) if log else values

    fig.add_lines(
        points,
        **over_time(flow(table["observed"])),
        **on(panel),
        name="observed",
        line={"color": look.observed, "width": 1.7 * thin},
        **({} if log else {"fill": "tozeroy", "fillcolor": fade(look.observed, 0.07)}),
        hovertemplate="%{y:.2f}",
    )
    for model in models:
        stroke = strokes[model]
        drawn = {"color": stroke.color, "dash": stroke.dash}
        fig.add_lines(
            points,
            **over_time(flow(table[model])),
            **on(panel),
            name=model,
            legendgroup=model,
            line={**drawn, "width": thin * max(1.1, stroke.width - 0.4)},
            opacity=strength,
            hovertemplate="%{y:.2f}",
        )
        fig.add_lines(
            points,
            **over_time(table[model] - table["observed"]),
            **on(panel + 1),
            name=f"{model}, error",
            legendgroup=model,
            showlegend=False,
            line={**drawn, "width": thin * max(0.9, stroke.width - 0.7)},
            hovertemplate="%{y:+.2f}",
        )
