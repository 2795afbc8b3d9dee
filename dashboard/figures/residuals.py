"""How a model is wrong at one site: by the size of the flow, by month, and from day to day."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from thalweg.dashboard.figures.frame import fade
from thalweg.dashboard.figures.regimes import MONTHS, UNITS, line_of
from thalweg.dashboard.figures.sketch import figure
from thalweg.dashboard.look import Look, Stroke

CLASSES = 10
"""Of observed flow, with as many days each."""
LAGS = 30
_FEWEST = 30
_MOST = 200.0
"""% of the observed mean of a class: larger errors are drawn here."""


def by_flow(
    table: pd.DataFrame, models: list[str], strokes: Mapping[str, Stroke], look: Look, height: int
) -> go.Figure:
    """Mean error in ten classes of observed flow, as a share of the class's mean observed flow (%).

    Parameters
    ----------
    table : index time; column `observed` and one column a model (mm/day), NaN where missing.
    """
    fig = figure(look, height, "Error by size of flow")
    seen = table[table["observed"].notna()]
    fig.add_hline(0, line={"color": look.border, "width": 1})
    if len(seen) >= CLASSES:
        errors = class_errors(seen, models)
        for model in models:
            fig.add_scatter(
                x=errors.index,
                y=errors[model].clip(upper=_MOST),
                name=model,
                mode="lines+markers",
                marker={"size": 5},
                line=line_of(model, strokes, look),
                customdata=np.column_stack([errors["low"], errors["high"], errors[model]]),
                hovertemplate=(
                    f"%{{customdata[2]:+.0f}} % at %{{customdata[0]:.2f}} to %{{customdata[1]:.2f}} {UNITS}"
                ),
                showlegend=False,
            )
    fig.update_xaxes(
        title_text="observed flow, from the lowest to the highest tenth of days", tickvals=list(range(1, 11))
    )
    fig.update_yaxes(title_text="mean error (% of the flow)", zeroline=False)
    return fig.done()


def class_errors(seen: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """Mean error (% of the mean observed flow) by class of observed flow, 1 the lowest.

    Returns
    -------
    Index 1 to 10; ``low`` and ``high`` flow of the class (mm/day) and a column a model; NaN in a class
    without flow.
    """
    rank = seen["observed"].rank(method="first")
    label = np.ceil(rank * CLASSES / len(seen)).astype(int)
    groups = seen.groupby(label)
    means = groups["observed"].mean()
    result = pd.DataFrame({"low": groups["observed"].min(), "high": groups["observed"].max()})
    for model in models:
        error = (seen[model] - seen["observed"]).groupby(label).mean()
        result[model] = 100.0 * error / means.where(means > 0.0)
    return result


def by_month(
    table: pd.DataFrame, models: list[str], strokes: Mapping[str, Stroke], look: Look, height: int
) -> go.Figure:
    """Mean error of each calendar month (mm/day), over days with an observation."""
    fig = figure(look, height, "Error by month")
    errors = table[models].sub(table["observed"], axis=0)
    means = errors.groupby(pd.DatetimeIndex(table.index).month).mean().reindex(range(1, 13))
    fig.add_hline(0, line={"color": look.border, "width": 1})
    for model in models:
        fig.add_scatter(
            x=list(MONTHS),
            y=means[model],
            name=model,
            mode="lines+markers",
            marker={"size": 5},
            line=line_of(model, strokes, look),
            hovertemplate=f"%{{x}}: %{{y:+.2f}} {UNITS}",
            showlegend=False,
        )
    fig.update_xaxes(title_text="month")
    fig.update_yaxes(title_text=f"mean error ({UNITS})", zeroline=False)
    return fig.done()


def memory(
    table: pd.DataFrame, models: list[str], strokes: Mapping[str, Stroke], look: Look, height: int
) -> go.Figure:
    """Autocorrelation of the daily errors: how long an error lasts."""
    fig = figure(look, height, "How long an error lasts")
    days = int(table["observed"].notna().sum())
    if days >= _FEWEST:
        chance = 1.96 / np.sqrt(days)
        fig.add_hrect(-chance, chance, fillcolor=fade(look.floor, 0.25), line={"width": 0}, layer="below")
    for model in models:
        found = autocorrelation((table[model] - table["observed"]).to_numpy(float))
        fig.add_scatter(
            x=list(range(1, LAGS + 1)),
            y=found,
            name=model,
            mode="lines",
            line=line_of(model, strokes, look),
            hovertemplate="after %{x} days: %{y:.2f}",
            showlegend=False,
        )
    fig.add_hline(0, line={"color": look.border, "width": 1})
    fig.update_xaxes(title_text="days later", rangemode="tozero", dtick=5)
    fig.update_yaxes(title_text="autocorrelation of errors (–)", zeroline=False, range=[-0.3, 1.02])
    return fig.done()


def autocorrelation(errors: NDArray[np.float64], lags: int = LAGS) -> NDArray[np.float64]:
    """Correlation of daily errors with those 1 to `lags` days later, ``(lag,)``; unknown days are left out.

    NaN where fewer than 30 pairs are known or the errors are all the same.
    """
    known = np.isfinite(errors)
    apart = np.where(known, errors - errors[known].mean(), 0.0) if known.any() else np.zeros_like(errors)
    spread = float((apart**2).sum() / max(1, known.sum()))
    found = np.full(lags, np.nan)
    for lag in range(1, lags + 1):
        both = int((known[lag:] & known[:-lag]).sum())
        if both >= _FEWEST and spread > 0.0:
            found[lag - 1] = float((apart[lag:] * apart[:-lag]).sum() / both / spread)
    return found
