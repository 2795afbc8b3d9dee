"""Distribution of a metric over sites, one line a model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import fade
from thalweg.dashboard.figures.sketch import figure
from thalweg.dashboard.look import Look, Stroke
from thalweg.dashboard.measures import Measure

_STEPS = 400


def distribution(
    values: Mapping[str, pd.Series], measure: Measure, strokes: Mapping[str, Stroke], look: Look, height: int
) -> go.Figure:
    """Share of sites (%) at or below each value of a metric.

    Parameters
    ----------
    values : for each model one value a site; NaN where the metric is not defined there.
    """
    fig = figure(look, height, f"Distribution of {measure.short} over sites")
    known = [series.to_numpy(float) for series in values.values()]
    window = measure.window(np.concatenate([np.empty(0), *known]))
    for model, series in values.items():
        ordered = np.sort(series.dropna().to_numpy(float))
        if ordered.size == 0:
            continue
        share = 100.0 * np.arange(1, ordered.size + 1) / ordered.size
        if ordered.size > _STEPS:  # as many as a screen can show; the first and the last among them
            kept = np.linspace(0, ordered.size - 1, _STEPS).round().astype(int)
            ordered, share = ordered[kept], share[kept]
        stroke = strokes[model]
        fig.add_scatter(
            # a step up from 0 at the first site, so that the line starts on the axis
            x=np.r_[ordered[0], ordered],
            y=np.r_[0.0, share],
            name=model,
            mode="lines",
            line={"color": stroke.color, "dash": stroke.dash, "width": stroke.width + 0.4, "shape": "hv"},
            hovertemplate=f"{measure.short} ≤ %{{x:.{measure.decimals}f}} at %{{y:.0f}} % of sites",
        )
    fig.add_hline(50, line={"color": look.border, "width": 1, "dash": "dot"})
    fig.update_xaxes(title_text=measure.axis, range=window, zeroline=True)
    fig.update_yaxes(title_text="sites at or below (%)", range=[0, 101], tickvals=[0, 25, 50, 75, 100])
    left = measure.better != "low"
    fig.update_layout(
        legend={
            "x": 0.02 if left else 0.98,
            "xanchor": "left" if left else "right",
            "y": 0.98 if left else 0.04,
            "yanchor": "top" if left else "bottom",
            "bgcolor": fade(look.ground, 0.75),
        },
        hovermode="closest",
    )
    return fig.done()
