"""Two models against each other, a point a site."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import fade, marker_size
from thalweg.dashboard.figures.sketch import Sketch, figure
from thalweg.dashboard.look import Look
from thalweg.dashboard.measures import Measure

# Paul Tol's "muted" scheme, colour-blind safe and unlike the colours of models.
_REGIONS = (
    "#44aa99", "#cc6677", "#332288", "#ddcc77", "#117733", "#aa4499", "#88ccee", "#882255", "#999933",
)  # fmt: skip
_REGIONS_DARK = (
    "#5cc4b2", "#e0808f", "#8577d6", "#e6d98f", "#4fae6f", "#c76bb6", "#9ad6f2", "#c25f88", "#b5b54f",
)  # fmt: skip
_BESIDE = 12  # regions that fit beside the plot
_SYMBOLS = ("circle", "square", "diamond", "triangle-up")


def pair_scatter(
    sites: pd.DataFrame,
    first: pd.Series,
    second: pd.Series,
    measure: Measure,
    look: Look,
    height: int,
    title: str = "",
) -> go.Figure:
    """A metric of one model against that of another; the 1:1 line divides where each is better.

    Parameters
    ----------
    sites : index site; column region.
    first, second : the metric by site, on the horizontal and the vertical axis; their names are the models.
    """
    fig = figure(look, height, title or f"{measure.short} site by site")
    table = pd.DataFrame({"region": sites["region"].astype(str), "x": first, "y": second}).dropna(
        subset=["x", "y"]
    )
    low, high = measure.window(table[["x", "y"]].to_numpy(float).ravel())
    ends = [low, high]
    _halves(fig, measure, ends, str(first.name), str(second.name), look)
    colors = _REGIONS_DARK if look.dark else _REGIONS
    size = marker_size(len(table), most=11.0)
    for number, (region, own) in enumerate(table.groupby("region", sort=True)):
        turn, place = divmod(number, len(colors))
        fig.add_points(
            len(table),
            x=own["x"].clip(low, high),
            y=own["y"].clip(low, high),
            name=str(region) or "no region",
            mode="markers",
            marker={
                "size": size,
                "color": colors[place],
                "symbol": _SYMBOLS[turn % len(_SYMBOLS)],
                "opacity": 0.85,
                "line": {"width": 0.6, "color": look.ground},
            },
            customdata=own.assign(site=own.index)[["site", "region", "x", "y"]].to_numpy(),
            hovertemplate=(
                "<b>%{customdata[0]}</b>, region %{customdata[1]}<br>"
                f"{first.name} %{{customdata[2]:.{measure.decimals}f}}, "
                f"{second.name} %{{customdata[3]:.{measure.decimals}f}}{measure.suffix}"
                "<br><i>click for the hydrograph</i><extra></extra>"
            ),
            selected={"marker": {"opacity": 0.85}},
            unselected={"marker": {"opacity": 0.85}},
        )
    margin = 0.02 * (high - low)
    limits = [low - margin, high + margin]
    fig.update_xaxes(title_text=f"{first.name}: {measure.axis}", range=limits, constrain="domain")
    fig.update_yaxes(
        title_text=f"{second.name}: {measure.axis}",
        range=limits,
        scaleanchor="x",
        constrain="domain",
    )
    heading = {"text": "region", "font": {"color": look.muted, "size": 12}}
    regions = table["region"].nunique()
    legend: dict[str, Any] = {"title": heading, "itemsizing": "constant"}
    if regions > _BESIDE:
        legend |= {"orientation": "h", "x": 0, "y": -0.17, "yanchor": "top", "entrywidth": 34}
    fig.update_layout(hovermode="closest", legend=legend, showlegend=regions > 1)
    return fig.done()


def outside(first: pd.Series, second: pd.Series, measure: Measure) -> int:
    """Sites whose point was moved to the edge of the plot."""
    table = pd.DataFrame({"x": first, "y": second}).dropna()
    low, high = measure.window(table.to_numpy(float).ravel())
    return int(((table < low) | (table > high)).any(axis=1).sum())


def _halves(fig: Sketch, measure: Measure, ends: list[float], first: str, second: str, look: Look) -> None:
    """The 1:1 line, and which model is better on either side of it."""
    line = {"color": look.muted, "width": 1}
    fig.add_scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    if measure.centred:
        return
    upper, lower = (second, first) if measure.better == "high" else (first, second)
    for name, place, across, along in ((upper, 0.02, "left", "top"), (lower, 0.98, "right", "bottom")):
        fig.add_annotation(
            text=f"{name} is better",
            x=place,
            y=1.0 - place,
            xref="x domain",
            yref="y domain",
            xanchor=across,
            yanchor=along,
            showarrow=False,
            font={"size": 12, "color": look.muted},
            bgcolor=fade(look.ground, 0.7),
        )
