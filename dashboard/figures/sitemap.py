"""Sites on a map, drawn from files that ship with the dashboard: no tile server, no network."""

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.boundaries import Window, land_within, lines_within
from thalweg.dashboard.figures.frame import fade, marker_size
from thalweg.dashboard.figures.sketch import Sketch, figure
from thalweg.dashboard.look import BELOW_SCALE, DIVERGING_SCALE, SKILL_SCALE, Look
from thalweg.dashboard.measures import Measure, Scale

_LEAST_SPAN = 6.0
"""Degrees: a single site still shows what country it is in."""


def skill_map(sites: pd.DataFrame, values: pd.Series, measure: Measure, look: Look, height: int) -> go.Figure:
    """Sites coloured by a metric; those without a value are hollow.

    Parameters
    ----------
    sites : index site, columns latitude and longitude (degrees) and region.
    values : the metric by site.
    """
    fig = ground(sites, look, height)
    table = sites.assign(value=values.reindex(sites.index)).dropna(subset=["latitude", "longitude"])
    scale = measure.scale(table["value"].to_numpy(float))
    known = table["value"].notna()
    _missing(fig, table[~known], look)
    # the worst last, so that they are never hidden behind a better neighbour
    shown = table[known].iloc[np.argsort(-scale.quality(table.loc[known, "value"].to_numpy(float)))]
    below = shown["value"] < scale.low if scale.marks_below else pd.Series(False, index=shown.index)
    size = marker_size(len(table))
    for part, name in ((shown[~below], "inside"), (shown[below], "below")):
        if part.empty:
            continue
        marker = {
            "size": size,
            "line": {"width": 0.8, "color": fade(look.ink, 0.75 if look.dark else 1.0)},
            "opacity": 0.95,
        }
        if name == "below":
            marker |= {"color": BELOW_SCALE, "symbol": "diamond", "size": size + 1}
        else:
            marker |= {
                "color": part["value"],
                "cmin": scale.low,
                "cmax": scale.high,
                "colorscale": _steps(scale),
                "showscale": False,
            }
        fig.add_points(
            len(table),
            x=part["longitude"],
            y=part["latitude"],
            mode="markers",
            marker=marker,
            customdata=part.assign(site=part.index)[["site", "region", "value"]].to_numpy(),
            hovertemplate=(
                "<b>%{customdata[0]}</b><br>region %{customdata[1]}<br>"
                f"{measure.short} %{{customdata[2]:.{measure.decimals}f}}"
                f"{measure.suffix}<br><i>click for the hydrograph</i><extra></extra>"
            ),
            selected={"marker": {"opacity": 0.95}},
            unselected={"marker": {"opacity": 0.95}},
            showlegend=False,
        )
    _colorbar(fig, scale, measure, look, bool(below.any()))
    return fig.done()


def locator(sites: pd.DataFrame, chosen: str, look: Look, height: int) -> go.Figure:
    """All sites of a split as small dots, with one of them marked."""
    fig = ground(sites, look, height)
    table = sites.dropna(subset=["latitude", "longitude"])
    here = table[table.index == chosen]
    for part, marker in (
        (table, {"size": 6, "color": look.floor, "opacity": 0.75}),
        (here, {"size": 13, "color": "rgba(0,0,0,0)", "line": {"color": look.ink, "width": 2}}),
        (here, {"size": 6, "color": look.ink}),
    ):
        fig.add_points(
            len(table),
            x=part["longitude"],
            y=part["latitude"],
            mode="markers",
            marker=marker,
            customdata=part.assign(site=part.index)[["site"]].to_numpy(),
            hovertemplate="%{customdata[0]}<extra></extra>",
            selected={"marker": {"opacity": 0.75}},
            unselected={"marker": {"opacity": 0.75}},
            showlegend=False,
        )
    return fig.done()


def clicked(event: object) -> str | None:
    """The site of the point that was clicked on a map, if any."""
    for point in getattr(getattr(event, "selection", None), "points", ()):
        told = point.get("customdata")
        if told:
            return str(told[0])
    return None


def window_of(sites: pd.DataFrame) -> Window:
    """The window that holds all sites with a margin, never smaller than a few degrees."""
    placed = sites.dropna(subset=["latitude", "longitude"])
    if placed.empty:
        return Window(-180.0, 180.0, -60.0, 80.0)
    west, east = float(placed["longitude"].min()), float(placed["longitude"].max())
    south, north = float(placed["latitude"].min()), float(placed["latitude"].max())
    x, y = max(0.0, _LEAST_SPAN - (east - west)) / 2, max(0.0, _LEAST_SPAN - (north - south)) / 2
    return Window(west - x, east + x, south - y, north + y).grown(0.06)


def ground(sites: pd.DataFrame, look: Look, height: int) -> Sketch:
    """Land and borders around these sites."""
    fig = figure(look, height)
    window = window_of(sites)
    # a wider ground than is shown: the plot fills its box, and a person may drag it
    wide = window.grown(1.0)
    x, y = land_within(wide)
    fig.add_scatter(
        x=x,
        y=y,
        mode="lines",
        fill="toself",
        fillcolor=look.land,
        line={"color": look.border, "width": 0.7},
        hoverinfo="skip",
        showlegend=False,
    )
    for name, width in (("states", 0.5), ("countries", 0.9)):
        x, y = lines_within(name, wide)
        if x.size:
            fig.add_scatter(
                x=x,
                y=y,
                mode="lines",
                line={"color": look.border, "width": width},
                hoverinfo="skip",
                showlegend=False,
            )
    stretch = 1.0 / max(0.2, math.cos(math.radians((window.south + window.north) / 2)))
    plain = {"showgrid": False, "zeroline": False, "showline": False, "ticks": "", "showticklabels": False}
    fig.update_xaxes(**plain, range=[window.west, window.east], constrain="range")
    fig.update_yaxes(
        **plain, range=[window.south, window.north], scaleanchor="x", scaleratio=stretch, constrain="range"
    )
    fig.update_layout(margin={"l": 2, "r": 2, "t": 2, "b": 2}, dragmode="pan", hovermode="closest")
    return fig


def _missing(fig: Sketch, part: pd.DataFrame, look: Look) -> None:
    if not part.empty:
        fig.add_scatter(
            x=part["longitude"],
            y=part["latitude"],
            mode="markers",
            marker={"size": 8, "symbol": "circle-open", "color": look.muted, "line": {"width": 1.2}},
            customdata=part.assign(site=part.index)[["site"]].to_numpy(),
            hovertemplate="<b>%{customdata[0]}</b><br>no value<extra></extra>",
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            showlegend=False,
        )


def _colors(scale: Scale) -> tuple[str, ...]:
    colors = DIVERGING_SCALE if scale.diverging else SKILL_SCALE
    return colors[::-1] if scale.reverse else colors


def _steps(scale: Scale) -> list[list[float | str]]:
    """A stepped Plotly colour scale: a class of skill is easier to name than a shade."""
    colors = _colors(scale)
    steps: list[list[float | str]] = []
    for number, color in enumerate(colors):
        steps += [[number / len(colors), color], [(number + 1) / len(colors), color]]
    return steps


def _colorbar(fig: Sketch, scale: Scale, measure: Measure, look: Look, below: bool) -> None:
    classes = len(_colors(scale))
    ticks = np.linspace(scale.low, scale.high, classes + 1)
    fig.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        marker={
            "color": [scale.low],
            "cmin": scale.low,
            "cmax": scale.high,
            "colorscale": _steps(scale),
            "showscale": True,
            "colorbar": {
                "title": {
                    "text": measure.axis,
                    "side": "top",
                    "font": {"size": 12, "color": look.muted},
                },
                "thickness": 10,
                "len": 0.86,
                "x": 1.01,
                "xanchor": "left",
                "y": 0.5,
                "yanchor": "middle",
                "outlinewidth": 0,
                "tickvals": ticks,
                "ticktext": scale.tick_text(ticks),
                "tickfont": {"size": 11, "color": look.muted},
                "ticks": "",
            },
        },
        hoverinfo="skip",
        showlegend=False,
    )
    if below:
        fig.add_annotation(
            text=f'<span style="color:{BELOW_SCALE}">◆</span> below {scale.low:g}',
            x=0.01,
            y=0.01,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            bgcolor=fade(look.ground, 0.75),
            font={"size": 12, "color": look.muted},
        )
