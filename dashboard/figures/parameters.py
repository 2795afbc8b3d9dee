"""Parameters on a map and along attributes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import channels, fade, marker_size, readable_on, two_lines
from thalweg.dashboard.figures.sitemap import ground
from thalweg.dashboard.figures.sketch import figure
from thalweg.dashboard.figures.water import words
from thalweg.dashboard.look import DIVERGING_SCALE, SKILL_SCALE, Look
from thalweg.dashboard.reading.attributes import Attribute

MOST_ATTRIBUTES = 14
_LINE = 26  # letters of a name


def parameter_map(sites: pd.DataFrame, name: str, units: str, look: Look, height: int) -> go.Figure:
    """A parameter at every site.

    Parameters
    ----------
    sites : index site; latitude, longitude (degrees), region and the parameter's value.
    """
    fig = ground(sites, look, height)
    placed = sites.dropna(subset=["latitude", "longitude", "value"])
    values = placed["value"].to_numpy(float)
    low, high = np.quantile(values, [0.02, 0.98]) if values.size else (0.0, 1.0)
    unit = "" if units in ("", "1") else f" {units}"
    fig.add_points(
        len(placed),
        x=placed["longitude"],
        y=placed["latitude"],
        mode="markers",
        marker={
            "size": marker_size(len(placed)),
            "color": values,
            "cmin": low,
            "cmax": high if high > low else low + 1e-9,
            "colorscale": [[place / 4, color] for place, color in enumerate(SKILL_SCALE)],
            "line": {"width": 0.8, "color": fade(look.ink, 0.75 if look.dark else 1.0)},
            "opacity": 0.95,
            "colorbar": {
                "title": {
                    "text": f"{words(name)} ({units if unit else '–'})",
                    "side": "top",
                    "font": {"size": 12, "color": look.muted},
                },
                "thickness": 10,
                "len": 0.86,
                "x": 1.01,
                "outlinewidth": 0,
                "tickfont": {"size": 11, "color": look.muted},
                "nticks": 6,
            },
        },
        customdata=placed.assign(site=placed.index)[["site", "region", "value"]].to_numpy(),
        hovertemplate=(
            f"<b>%{{customdata[0]}}</b><br>region %{{customdata[1]}}<br>{words(name)} "
            f"%{{customdata[2]:.3~g}}{unit}<br><i>click for its course in time</i><extra></extra>"
        ),
        selected={"marker": {"opacity": 0.95}},
        unselected={"marker": {"opacity": 0.95}},
        showlegend=False,
    )
    return fig.done()


def response(
    classes: pd.DataFrame,
    parameter: str,
    attribute: Attribute,
    units: str,
    color: str,
    look: Look,
    height: int,
) -> go.Figure:
    """Median and quartiles of a parameter in classes of an attribute, a line a run.

    Parameters
    ----------
    classes : columns run, low, high, lower_quartile, median, upper_quartile, sites of one parameter and
        attribute.
    """
    title = f"{words(parameter)[:1].upper()}{words(parameter)[1:]} along {attribute.long}"
    fig = figure(look, height, title)
    runs = list(classes.groupby("run", sort=False))
    for run, own in runs:
        middle = (own["low"] + own["high"]) / 2
        if len(runs) == 1:
            fig.add_scatter(
                x=np.r_[middle, middle[::-1]],
                y=np.r_[own["lower_quartile"], own["upper_quartile"][::-1]],
                mode="lines",
                fill="toself",
                fillcolor=fade(color, 0.18),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
            )
        fig.add_scatter(
            x=middle,
            y=own["median"],
            name=str(run),
            mode="lines+markers",
            line={"color": fade(color, 1.0 if len(runs) == 1 else 0.6), "width": 1.8},
            marker={"size": 7 if len(runs) == 1 else 5},
            customdata=own[["low", "high", "sites"]].to_numpy(),
            hovertemplate=(
                "%{y:.3~g} at %{customdata[2]} sites, %{customdata[0]:.3~g} to %{customdata[1]:.3~g}"
            ),
            showlegend=False,
        )
    fig.update_xaxes(title_text=attribute.axis)
    fig.update_yaxes(title_text=f"{words(parameter)} ({'–' if units in ('', '1') else units})")
    return fig.done()


def correlations(
    table: pd.DataFrame, doubtful: pd.DataFrame, attributes: Mapping[str, Attribute], look: Look
) -> go.Figure:
    """Rank correlation over sites of parameters (rows) with attributes (columns).

    Parameters
    ----------
    table : parameter by attribute, -1 to 1.
    doubtful : of the same shape; whether it may be chance: written without a number.
    attributes : of the columns.
    """
    fig = figure(look, 150 + 26 * len(table), "Rank correlation of parameters with attributes, over sites")
    values = table.to_numpy(float)
    low, soft, middle, rather, high = DIVERGING_SCALE
    shades = (low, soft, look.panel if look.dark else middle, rather, high)
    columns = [str(name) for name in table.columns]
    rows = [words(str(name)) for name in table.index]
    fig.add_heatmap(
        z=values,
        x=columns,
        y=rows,
        zmin=-1,
        zmax=1,
        colorscale=[[place / 4, shade] for place, shade in enumerate(shades)],
        xgap=1,
        ygap=1,
        customdata=[[attributes[name].title for name in columns]] * len(rows),
        hovertemplate="%{y} with %{customdata}: %{z:+.2f}<extra></extra>",
        colorbar={
            "thickness": 10,
            "outlinewidth": 0,
            "tickvals": [-1, -0.5, 0, 0.5, 1],
            "ticktext": ["−1", "−0.5", "0", "0.5", "1"],
            "tickfont": {"size": 11, "color": look.muted},
            "title": {"text": "ρ (–)", "font": {"size": 12, "color": look.muted}},
        },
    )
    told = np.argwhere(np.isfinite(values) & ~doubtful.to_numpy(bool))
    fig.add_scatter(
        x=[columns[column] for _, column in told],
        y=[rows[row] for row, _ in told],
        mode="text",
        text=[f"{values[row, column]:+.1f}".replace("-", "−") for row, column in told],
        textfont={
            "size": 12,
            "color": [readable_on(_mixed(shades, values[row, column])) for row, column in told],
        },
        hoverinfo="skip",
        showlegend=False,
    )
    fig.update_yaxes(autorange="reversed", ticks="", showgrid=False)
    fig.update_xaxes(
        tickangle=-40,
        ticks="",
        showline=False,
        showgrid=False,
        tickvals=columns,
        ticktext=[two_lines(attributes[name].bare, _LINE) for name in columns],
    )
    return fig.done()


def _mixed(shades: Sequence[str], value: float) -> str:
    """The colour of a value between -1 and 1 on a scale of evenly spaced colours."""
    place = (min(1.0, max(-1.0, value)) + 1.0) / 2.0 * (len(shades) - 1)
    before = min(int(place), len(shades) - 2)
    mixed = (
        round(first + (place - before) * (second - first))
        for first, second in zip(channels(shades[before]), channels(shades[before + 1]), strict=True)
    )
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
