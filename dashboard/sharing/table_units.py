"""Units of what `thalweg evaluate` computed, for its tables as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from thalweg.dashboard.reading import evaluated
from thalweg.dashboard.reading.attributes import attribute_names
from thalweg.dashboard.reading.cards import Card
from thalweg.dashboard.sections.trends import UNITS as A_DECADE
from thalweg.dashboard.sharing.share import dataset_of
from thalweg.evaluation.skill import METRICS
from thalweg.storage.results import Run

_WATER = ("precipitation", "potential", "evapotranspiration", "balance")
_DATES = [
    f"{what}{of}"
    for what, kinds in {
        "melt": ("", "_degree_day", "_measured"),
        "gone": ("", "_degree_day", "_measured"),
        "flow": ("_simulated", "_observed"),
    }.items()
    for of in kinds
]
_PURE = (
    "nse", "error", "dryness", "evaporated", "evaporated_balance", "fu", "runoff_ratio_simulated",
    "runoff_ratio_observed", "season_correlation", "snow_share", "baseflow_index_simulated",
    "baseflow_index_reference",
)  # fmt: skip
_COLUMNS: dict[str, dict[str, str]] = {
    "trends": dict.fromkeys(("observed", "simulated"), A_DECADE)
    | dict.fromkeys(("observed_p", "simulated_p"), "1"),
    "events": dict.fromkeys(("pod", "far", "csi"), "1") | {"fhv": "%"},
    "physics": dict.fromkeys(_WATER, "mm/year")
    | dict.fromkeys(_PURE, "1")
    | dict.fromkeys(("lag", *_DATES), "days"),
    "parameters": {"place": "1"},
    "parameter_response": dict.fromkeys(("correlation", "p_value", "q_value"), "1"),
    "network_share": dict.fromkeys(("share", "share_of_means", "low", "high"), "1"),
    "balance": {"share": "1"},
    "explanation_importance": {"share": "1"},
    "explanation_checks": dict.fromkeys(("value", "limit"), "1"),
    "explanation_lags": {"lag": "days", "reach": "1"},
}
_BY_ROW: dict[str, dict[str, tuple[str, ...]]] = {
    "strata": {"units": ("value", "low", "high")},
    "physics_audit": {"units": ("value", "limit")},
    "parameters": {"units": ("value", "components", "time")},
    "parameter_classes": {
        "units": ("lower_quartile", "median", "upper_quartile"),
        "attribute_units": ("low", "high"),
    },
    "network_share": {"units": ("mean", "mean_elsewhere")},
    "balance": {"units": ("inflow", "outflow", "change", "residual")},
    "explanation_importance": {"units": ("importance", "deviation")},
    "explanation_lags": {"units": ("size", "mean")},
}
"""Columns whose units differ from row to row, by the column that tells them."""
_OF_ERRORS = ("permutation", "conditional permutation", "random forest")
"""Methods whose importance is a rise of the error over the variance; others tell it in the answer's units."""


def evaluated_dataset(name: str, table: pd.DataFrame, runs: Sequence[Card]) -> xr.Dataset:
    """A table of `thalweg evaluate` as a dataset over its rows, with units.

    Units of a whole column are its attribute; where they differ from row to row the variable ``units`` (of
    an attribute ``attribute_units``) tells them, and the column's ``comment`` says so.

    Parameters
    ----------
    name : of the table: ``strata`` for means of it, ``events`` for scores of floods.
    runs : that it is of; read for the units of fluxes and attributes.
    """
    about: dict[str, dict[str, Any]] = {
        column: {"units": units} for column, units in _COLUMNS.get(name, {}).items()
    }
    for told, columns in _BY_ROW.get(name, {}).items():
        about |= {column: {"comment": f"its units are told by {told}"} for column in columns}
    return dataset_of(table.assign(**_row_units(name, table, runs)), (), about)


def _row_units(name: str, table: pd.DataFrame, runs: Sequence[Card]) -> dict[str, pd.Series]:
    """The columns of units that a table does not have yet; empty text where nothing tells them."""
    if name == "strata":
        found = {metric: METRICS[metric].units for metric in set(table["metric"]) & set(METRICS)}
        return {"units": table["metric"].map(found).fillna("")}
    if name == "physics_audit":
        days = table["statistic"].str.contains("in days")
        return {"units": days.map({True: "days", False: "1"})}
    if name == "network_share":
        return {"units": table["flux"].map(_series_units(runs)).fillna("")}
    if name == "parameter_classes":
        known = attribute_names(runs)
        units = table["attribute"].map(lambda attribute: known[attribute].units)
        return {"units": table["parameter"].map(_parameter_units(runs)).fillna(""), "attribute_units": units}
    if name in ("explanation_importance", "explanation_lags"):
        units = table["question"].map(_parameter_units(runs)).fillna(_series_units(runs).get("target", ""))
        return {"units": units.mask(table["method"].isin(_OF_ERRORS), "1") if "method" in table else units}
    return {}


def _parameter_units(runs: Sequence[Card]) -> dict[str, str]:
    table = evaluated.tables(runs, "parameters")
    return {} if table.empty else dict(zip(table["parameter"], table["units"], strict=True))


def _series_units(runs: Sequence[Card]) -> dict[str, str]:
    """Units of fluxes and states, and of the `target`."""
    units: dict[str, str] = {}
    for run in runs:
        opened = Run(Path(run.path))
        for made, names in ((opened.fluxes(), {}), (opened.predictions(), {"simulated": "target"})):
            for name, values in (made.data_vars if made is not None else {}).items():
                told = names.get(str(name), str(name))
                if told != "observed" and "units" in values.attrs:
                    units.setdefault(told, str(values.attrs["units"]))
    return units
