"""What follows from what: skill outside from skill inside, simulated from observed trends."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import marker_size
from thalweg.dashboard.figures.sketch import Sketch, figure
from thalweg.dashboard.look import Look, Stroke
from thalweg.dashboard.measures import Measure

_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
_FILLING = {"solid": "", "longdashdot": "-open", "dashdot": "-open-dot"}
"""Of a symbol, by the dash of a model's stroke: tells models of one colour apart."""
_OWN = "hexagon"  # of a model in the legend: no split has it


def on_the_line(
    points: Mapping[str, pd.DataFrame],
    measure: Measure,
    strokes: Mapping[str, Stroke],
    look: Look,
    height: int,
    inside: str,
) -> go.Figure:
    """Median skill outside against inside, a point a model and seed, another symbol for each split.

    Models that share a colour differ in whether symbols are filled, as their lines do in dashes elsewhere.

    Parameters
    ----------
    points : split -> columns of :func:`thalweg.evaluation.extrapolation.gaps.accuracy_on_the_line`.
    inside : name of the split inside.
    """
    fig = figure(look, height, f"Median {measure.short} outside by that inside")
    every = pd.concat(points.values())
    values = every[["inside", "outside"]].to_numpy(float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    margin = 0.08 * max(high - low, 1e-3)
    ends = [low - margin, high + margin]
    _identity(fig, ends, look, "as good outside")
    for number, (split, own) in enumerate(points.items()):
        symbol = _SYMBOLS[number % len(_SYMBOLS)]
        ordered = own.sort_values("inside").dropna(subset=["expected"])
        if len(ordered):
            fig.add_scatter(
                x=ordered["inside"],
                y=ordered["expected"],
                mode="lines",
                line={"color": look.floor, "width": 1.4},
                hoverinfo="skip",
                showlegend=False,
            )
        fig.add_scatter(
            x=own["inside"],
            y=own["outside"],
            name=split,
            mode="markers",
            marker={
                "size": 11,
                "symbol": [_symbol(symbol, strokes[model]) for model in own["model"]],
                "color": [strokes[model].color for model in own["model"]],
                "line": {"width": 0.8, "color": look.ground},
            },
            customdata=[[str(model), _off(above)] for model, above in own[["model", "above"]].to_numpy()],
            hovertemplate=(
                f"<b>%{{customdata[0]}}</b>, {split}<br>{measure.short} inside %{{x:.3f}}, outside %{{y:.3f}}"
                f"{measure.suffix}%{{customdata[1]}}<extra></extra>"
            ),
            showlegend=False,
        )
        # the legend tells what the symbols are; colours and filling are those of the models
        _in_legend(fig, split, symbol, look.muted)
    for model in dict.fromkeys(every["model"]):
        _in_legend(fig, model, _symbol(_OWN, strokes[model]), strokes[model].color)
    fig.update_xaxes(title_text=f"inside ({inside}): median {measure.axis}", range=ends)
    fig.update_yaxes(title_text=f"outside: median {measure.axis}", range=ends)
    legend = {"x": 0.02, "xanchor": "left", "y": 0.98, "yanchor": "top"}
    fig.update_layout(hovermode="closest", legend=legend)
    return fig.done()


def _in_legend(fig: Sketch, name: str, symbol: str, color: str) -> None:
    marker = {"size": 10, "symbol": symbol, "color": color}
    fig.add_scatter(x=[None], y=[None], name=name, mode="markers", marker=marker)


def trend_scatter(
    sites: pd.DataFrame, strokes: Mapping[str, Stroke], look: Look, height: int, title: str, units: str
) -> go.Figure:
    """Simulated against observed trends, a point a site and model; what is not clear is small and pale.

    Parameters
    ----------
    sites : of one split and flow; columns model, site, observed, simulated, observed_p.
    """
    fig = figure(look, height, title)
    low, high = np.nanquantile(sites[["observed", "simulated"]].to_numpy(float), [0.005, 0.995])
    reach = 1.06 * max(abs(low), abs(high), 1e-6)
    ends = [-reach, reach]
    _identity(fig, ends, look, "as observed")
    size = marker_size(sites["site"].nunique(), most=10.0)
    for model, own in sites.groupby("model", sort=False):
        clear = own["observed_p"].to_numpy(float) < 0.1
        fig.add_points(
            len(sites),
            x=own["observed"].clip(*ends),
            y=own["simulated"].clip(*ends),
            name=str(model),
            mode="markers",
            marker={
                "size": np.where(clear, size, 0.6 * size),
                "symbol": _symbol("circle", strokes[str(model)]),
                "color": strokes[str(model)].color,
                "opacity": np.where(clear, 0.85, 0.35),
                "line": {"width": 0},
            },
            customdata=own[["site", "observed", "simulated"]].to_numpy(),
            hovertemplate=(
                f"<b>%{{customdata[0]}}</b><br>{model} %{{customdata[2]:+.3f}}, observed "
                f"%{{customdata[1]:+.3f}} {units}<br><i>click for the hydrograph</i><extra></extra>"
            ),
            showlegend=False,
        )
    fig.update_xaxes(title_text=f"observed trend ({units})", range=ends, zerolinecolor=look.border)
    fig.update_yaxes(title_text=f"simulated trend ({units})", range=ends, zerolinecolor=look.border)
    legend = {"x": 0.02, "xanchor": "left", "y": 0.98, "yanchor": "top"}
    fig.update_layout(hovermode="closest", legend=legend)
    return fig.done()


def _symbol(shape: str, stroke: Stroke) -> str:
    return shape + _FILLING.get(stroke.dash, "-open")


def _off(above: float) -> str:
    """How far from the line, for hovering; nothing where there is no line."""
    return f"<br>{above:+.3f} off the line" if np.isfinite(above) else ""


def _identity(fig: Sketch, ends: list[float], look: Look, told: str) -> None:
    fig.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        name=told,
        line={"color": look.muted, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
