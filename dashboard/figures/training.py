"""The training curve of a run."""

import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.sketch import figure
from thalweg.dashboard.look import Look, Stroke


def training_curve(history: pd.DataFrame, stroke: Stroke, look: Look, height: int) -> go.Figure:
    """Loss by epoch, and the loss on the validation part where there is one.

    Parameters
    ----------
    history : columns epoch, loss and, optionally, validation.
    """
    fig = figure(look, height, "Training curve")
    for column, color, dash in (("loss", stroke.color, "solid"), ("validation", look.ink, "dot")):
        if column not in history or history[column].notna().sum() == 0:
            continue
        fig.add_scatter(
            x=history["epoch"],
            y=history[column],
            name="training" if column == "loss" else "validation",
            mode="lines+markers" if len(history) < 3 else "lines",
            line={"color": color, "dash": dash, "width": 1.8},
            hovertemplate="epoch %{x}: %{y:.4g}",
        )
    fig.update_xaxes(title_text="epoch")
    fig.update_yaxes(title_text="loss (–)")
    fig.update_layout(
        showlegend=True, legend={"x": 0.98, "xanchor": "right", "y": 0.98, "yanchor": "top"}, hovermode="x"
    )
    return fig.done()
