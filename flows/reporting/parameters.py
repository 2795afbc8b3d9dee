"""Maps of parameters, and the course of those that vary in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from thalweg.flows.reporting import figures
from thalweg.flows.reporting.section import Figure, Section
from thalweg.storage.results import Run

MOST_MAPS = 6
MOST_SERIES = 4


def draw_maps(section: Section, tables: pd.DataFrame) -> None:
    """Draw where each parameter lies in its range, of the first hybrid or, without one, the first model.

    Parameters
    ----------
    tables : of :func:`thalweg.evaluation.interpretation.parameter_maps.parameter_table`, with the columns
        ``model`` and ``split``; of the parameters that differ most between sites.
    """
    if not {"longitude", "latitude"} <= set(tables.columns):
        return
    model, split = tables[["model", "split"]].iloc[0]
    own = tables[(tables["model"] == model) & (tables["split"] == split)]
    sites = own.groupby(["parameter", "site"], sort=False)[["longitude", "latitude", "place"]].mean().dropna()
    spread = sites.groupby("parameter")["place"].std().sort_values(ascending=False)
    shown = list(spread.index[:MOST_MAPS])
    if not shown:
        return
    figure, axes = figures.panels(len(shown), 3.4, 2.3)
    for panel, name in zip(axes, shown, strict=True):
        each = sites.loc[name]
        drawn = panel.scatter(each["longitude"], each["latitude"], c=each["place"], s=14, vmin=0, vmax=1)
        panel.set_title(str(name))
        panel.set_aspect(1 / max(0.2, np.cos(np.radians(each["latitude"].mean()))), "datalim")
    figure.colorbar(drawn, ax=axes, shrink=0.6, label="place in the range")
    section.parts.append(
        Figure(
            f"{model}, {split}: where parameters lie in their ranges, by longitude and latitude; those that "
            "differ most between sites. All are in the run's evaluation/parameters.parquet.",
            figures.svg(figure),
        )
    )


def draw_series(section: Section, runs: Sequence[Run]) -> None:
    """Draw the mean year of each parameter that varies in time, of the first run that has one."""
    for run in runs:
        found = run.parameters() if run.state == "done" else None
        varying = [] if found is None else [name for name, each in found.items() if "time" in each.dims]
        if found is None or not varying:
            continue
        figure, axes = figures.panels(len(varying[:MOST_SERIES]))
        for panel, name in zip(axes, varying[:MOST_SERIES], strict=True):
            year = found[name].groupby("time.dayofyear").mean("time").transpose("dayofyear", "site")
            low, middle, high = np.nanquantile(year.values, [0.25, 0.5, 0.75], axis=1)
            panel.fill_between(year["dayofyear"], low, high, color=figures.COLOURS[0], alpha=0.2, lw=0)
            panel.plot(year["dayofyear"], middle, color=figures.COLOURS[0])
            panel.set_title(str(name))
            panel.set_xlabel("day of the year")
            units = str(found[name].attrs.get("units", ""))
            panel.set_ylabel("" if units == "1" else units)
        section.parts.append(
            Figure(
                f"{run.model}, {run.split}: the mean year of parameters that vary in time, median and "
                "quartiles over sites. Every day is in the run's parameters.zarr.",
                figures.svg(figure),
            )
        )
        return
