"""Where the water goes: fluxes and stores of one site, and long-term balances of regions."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from thalweg.dashboard.figures.frame import fade
from thalweg.dashboard.figures.regimes import MONTHS
from thalweg.dashboard.figures.sketch import Sketch, figure
from thalweg.dashboard.look import Look

CHANGE = "change of storage"
LEFT = "unaccounted"
# Evaporation in the colour of plants, what flows off in blues, what is stored in earth and snow.
_KNOWN = {
    "evapotranspiration": "#6a9f58",
    "discharge": "#3c78a8",
    "groundwater_exchange": "#8a6fb0",
    CHANGE: "#b08d57",
    LEFT: "#c1440e",
    "snowpack": "#9fb6c9",
    "meltwater": "#5f8fb8",
    "soil_moisture": "#b08d57",
    "upper_zone": "#e3cf9b",
    "lower_zone": "#65768f",
}
_OTHERS = ("#b08d57", "#d8c08c", "#8c6d46", "#7f9c8f", "#a3b18a", "#6b705c", "#cb997e")


def flux_colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for each flux and store, the same in every figure of the page."""
    rest = [name for name in names if name not in _KNOWN]
    return {
        name: _KNOWN.get(name) or _OTHERS[rest.index(name) % len(_OTHERS)] for name in dict.fromkeys(names)
    }


def monthly_balance(
    parts: pd.DataFrame, inflow: pd.Series | None, look: Look, height: int, inflow_name: str = "precipitation"
) -> go.Figure:
    """What becomes of the water of each calendar month, stacked; what comes in as a line of steps above.

    Parameters
    ----------
    parts : index 1 to 12; a column an outflow and the change of storage (mm/month), which may be negative.
    inflow : (mm/month); None where it is not known.
    """
    fig = figure(look, height, "Water balance by month")
    colors = flux_colors(list(parts.columns))
    for name in parts.columns:
        fig.add_bar(
            x=list(MONTHS),
            y=parts[name],
            name=words(name),
            marker={"color": colors[name], "line": {"width": 0}},
            hovertemplate=f"%{{x}}, {words(name)}: %{{y:.1f}} mm<extra></extra>",
        )
    if inflow is not None:
        fig.add_scatter(
            x=list(MONTHS),
            y=inflow,
            name=words(inflow_name),
            mode="lines+markers",
            line={"color": look.ink, "width": 2},
            marker={"size": 6},
            hovertemplate=f"%{{x}}, {words(inflow_name)}: %{{y:.1f}} mm<extra></extra>",
        )
    fig.update_layout(barmode="relative", bargap=0.25, hovermode="closest", legend={"traceorder": "normal"})
    fig.update_yaxes(title_text="water (mm/month)", zeroline=True, zerolinecolor=look.muted)
    return fig.done()


def regional_balance(table: pd.DataFrame, inflow: pd.Series | None, look: Look, height: int) -> go.Figure:
    """Long-term balances, stacked, a bar a region; the diamond is what came in.

    Parameters
    ----------
    table : index region; a column an outflow, the change of storage and what is unaccounted (mm/year).
    inflow : by region (mm/year).
    """
    fig = figure(look, height, "Long-term balance by region, mean over sites")
    colors = flux_colors(list(table.columns))
    regions = [str(region) or "no region" for region in table.index]
    for name in table.columns:
        fig.add_bar(
            x=regions,
            y=table[name],
            name=words(name),
            marker={"color": colors[name], "line": {"width": 0}},
            hovertemplate=f"region %{{x}}, {words(name)}: %{{y:,.0f}} mm/year<extra></extra>",
        )
    if inflow is not None:
        fig.add_scatter(
            x=regions,
            y=inflow,
            name="inflow",
            mode="markers",
            marker={
                "symbol": "diamond",
                "size": 9,
                "color": look.ink,
                "line": {"width": 1, "color": look.ground},
            },
            hovertemplate="region %{x}, inflow: %{y:,.0f} mm/year<extra></extra>",
        )
    fig.update_layout(barmode="relative", bargap=0.3, hovermode="closest", legend={"traceorder": "normal"})
    fig.update_xaxes(title_text="region", type="category")
    fig.update_yaxes(title_text="water (mm/year)", zeroline=True, zerolinecolor=look.muted)
    return fig.done()


def stores(table: pd.DataFrame, look: Look, height: int) -> go.Figure:
    """What is stored on each day, stacked.

    Parameters
    ----------
    table : index time, a column a state (mm).
    """
    return _stacked(table, figure(look, height, "What is stored"), "water stored (mm)", "%{y:.0f} mm")


def outflows(table: pd.DataFrame, look: Look, height: int) -> go.Figure:
    """What leaves on each day, stacked.

    Parameters
    ----------
    table : index time, a column a flux (mm/day).
    """
    return _stacked(table, figure(look, height, "What leaves"), "flux (mm/day)", "%{y:.2f} mm/day")


def _stacked(table: pd.DataFrame, fig: Sketch, axis: str, told: str) -> go.Figure:
    """Adds the columns of a table one upon the other; `told` is what the pointer shows of each."""
    colors = flux_colors(list(table.columns))
    for name in table.columns:
        fig.add_scatter(
            x=table.index,
            y=table[name],
            name=words(name),
            mode="lines",
            stackgroup="all",
            line={"width": 0.6, "color": colors[name]},
            fillcolor=fade(colors[name], 0.75),
            hovertemplate=told,
        )
    fig.update_layout(hovermode="x unified", legend={"traceorder": "reversed"})
    fig.update_xaxes(hoverformat="%-d %b %Y")
    fig.update_yaxes(title_text=axis, rangemode="tozero")
    return fig.done()


def by_month(daily: pd.DataFrame) -> pd.DataFrame:
    """Mean over years of monthly sums: index 1 to 12; of the months that the record has days of.

    Parameters
    ----------
    daily : index time (mm/day).
    """
    time = pd.DatetimeIndex(daily.index)
    days = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    means = daily.groupby(time.month).mean().reindex(range(1, 13))
    return means.mul(days, axis=0)


def words(name: str) -> str:
    """A variable's name for reading."""
    return name.replace("_", " ")


def equation(inflow: Mapping[str, float], parts: pd.Series) -> str:
    """`precipitation 1,188 = discharge 681 + evapotranspiration 504 + change of storage 3 (mm/year)`."""

    def side(values: Mapping[str, float] | pd.Series) -> str:
        told = ""
        for name, value in values.items():
            sign = "" if not told and value >= 0 else " − " if round(value) < 0 else " + "
            told += f"{sign}{words(str(name))} {abs(value):,.0f}"
        return told.strip()

    return f"{side(inflow) or 'inflow'} = {side(parts)} (mm/year)"
