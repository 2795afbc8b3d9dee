"""Metrics of runs, and their medians by model and split, kept until the files change.

Everything comes from :mod:`thalweg.storage.results` and :mod:`thalweg.evaluation.summary`; what could not be
read is handed on in words. The looks at test parts are counted.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import streamlit as st

from thalweg.dashboard.measures import measures
from thalweg.dashboard.reading.cards import WATCHED, Card, Sources, Stamp, last_written, root
from thalweg.evaluation.summary import summarize
from thalweg.storage import looks
from thalweg.storage.results import Run, collect_metrics, collect_runs

_METRICS = WATCHED.index("metrics.parquet")
TABLES = 3  # of metrics that are kept: one of 50 runs at 2,000 sites takes 32 MB


def metrics(runs: Iterable[Card]) -> tuple[pd.DataFrame, list[str]]:
    """Metrics of these runs, one row a run and test site, and what could not be read of them."""
    sources = tuple(run.source for run in runs)
    return _metrics(hash(sources), sources)


def validation(runs: Iterable[Card]) -> pd.DataFrame:
    """Metrics of the validation parts of these runs, one row a run and site; empty without any."""
    sources = tuple(run.source for run in runs)
    return _validation(hash(sources), sources)


def test_looks(runs: Iterable[Card]) -> str:
    """How often the test parts of these runs were looked at, in words."""
    tests = frozenset(test for run in runs for test in _tests(run.path, run.stamp))
    return _looks(root(), last_written(root(), looks.FILE), tests)


def summary(runs: Sources, metric: str) -> pd.DataFrame:
    """Median of a metric with its interval, and what is missing, by model and split: see `summarize`."""
    return _summary(hash(runs), runs, metric)


def model_medians(runs: Sources, names: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Median over sites of these metrics (of all): columns model and split, then one column a metric.

    The medians of `summary` for many metrics in one pass: a site's value is its mean over runs.
    """
    if names is not None:  # what else is written of a run changes nothing in them
        runs = tuple((path, stamp[_METRICS : _METRICS + 1]) for path, stamp in runs)
    return _model_medians(hash((runs, names)), runs, names)


@lru_cache(maxsize=10_000)
def medians(path: str, stamp: Stamp, names: tuple[str, ...]) -> dict[str, float]:
    """Median over the sites of a run, for each of these metrics that it has."""
    table = _columns(path, names)
    if table is None or not table.num_rows:
        return {}
    return {name: float(pd.Series(table[name].to_numpy()).median()) for name in table.column_names}


@st.cache_resource(max_entries=TABLES, show_spinner="Reading metrics …")
def _metrics(key: int, _runs: Sources) -> tuple[pd.DataFrame, list[str]]:
    """One table for all sessions: never changed in place."""
    opened = [Run(Path(path)) for path, _ in _runs]
    _count_look(opened)
    table = collect_metrics(opened)
    return table, [f"{run.id}: {problem}" for run in opened for problem in run.problems]


@st.cache_resource(max_entries=TABLES, show_spinner=False)
def _validation(key: int, _runs: Sources) -> pd.DataFrame:
    return collect_metrics([Run(Path(path)) for path, _ in _runs], validation=True)


@st.cache_data(max_entries=500, show_spinner="Summarising skill …")
def _summary(key: int, _runs: Sources, metric: str) -> pd.DataFrame:
    planned = collect_runs([Run(Path(path)) for path, _ in _runs])
    return summarize(_metrics(key, _runs)[0], metric, planned)


@st.cache_data(max_entries=500, show_spinner="Summarising skill …")
def _model_medians(key: int, _runs: Sources, names: tuple[str, ...] | None) -> pd.DataFrame:
    if names is None:
        table = _metrics(hash(_runs), _runs)[0]
        shown = list(measures(table.columns))
        by_site = table.groupby(["model", "split", "site"], observed=True)[shown].mean()
    else:
        by_site = _means_by_site(_runs, names)
    return by_site.groupby(["model", "split"]).median().reset_index()


def _means_by_site(runs: Sources, names: tuple[str, ...]) -> pd.DataFrame:
    """Means of some metrics over runs: index model, split and site, a column for each that there is.

    In Arrow, and of these columns alone: tables of hundreds of runs take a third of the time of pandas'.
    """
    opened = [Run(Path(path)) for path, _ in runs]
    _count_look(opened)
    parts = []
    for run in opened:
        table = _columns(str(run.path), ("site", *names))
        if table is not None and "site" in table.column_names:
            names_of_sites = table["site"].cast(pa.string())  # numbers too, where somebody wrote such
            table = table.set_column(table.column_names.index("site"), "site", names_of_sites)
            for name, value in (("model", run.model), ("split", run.split)):
                table = table.append_column(name, pa.repeat(str(value), table.num_rows))
            parts.append(table)
    keys = ["model", "split", "site"]
    if not parts:
        return pd.DataFrame(columns=keys).set_index(keys)
    whole = pa.concat_tables(parts, promote_options="permissive")
    there = [name for name in names if name in whole.column_names]
    for name in there:  # NaN is a number to Arrow
        column = whole[name].cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), None, column)
        whole = whole.set_column(whole.column_names.index(name), name, column)
    means = whole.group_by(keys).aggregate([(name, "mean") for name in there])
    found: pd.DataFrame = means.rename_columns([*keys, *there]).to_pandas()
    return found.set_index(keys)


def _count_look(runs: Sequence[Run]) -> None:
    """Count that this server shows the scores of runs, once until they change."""
    with _counting:
        written = {str(run.path): last_written(run.path, "metrics.parquet") for run in runs}
        new = [run for run in runs if _counted.get(str(run.path)) != written[str(run.path)]]
        if new and looks.shown(root(), new, "dashboard"):
            _counted.update(written)


_counted: dict[str, int] = {}
_counting = Lock()


def _columns(path: str, names: Sequence[str]) -> pa.Table | None:
    """Those of some columns that a run's metrics have, without reading the others; None without metrics."""
    try:
        with pq.ParquetFile(f"{path}/metrics.parquet") as file:
            there = {field.name for field in file.schema_arrow if field.name == "site" or _is_number(field)}
            return file.read([name for name in names if name in there], use_threads=False)
    except (OSError, pa.ArrowException):
        return None


def _is_number(field: pa.Field) -> bool:
    return bool(pa.types.is_floating(field.type) or pa.types.is_integer(field.type))


@lru_cache(maxsize=10_000)
def _tests(path: str, stamp: Stamp) -> tuple[str, ...]:
    return tuple(looks.tests_of([Run(Path(path))]))


@lru_cache(maxsize=100)
def _looks(folder: Path, stamp: int, tests: frozenset[str]) -> str:
    return str(looks.count(folder, tests))
