"""Page Interpretation, third question: where does the water go?"""

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.figures.water import (
    CHANGE,
    LEFT,
    by_month,
    equation,
    monthly_balance,
    outflows,
    regional_balance,
    stores,
    words,
)
from thalweg.dashboard.look import Look, Stroke
from thalweg.dashboard.reading import evaluated, predictions
from thalweg.dashboard.reading.cards import Card
from thalweg.dashboard.reading.inside import YEAR, Series, Terms, fluxes_at, terms, yearly_means
from thalweg.dashboard.reading.weather import weather
from thalweg.dashboard.scope import Scope
from thalweg.dashboard.sections.periods import chosen_period
from thalweg.flows.reporting.readings import balance_sentence

_HEIGHT = 360


def water_view(scope: Scope, model: str, stroke: Stroke, look: Look) -> list[str]:
    """Long-term balances of regions, and fluxes and stores of one site; gives what is missing."""
    runs = [run for run in scope.runs if run.model == model and run.state == "done"]
    told = terms(runs[0].path, runs[0].stamp) if runs else Terms(missing="no run is done")
    if told.missing:
        parts.empty("No water balance to show", f"{model}: {told.missing}. Choose another model.")
        return []
    _regions(scope, runs, told, look)
    parts.section("At one site")
    place, period = st.columns([3, 7], gap="medium")
    with place:
        site = choices.select("site", "Site", list(scope.places.index), scope.typical_site)
    run = scope.run_at(model, site, scope.seeds[0] if scope.seeds else 0)
    if run is None:
        return [f"{model}: was not tested at {site}"]
    series = fluxes_at(run, site)
    if series.table.empty:
        parts.note(f"Nothing to draw: {series.missing}.")
        return [series.missing]
    flows, problems = predictions.series(run.path, run.stamp, site)
    if flows is None:
        flows = pd.DataFrame({"observed": pd.Series(dtype=float)}, index=series.table.index)
    with period:
        days = chosen_period(flows).index.intersection(series.table.index)
    inflow, missing = _inflow(run, site, series, told)
    _site(series, inflow, told, days, look)
    if missing:
        parts.note(f"What comes in is not drawn: {missing}.")
    return problems


def _regions(scope: Scope, runs: list[Card], told: Terms, look: Look) -> None:
    """Long-term balances, a bar a region, from what `thalweg evaluate` added up."""
    balance = evaluated.tables(runs, "balance")
    if balance.empty:
        parts.empty(
            "Does the balance close?",
            "The long-term balance of every site is computed by",
            f"thalweg evaluate {scope.experiment}",
        )
        return
    table = _long_term(runs, balance, told)
    by_region = table.groupby(scope.places["region"].reindex(table.index).fillna("").astype(str)).mean()
    names = [name for name in (*told.outflow, CHANGE, LEFT, "outflow") if name in by_region]
    # what is unaccounted is mostly too little to be seen: the line below says how little
    names = [name for name in names if name != LEFT or by_region[name].abs().max() > 1.0]
    parts.plot(regional_balance(by_region[names], by_region["inflow"], look, _HEIGHT), f"regions-{scope.key}")
    mean = table.mean()
    parts.note(
        f"Mean over {len(table):,} sites: {equation({'inflow': mean['inflow']}, mean[names])}. "
        f"{balance_sentence(balance)}"
    )


def _long_term(runs: list[Card], balance: pd.DataFrame, told: Terms) -> pd.DataFrame:
    """Inflow, outflows, change of storage and what is unaccounted by site, mean over seeds (mm/year)."""
    length = {run.id: _years(run) for run in runs}
    years = balance["run"].map(length)
    sums = balance.assign(
        inflow=balance["inflow"] / years,
        **{
            CHANGE: balance["change"] / years,
            LEFT: balance["residual"] / years,
            "all": balance["outflow"] / years,
        },
    )
    means = sums.groupby("site")[["inflow", CHANGE, LEFT, "all"]].mean()
    fluxes = pd.concat([yearly_means(run.path, run.stamp, told.outflow) for run in runs])
    if fluxes.empty:
        return means.rename(columns={"all": "outflow"})
    return means.drop(columns="all").join(fluxes.groupby(level=0).mean())


def _years(run: Card) -> float:
    """How long the balance of a run is over: the test without its first day."""
    days = (pd.Timestamp(run.test_end) - pd.Timestamp(run.test_start)).days
    return max(days, 1) / YEAR


def _inflow(run: Card, site: str, series: Series, told: Terms) -> tuple[pd.Series | None, str]:
    """All that comes in on each day (mm/day): forcings from the store, and fluxes of the model's own."""
    total = pd.Series(0.0, index=series.table.index)
    for name in told.inflow:
        if name in series.table:
            total = total + series.table[name]
        elif name == "precipitation":
            sky = weather(run, site)
            if sky.missing or name not in sky.table:
                return None, sky.missing or "the store has no precipitation"
            total = total + sky.table[name].reindex(total.index)
        else:
            return None, f"{words(name)} is in no file of the run"
    return total, ""


def _site(series: Series, inflow: pd.Series | None, told: Terms, days: pd.Index, look: Look) -> None:
    """The balance by month over the whole record, and outflows and stores of the chosen days."""
    outflow = [name for name in told.outflow if name in series.table]
    stored = [name for name in told.stored if name in series.table]
    daily = series.table[outflow].assign(**{CHANGE: series.table[stored].sum(axis=1).diff()})
    months = by_month(daily)
    rain = None if inflow is None else by_month(inflow.to_frame("inflow"))["inflow"]
    means = YEAR * daily.iloc[1:].mean()
    if inflow is not None:
        name = told.inflow[0] if len(told.inflow) == 1 else "inflow"
        comes = YEAR * inflow.iloc[1:].mean()
        parts.note(f"Over the whole record: {equation({name: comes}, means)}.")
    left, right = st.columns([4, 5], gap="medium")
    with left:
        name = told.inflow[0] if len(told.inflow) == 1 else "inflow"
        parts.plot(monthly_balance(months, rain, look, 2 * _HEIGHT - 80, name), "months")
    with right:
        parts.plot(outflows(series.table.loc[days, outflow], look, _HEIGHT - 50), "outflows")
        parts.plot(stores(series.table.loc[days, stored], look, _HEIGHT - 50), "stores")
