"""Skill inside against outside of what was trained on, by distance from it, and by the share of the data."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import fade
from thalweg.dashboard.figures.sketch import figure
from thalweg.dashboard.look import Look, Stroke
from thalweg.dashboard.measures import Measure


def inside_outside(
    gaps: pd.DataFrame, measure: Measure, strokes: Mapping[str, Stroke], look: Look
) -> go.Figure:
    """Skill inside (hollow) and outside (filled) of every model, joined by a line, one split below the other.

    Parameters
    ----------
    gaps : columns of :func:`thalweg.evaluation.extrapolation.gaps.extrapolation_gaps`.
    """
    rows = gaps.iloc[::-1].reset_index(drop=True)
    fig = figure(look, 96 + 34 * len(rows), "Skill inside (hollow) and outside (filled)")
    for place, row in rows.iterrows():
        stroke = strokes[row["model"]]
        fig.add_scatter(
            x=[row["inside"], row["outside"]],
            y=[place, place],
            mode="lines+markers",
            line={"color": fade(stroke.color, 0.5), "width": 3},
            marker={
                "size": 12,
                "symbol": ["circle-open", "circle"],
                "color": stroke.color,
                "line": {"width": 2, "color": stroke.color},
                "opacity": 1,
            },
            customdata=[[row["model"], row["inside_split"]], [row["model"], row["split"]]],
            hovertemplate="<b>%{customdata[0]}</b>, %{customdata[1]}<br>"
            f"{measure.short} %{{x:.{measure.decimals + 1}f}}{measure.suffix}<extra></extra>",
            showlegend=False,
        )
    fig.update_xaxes(title_text=f"median {measure.axis}", zeroline=True)
    several = rows["split"].nunique() > 1
    labels = [f"{row.model}, {row.split}" if several else row.model for row in rows.itertuples()]
    fig.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=labels, showgrid=False, range=[-0.6, len(rows) - 0.4]
    )
    return fig.done()


def by_distance(
    classes: Mapping[str, pd.DataFrame],
    measure: Measure,
    strokes: Mapping[str, Stroke],
    look: Look,
    height: int,
) -> go.Figure:
    """Median skill in classes of distance from the nearest training site, a line a model.

    Parameters
    ----------
    classes : model -> the table of :func:`thalweg.evaluation.extrapolation.support.skill_by_distance`.
    """
    fig = figure(look, height, "Skill by distance from what was trained on")
    for model, table in classes.items():
        stroke = strokes[model]
        fig.add_scatter(
            x=(table["from"] + table["to"]) / 2,
            y=table["median"],
            name=model,
            mode="lines+markers",
            line={"color": stroke.color, "dash": stroke.dash, "width": stroke.width},
            marker={"size": 7},
            customdata=table[["from", "to", "sites"]].to_numpy(),
            hovertemplate=f"{measure.short} %{{y:.{measure.decimals}f}} at %{{customdata[2]}} sites, "
            "%{customdata[0]:.2f} to %{customdata[1]:.2f}",
        )
    fig.update_xaxes(
        title_text="distance to the nearest training site (standard deviations)", rangemode="tozero"
    )
    fig.update_yaxes(title_text=f"median {measure.axis}")
    return fig.done()


def data_efficiency(
    curves: Mapping[str, pd.DataFrame],
    measure: Measure,
    strokes: Mapping[str, Stroke],
    look: Look,
    height: int,
    split: str = "",
) -> go.Figure:
    """Skill against the share of the data trained on, with intervals, a line a model.

    Parameters
    ----------
    curves : model -> columns ``share`` (%), ``median``, ``low``, ``high``.
    split : whose shares they are.
    """
    fig = figure(look, height, f"Data efficiency, {split}" if split else "Data efficiency")
    for model, table in curves.items():
        stroke = strokes[model]
        ordered = table.sort_values("share")
        fig.add_scatter(
            x=np.r_[ordered["share"], ordered["share"][::-1]],
            y=np.r_[ordered["low"], ordered["high"][::-1]],
            fill="toself",
            fillcolor=fade(stroke.color, 0.14),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
        fig.add_scatter(
            x=ordered["share"],
            y=ordered["median"],
            name=model,
            mode="lines+markers",
            line={"color": stroke.color, "dash": stroke.dash, "width": stroke.width},
            hovertemplate=f"{measure.short} %{{y:.{measure.decimals}f}} with %{{x:g}} % of the data",
        )
    shares = sorted({float(share) for table in curves.values() for share in table["share"]})
    fig.update_xaxes(
        title_text="share of the data trained on (%)",
        type="log",
        tickvals=shares,
        ticktext=[f"{s:g}" for s in shares],
    )
    fig.update_yaxes(title_text=f"median {measure.axis}")
    return fig.done()
