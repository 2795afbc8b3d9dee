"""What a store holds at one site: every variable by day, and the days that are missing."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import fade
from thalweg.dashboard.figures.sketch import on, over_time, panels
from thalweg.dashboard.figures.water import words
from thalweg.dashboard.look import Look, units_text
from thalweg.dashboard.reading.contents import gaps

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
    fig = panels(look, ROW * len(names) + 40, [1.0] * len(names), 0.18 / max(len(names), 1))
    shade = fade(look.states["failed"], 0.22 if look.dark else 0.16)
    for panel, name in enumerate(names, start=1):
        values = table[name]
        unit = units_text(units.get(name, ""))
        across, up = on(panel).values()
        fig.add_lines(
            len(table) * len(names),
            **over_time(values),
            **on(panel),
            name=words(name),
            line={"color": look.observed if name == "discharge" else look.models[0], "width": 0.9},
            hovertemplate=f"%{{y:.3~g}} {unit}",
            connectgaps=False,
        )
        for first, last, _ in gaps(values)[:_GAPS]:
            fig.add_shape(
                type="rect",
                xref=across,
                yref=f"{up} domain",
                x0=first,
                x1=last + pd.Timedelta(days=1),
                y0=0,
                y1=1,
                fillcolor=shade,
                line={"width": 0},
                layer="below",
            )
        fig.update_axis(f"yaxis{up[1:]}", title_text=unit or "–", nticks=4, exponentformat="none")
        fig.add_annotation(
            text=f"<b>{words(name)}</b>{_missing(values)}",
            x=0,
            xref=f"{across} domain",
            xanchor="left",
            y=1.0,
            yref=f"{up} domain",
            yanchor="bottom",
            showarrow=False,
            font={"size": 12.5, "color": look.ink},
        )
    fig.update_xaxes(range=[table.index[0], table.index[-1]])
    fig.update_layout(showlegend=False, margin={"t": 24})
    return fig.done()


def _missing(values: pd.Series) -> str:
    """How much is missing, in words."""
    days = int(values.isna().sum())
    if not days:
        return ", complete"
    longest = gaps(values)[0]
    return (
        f", {days:,} of {len(values):,} days missing, longest from {longest[0]:%Y-%m-%d} for {longest[2]:,}"
    )
