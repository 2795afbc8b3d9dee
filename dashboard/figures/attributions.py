"""What a network uses: each method beside the others, those that fail their checks drawn hollow and grey."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import two_lines
from thalweg.dashboard.figures.sketch import figure
from thalweg.dashboard.look import Look

MOST_FEATURES = 10
_LINE = 44  # letters
_COLORS = ("#3c78a8", "#6a9f58", "#8a6fb0", "#b08d57", "#c77c9b", "#5a9aa8")
_COLORS_DARK = ("#6fabd8", "#93c47d", "#b59ad8", "#d4b27d", "#e0a3bd", "#86c4d0")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")


def importance(
    shares: pd.DataFrame, failed: Mapping[str, Sequence[str] | None], look: Look, height: int, title: str
) -> go.Figure:
    """Share of each method's whole by feature, the strongest on top.

    Parameters
    ----------
    shares : a row a feature, named for reading, a column a method; the strongest first.
    failed : by method the checks that it fails; None for a method without a check of its own.
    """
    fig = figure(look, height, title)
    features = [str(name) for name in shares.index][::-1]
    place = list(range(len(features)))[::-1]
    colors = _COLORS_DARK if look.dark else _COLORS
    for number, method in enumerate(shares.columns):
        bad = failed.get(method)
        color = look.floor if bad else colors[number % len(colors)]
        symbol = _SYMBOLS[number % len(_SYMBOLS)]
        fig.add_scatter(
            x=shares[method],
            y=place,
            name=f"{method}: {_told(bad)}",
            mode="markers",
            marker={
                "size": 10,
                "color": color,
                "symbol": f"{symbol}-open" if bad or bad is None else symbol,
                "line": {"width": 1.6, "color": color},
                "opacity": 0.75 if bad else 1.0,
            },
            customdata=[[feature] for feature in features[::-1]],
            hovertemplate=f"%{{customdata[0]}}: %{{x:.2f}}<br>{method}, {_told(bad)}<extra></extra>",
        )
    fig.update_yaxes(
        tickvals=list(range(len(features))),
        ticktext=[two_lines(name, _LINE) for name in features],
        showgrid=True,
    )
    fig.update_xaxes(title_text="share of the method's whole (–)", rangemode="tozero")
    fig.update_layout(hovermode="closest", legend={"orientation": "h", "x": 0, "y": -0.16, "yanchor": "top"})
    return fig.done()


def reaches(
    lags: pd.DataFrame, failed: Sequence[str] | None, look: Look, height: int, title: str
) -> go.Figure:
    """How far back a network looks: the share of what it uses of each variable up to so many days back.

    Parameters
    ----------
    lags : columns variable, lag (days) and reach; several runs are averaged.
    failed : the checks that the method fails: then the lines are broken and grey.
    """
    fig = figure(look, height, title)
    shades = {"precipitation": look.rain, "temperature": look.warmth}
    rest = _COLORS_DARK[1:] if look.dark else _COLORS[1:]
    dashes = ("dash", "dot", "dashdot", "longdash", "longdashdot")
    for number, (variable, own) in enumerate(lags.groupby("variable", sort=False)):
        reach = own.groupby("lag")["reach"].mean()
        color = shades.get(str(variable), rest[number % len(rest)])
        fig.add_scatter(
            x=reach.index + 1,
            y=reach,
            name=str(variable).replace("_", " "),
            mode="lines",
            line={
                "color": look.floor if failed else color,
                "width": 2,
                "dash": dashes[number % len(dashes)] if failed else "solid",
            },
            hovertemplate=f"{str(variable).replace('_', ' ')}: %{{y:.0%}} within %{{x}} days<extra></extra>",
        )
    days = [day for day in (1, 3, 10, 30, 100, 365) if day <= int(lags["lag"].max()) + 1]
    fig.update_xaxes(title_text="days back", type="log", tickvals=days, ticktext=[str(day) for day in days])
    fig.update_yaxes(title_text="share of what is used (–)", range=[0, 1.02])
    fig.update_layout(
        hovermode="closest", legend={"x": 0.98, "xanchor": "right", "y": 0.03, "yanchor": "bottom"}
    )
    return fig.done()


def _told(failed: Sequence[str] | None) -> str:
    if failed is None:
        return "no check of its own"
    return f"fails {', '.join(failed)}" if failed else "passes"
