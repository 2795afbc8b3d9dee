"""Skill in parts: by season, class of flow, region or class of an attribute."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.sketch import Sketch, figure
from thalweg.dashboard.look import Look, Stroke
from thalweg.dashboard.measures import Measure


def strata_dots(
    means: pd.DataFrame,
    models: Sequence[str],
    measure: Measure,
    strokes: Mapping[str, Stroke],
    look: Look,
    height: int,
    title: str,
    axis: str,
) -> go.Figure:
    """Median skill in each class, a dot a model, with its interval where one run tells it.

    Parameters
    ----------
    means : of one kind of strata; columns of :func:`thalweg.flows.reporting.strata.strata_means`.
    models : in their order.
    axis : what the classes are of, with units.
    """
    fig = figure(look, height, title)
    labels = list(dict.fromkeys(means["label"]))
    place = {label: number for number, label in enumerate(labels)}
    sites = means.groupby("label")["sites"].max()
    step = min(0.16, 0.7 / max(1, len(models)))
    for number, model in enumerate(models):
        own = means[means["model"] == model]
        if own.empty:
            continue
        stroke = strokes[model]
        fig.add_scatter(
            x=own["label"].map(place) + step * (number - (len(models) - 1) / 2),
            y=own["value"],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": own["high"] - own["value"],
                "arrayminus": own["value"] - own["low"],
                "thickness": 1.4,
                "width": 0,
                "color": stroke.color,
            },
            name=model,
            mode="markers",
            marker={
                "size": 8,
                "color": stroke.color,
                "symbol": "circle" if stroke.dash == "solid" else "circle-open",
            },
            customdata=own[["label", "sites"]].to_numpy(),
            hovertemplate=(
                f"<b>{model}</b>, %{{customdata[0]}}<br>{measure.short} %{{y:.{measure.decimals}f}}"
                f"{measure.suffix}, %{{customdata[1]:,}} sites<extra></extra>"
            ),
        )
    _name_classes(fig, labels, sites, axis, look)
    window = measure.window(means["value"].to_numpy(float))
    fig.update_yaxes(title_text=f"median {measure.axis}", range=_range(means, window))
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"}
    fig.update_layout(hovermode="closest", legend=legend, margin={"t": 62})
    return fig.done()


def _name_classes(fig: Sketch, labels: list[str], sites: pd.Series, axis: str, look: Look) -> None:
    """The classes below their dots, with how many sites each has, and lines between them."""
    edge = {"type": "line", "xref": "x", "yref": "y domain", "y0": 0, "y1": 1, "line": {"color": look.faint}}
    fig.update_layout(shapes=[{**edge, "x0": at - 0.5, "x1": at - 0.5} for at in range(1, len(labels))])
    several = sites.nunique() > 1
    named = [_minus(label) for label in labels]
    text = [
        f"{name}<br><span style='font-size:11px'>{sites[label]:,} sites</span>"
        for name, label in zip(named, labels, strict=True)
    ]
    fig.update_xaxes(
        title_text=axis,
        tickvals=list(range(len(labels))),
        ticktext=text if several and len(labels) <= 8 else named,
        range=[-0.6, len(labels) - 0.4],
        showgrid=False,
    )


def _minus(label: str) -> str:
    """A range of numbers with real minus signs."""
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", label) if " to " in label else label


def _range(means: pd.DataFrame, window: tuple[float, float]) -> list[float]:
    """What the classes span, but no further than is worth drawing: of each class at least the best model."""
    best = means.groupby("label")["value"].agg(["min", "max"])
    lowest, highest = (
        float(find(means[["value", end]].to_numpy(float)))
        for find, end in ((np.nanmin, "low"), (np.nanmax, "high"))
    )
    low = max(min(window[0], float(best["max"].min())), lowest)
    high = min(max(window[1], float(best["min"].max())), highest)
    spread = 0.06 * max(high - low, 1e-3)
    return [low - spread, high + spread]
