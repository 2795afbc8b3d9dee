"""What the page Compare says of runs: what tells them apart, and their scores on the sites they share."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
import xarray as xr

from thalweg.dashboard.figures.regimes import UNITS
from thalweg.dashboard.look import Stroke, duration
from thalweg.dashboard.measures import Measure
from thalweg.dashboard.reading.cards import Card
from thalweg.evaluation.comparison import compare_sites
from thalweg.evaluation.intervals import median_interval
from thalweg.storage.results import Run

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_PARTS = ("experiment", "split", "fold", "seed")
_SNAPSHOT = 12  # characters of a version that are shown


def labels(runs: Sequence[Card]) -> dict[str, str]:
    """A short name for each run by its id: its model, and what else tells it from the others."""
    differ = [part for part in _PARTS if len({getattr(run, part) for run in runs}) > 1]
    names = {}
    for run in runs:
        told = {"experiment": run.experiment, "split": run.split, "fold": f"fold {run.fold}"}
        told["seed"] = f"seed {run.seed}"
        names[run.id] = " · ".join([run.model, *(told[part] for part in differ)])
    return names


def strokes_of(runs: Sequence[Card], lines: Mapping[str, Stroke]) -> dict[str, Stroke]:
    """The stroke of each run by its label: the model's colour, another dash for each run of one model."""
    named = labels(runs)
    dashes = {run.model: cycle(_DASHES) for run in runs}
    alone = {model for model in dashes if sum(run.model == model for run in runs) == 1}
    found = {}
    for run in runs:
        own = lines[run.model]
        dash = own.dash if run.model in alone else next(dashes[run.model])
        found[named[run.id]] = Stroke(own.color, dash, own.width)
    return found


def facts(runs: Sequence[Card]) -> pd.DataFrame:
    """What is known of each run before its scores: index the fact, one column a run's label."""
    named = labels(runs)
    rows = {
        named[run.id]: {
            "experiment": run.experiment,
            "split": f"{run.split}, fold {run.fold}",
            "seed": str(run.seed),
            "state": run.state,
            "tested on": f"{run.test_start} to {run.test_end}" if run.test_start else "–",
            "store": Path(run.store).name or "–",
            "version": run.snapshot[:_SNAPSHOT] or "–",
            "wall time": duration(run.seconds),
        }
        for run in runs
    }
    return pd.DataFrame(rows)


def settings(runs: Sequence[Card]) -> pd.DataFrame:
    """Keys of the models, the training and the data whose values differ: index the key, a column a run.

    A key that a run does not have is empty.
    """
    named = labels(runs)
    flat = {}
    for run in runs:
        config = Run(Path(run.path)).manifest.get("config")
        config = config if isinstance(config, dict) else {}
        models = config.get("models")
        own = models.get(run.model, {}) if isinstance(models, dict) else {}
        told = {"model": own, "training": config.get("training"), "data": config.get("data")}
        flat[named[run.id]] = _flat(told)
    table = pd.DataFrame(flat, dtype=object).astype(object)
    table = table.where(table.notna(), "")
    return table[table.nunique(axis=1) > 1]


def untold(runs: Sequence[Card]) -> list[str]:
    """Why scores of these runs may not be of one test, one line each."""
    reasons = []
    for what, values in (
        ("test periods", {(run.test_start, run.test_end) for run in runs}),
        ("versions of the data", {(run.store, run.snapshot) for run in runs}),
        ("splits", {run.split for run in runs}),
    ):
        if len(values) > 1:
            reasons.append(f"{len(values)} {what}")
    return reasons


def shared(table: pd.DataFrame, runs: Sequence[Card], measures: Mapping[str, Measure]) -> pd.DataFrame:
    """Scores on the sites that all runs were tested at: index site, columns (label, metric)."""
    named = labels(runs)
    parts = {}
    for run in runs:
        own = table[table["run"] == run.id].set_index("site")
        parts[named[run.id]] = own[[name for name in measures if name in own]]
    joined = pd.concat(parts, axis=1, join="inner")
    return joined.loc[~joined.index.duplicated()]


@st.cache_data(max_entries=100, show_spinner="Comparing …")
def sentences(key: int, _scores: pd.DataFrame, metric: str) -> list[str]:
    """The first run against each other one, in words, on the sites where both have a value.

    Parameters
    ----------
    key : names the scores, which are not looked at to find an earlier answer.
    """
    first, *others = _scores.columns.get_level_values(0).unique()
    return [
        compare_sites(_scores[first, metric], _scores[other, metric], metric, first, other).sentence
        for other in others
    ]


@st.cache_data(max_entries=100, show_spinner=False)
def intervals(key: int, _scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The median of a metric with its interval: index run, columns as of `summarize`."""
    rows = {}
    for run in _scores.columns.get_level_values(0).unique():
        values = _scores[run, metric]
        rows[run] = {**median_interval(values)._asdict(), "sites": int(values.notna().sum())}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.assign(baseflow_correlation=float("nan"), baseflow_flag=False)


def scores_dataset(scores: pd.DataFrame, measures: Mapping[str, Measure]) -> xr.Dataset:
    """Scores as a dataset over (run, site), with units."""
    runs = list(dict.fromkeys(scores.columns.get_level_values(0)))
    variables: dict[str, Any] = {}
    for name, measure in measures.items():
        values = [scores[run, name].to_numpy(float) for run in runs if (run, name) in scores]
        if len(values) == len(runs):
            variables[name] = (("run", "site"), values, measure.about)
    return xr.Dataset(variables, coords={"run": runs, "site": list(scores.index)})


def series_dataset(table: pd.DataFrame, site: str) -> xr.Dataset:
    """Observed and simulated flow (mm/day) at a site as a dataset over time, a variable for each run."""
    about = {"units": UNITS, "site": site}
    return xr.Dataset(
        {str(name): ("time", table[name].to_numpy(float), about) for name in table.columns},
        coords={"time": table.index},
    )


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping):
            found |= _flat(value, name)
        elif isinstance(value, list):
            found[name] = ", ".join(str(each) for each in value) or "none"
        elif value is not None:
            found[name] = str(value)
    return found
