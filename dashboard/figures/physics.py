"""What physics says of things that nobody trained it on, and what the network decides of each flux."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import axis, fade, frame, marker_size
from thalweg.dashboard.figures.sketch import Sketch, figure, on
from thalweg.dashboard.figures.water import words
from thalweg.dashboard.look import Look, Stroke
from thalweg.evaluation.interpretation.budyko import fu


def untrained(
    sites: pd.DataFrame,
    pairs: Sequence[tuple[str, str, str, str]],
    strokes: Mapping[str, Stroke],
    look: Look,
    height: int,
) -> go.Figure:
    """Simulated against what observations say, a point a site and model, a panel a variable.

    Parameters
    ----------
    sites : rows of the table `physics`, with the column model.
    pairs : of :func:`thalweg.flows.reporting.readings.untrained_pairs`.
    """
    titles = [what[:1].upper() + what[1:] for _, _, what, _ in pairs]
    fig = _side_by_side(titles, look, height)
    points = len(sites) * len(pairs)
    size = marker_size(len(sites), 3.5, 7.0)
    for column, (reference, simulated, _, units) in enumerate(pairs, start=1):
        means = sites.groupby(["model", "site"], sort=False)[[reference, simulated]].mean().dropna()
        unit = "" if units == "1" else f" {units}"
        for model, own in means.groupby("model", sort=False):
            fig.add_points(
                points,
                x=own[reference],
                y=own[simulated],
                name=str(model),
                legendgroup=str(model),
                showlegend=column == 1,
                mode="markers",
                marker={"size": size, "color": strokes[str(model)].color, "opacity": 0.6},
                customdata=own.reset_index()[["site"]].to_numpy(),
                hovertemplate=(
                    f"<b>%{{customdata[0]}}</b><br>{model}: %{{y:.3~g}}{unit}, "
                    f"from observations %{{x:.3~g}}{unit}<extra></extra>"
                ),
                **on(column),
            )
        low, high = _span(means)
        fig.add_scatter(
            x=[low, high],
            y=[low, high],
            mode="lines",
            line={"color": look.muted, "width": 1},
            hoverinfo="skip",
            showlegend=False,
            **on(column),
        )
        label = "–" if units == "1" else units
        number = on(column)["xaxis"][1:]
        fig.update_axis(f"xaxis{number}", title_text=f"from observations ({label})", range=[low, high])
        fig.update_axis(f"yaxis{number}", title_text=f"simulated ({label})", range=[low, high])
    fig.update_layout(
        hovermode="closest",
        margin={"t": 34},
        legend={"orientation": "h", "x": 0, "y": -0.28, "yanchor": "top", "itemsizing": "constant"},
    )
    return fig.done()


def _side_by_side(titles: Sequence[str], look: Look, height: int) -> Sketch:
    """Panels beside each other, each under its title."""
    gap = 0.075
    width = (1 - gap * (len(titles) - 1)) / len(titles)
    fig = Sketch(frame(look, height))
    for column, title in enumerate(titles, start=1):
        left = (column - 1) * (width + gap)
        own = on(column)
        across = {"anchor": own["yaxis"], "domain": [left, min(1.0, left + width)], "showline": True}
        fig.layout[f"xaxis{own['xaxis'][1:]}"] = {**axis(look), **across}
        fig.layout[f"yaxis{own['yaxis'][1:]}"] = {**axis(look), "anchor": own["xaxis"], "showline": False}
        fig.add_annotation(
            text=title,
            x=left + width / 2,
            y=1.0,
            xref="paper",
            yref="paper",
            xanchor="center",
            yanchor="bottom",
            yshift=4,
            showarrow=False,
            font={"size": 13.5, "color": look.ink},
        )
    return fig


def network_shares(shares: pd.DataFrame, strokes: Mapping[str, Stroke], look: Look, height: int) -> go.Figure:
    """Share of each flux and state that the network decides: filled, told of elsewhere; hollow, another time.

    Parameters
    ----------
    shares : columns model, flux, told, share, low, high; means over runs.
    """
    fig = figure(look, height, "How much of each flux and store was learned")
    fluxes = list(dict.fromkeys(shares["flux"]))[::-1]
    place = {flux: number for number, flux in enumerate(fluxes)}
    groups = list(shares.groupby(["model", "told"], sort=False))
    models = list(dict.fromkeys(shares["model"]))
    step = min(0.22, 0.7 / max(1, len(models)))
    for (model, told), own in groups:
        stroke = strokes[str(model)]
        shift = step * ((len(models) - 1) / 2 - models.index(model))
        fig.add_scatter(
            x=own["share"].clip(upper=1.05),
            y=own["flux"].map(place) + shift,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (own["high"] - own["share"]).clip(lower=0),
                "arrayminus": (own["share"] - own["low"]).clip(lower=0),
                "thickness": 1.4,
                "width": 0,
                "color": fade(stroke.color, 0.6),
            },
            name=f"{model}, told of {told}",
            mode="markers",
            marker={
                "size": 9,
                "color": stroke.color,
                "symbol": "circle" if told == "elsewhere" else "circle-open",
                "line": {"width": 1.6, "color": stroke.color},
            },
            customdata=own[["flux", "share"]].to_numpy(),
            hovertemplate=f"<b>{model}</b>, told of {told}<br>%{{customdata[0]}}: %{{customdata[1]:.2f}}"
            "<extra></extra>",
        )
    fig.update_yaxes(
        tickvals=list(range(len(fluxes))),
        ticktext=[words(flux) for flux in fluxes],
        range=[-0.6, len(fluxes) - 0.4],
        showgrid=True,
    )
    fig.update_xaxes(
        title_text="share of the variance (–)", range=[-0.02, 1.08], tickvals=[0, 0.25, 0.5, 0.75, 1]
    )
    fig.update_layout(
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": -0.13, "yanchor": "top", "traceorder": "normal"},
    )
    return fig.done()


def budyko(sites: pd.DataFrame, strokes: Mapping[str, Stroke], look: Look, height: int) -> go.Figure:
    """What evaporates of the precipitation against how dry it is, a point a site and model, with limits.

    Parameters
    ----------
    sites : rows of the table `physics`, with the column model: `dryness` (PET/P) and `evaporated` (E/P).
    """
    fig = figure(look, height, "Budyko: what evaporates, by how dry it is")
    means = sites.groupby(["model", "site"], sort=False)[["dryness", "evaporated"]].mean().dropna()
    most = max(2.0, float(np.quantile(means["dryness"], 0.99)) if len(means) else 2.0)
    dryness = np.linspace(0.01, most, 100)
    for name, y, dash in (
        ("limits of water and energy", np.minimum(dryness, 1.0), "dot"),
        ("Fu curve", fu(dryness), "solid"),
    ):
        line = {"color": look.muted, "width": 1.2, "dash": dash}
        fig.add_scatter(x=dryness, y=y, name=name, mode="lines", line=line, hoverinfo="skip")
    for model, own in means.groupby("model", sort=False):
        fig.add_points(
            len(means),
            x=own["dryness"],
            y=own["evaporated"],
            name=str(model),
            mode="markers",
            marker={"size": 5, "color": strokes[str(model)].color, "opacity": 0.6},
            customdata=own.reset_index()[["site"]].to_numpy(),
            hovertemplate=f"<b>%{{customdata[0]}}</b><br>{model}: E/P %{{y:.2f}} at PET/P %{{x:.2f}}"
            "<extra></extra>",
        )
    fig.update_xaxes(title_text="dryness, PET/P (–)", range=[0, most])
    fig.update_yaxes(title_text="evaporated share, E/P (–)", range=[0, 1.25])
    fig.update_layout(
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top", "itemsizing": "constant"},
    )
    return fig.done()


def _span(means: pd.DataFrame) -> tuple[float, float]:
    """What all but the farthest one in a hundred points span, with a margin."""
    values = means.to_numpy(float)
    if not values.size:
        return 0.0, 1.0
    low, high = np.nanquantile(values, [0.005, 0.995])
    margin = 0.06 * max(high - low, 1e-6)
    return float(low - margin), float(high + margin)
