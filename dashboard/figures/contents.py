"""What a store holds at one site: every variable by day, and the days that are missing."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from thalweg.dashboard.contents import gaps
from thalweg.dashboard.figures.frame import dress, fade, markers
from thalweg.dashboard.figures.water import words
from thalweg.dashboard.look import Look, units_text

ROW = 118  # height of a variable (px)
_GAPS = 60  # longest gaps of a variable that are marked


def variables_by_day(table: pd.DataFrame, units: Mapping[str, str], look: Look) -> go.Figure:
    """One panel a variable on one time axis; days without a value are shaded.

    Parameters
    ----------
    table : index time; one column a variable.
    units : of each column.
    """
    names = list(table.columns)
    fig = make_subplots(len(names), 1, shared_xaxes=True, vertical_spacing=0.18 / max(len(names), 1))
    dress(fig, look, ROW * len(names) + 40)
    shade = fade(look.states["failed"], 0.22 if look.dark else 0.16)
    for row, name in enumerate(names, start=1):
        values = table[name]
        unit = units_text(units.get(name, ""))
        markers(fig, len(table) * len(names))(
            x=table.index,
            y=values,
            mode="lines",
            name=words(name),
            line={"color": look.observed if name == "discharge" else look.models[0], "width": 0.9},
            hovertemplate=f"%{{y:.3~g}} {unit}",
            connectgaps=False,
            row=row,
            col=1,
        )
        for first, last, _ in gaps(values)[:_GAPS]:
            end = last + pd.Timedelta(days=1)
            fig.add_vrect(x0=first, x1=end, fillcolor=shade, line_width=0, layer="below", row=row, col=1)
        fig.update_yaxes(title_text=unit or "–", nticks=4, exponentformat="none", row=row, col=1)
        fig.add_annotation(
            text=f"<b>{words(name)}</b>{_missing(values)}",
            x=0, xref="x domain" if row == 1 else f"x{row} domain", xanchor="left",
            y=1.0, yref="y domain" if row == 1 else f"y{row} domain", yanchor="bottom",
            showarrow=False, font={"size": 12.5, "color": look.ink},
        )  # fmt: skip
    fig.update_xaxes(hoverformat="%-d %b %Y", range=[table.index[0], table.index[-1]])
    fig.update_layout(showlegend=False, hovermode="x unified", hoversubplots="axis", margin={"t": 24})
    return fig


def _missing(values: pd.Series) -> str:
    """How much is missing, in words."""
    days = int(values.isna().sum())
    if not days:
        return ", complete"
    longest = gaps(values)[0]
    return (
        f", {days:,} of {len(values):,} days missing, longest from {longest[0]:%Y-%m-%d} for {longest[2]:,}"
    )
