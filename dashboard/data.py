"""What the pages read: runs, metrics and one site's series, kept until the files change.

Everything comes from :mod:`thalweg.storage.results` and :mod:`thalweg.evaluation.summary`. Nothing here
raises for a run that is broken or half-written: what could not be read is handed on as a problem.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import streamlit as st
import xarray as xr

from thalweg.dashboard.look import FLOORS
from thalweg.dashboard.measures import measures
from thalweg.evaluation.summary import summarize
from thalweg.storage import looks, run_sharing
from thalweg.storage.results import Run, collect_metrics, collect_runs, place_in_order
from thalweg.storage.run import RUN_NAME

Stamp = tuple[int, ...]
"""When the files that matter of a run were last written (ns), 0 for those that are not there."""
Sources = tuple[tuple[str, Stamp], ...]
"""Folders of runs, each with its stamp: what tables made of them are kept under."""

_WATCHED = ("manifest.json", "status.json", "metrics.parquet", "history.csv", "predictions.zarr")
_METRICS = _WATCHED.index("metrics.parquet")
TABLES = 3  # of metrics that are kept: one of 50 runs at 2,000 sites takes 32 MB


@dataclass(frozen=True)
class Card:
    """What the dashboard knows of a run without reading its results.

    Attributes
    ----------
    progress : share of the epochs done, 0 to 1; None where the run does not say.
    seconds : wall time of the run so far (s); None where the run does not say.
    problems : what could not be read, one line each.
    """

    path: str
    stamp: Stamp
    id: str
    experiment: str
    model: str
    floor: bool
    split: str
    fold: str
    seed: int
    state: str
    epoch: int | None
    epochs: int | None
    progress: float | None
    seconds: float | None
    updated: pd.Timestamp | None
    message: str
    store: str
    snapshot: str
    test_start: str
    test_end: str
    problems: tuple[str, ...]

    @property
    def source(self) -> tuple[str, Stamp]:
        """What its results are kept under until they change."""
        return self.path, self.stamp

    @property
    def label(self) -> str:
        """`hybrid · ungauged_sites · fold 0 · seed 1`."""
        return f"{self.model} · {self.split} · fold {self.fold} · seed {self.seed}"


def root() -> Path:
    """The folder of runs: THALWEG_RUNS, or `runs` where the server was started."""
    return Path(os.environ.get("THALWEG_RUNS") or "runs")


def shown_root() -> str:
    """The folder of runs for reading: as short as it is clear."""
    if run_sharing.mirror_of(root()) is not None:
        return run_sharing.named(root())
    folder, here, home = root().resolve(), Path.cwd(), Path.home()
    if folder.is_relative_to(here):
        return str(folder.relative_to(here))
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def cards() -> list[Card]:
    """Every run under the folder of runs, in a fixed order; only those that changed are read again."""
    stamps = dict(_stamps(root()))
    with _reading:
        for path in _known.keys() - stamps.keys():
            del _known[path]
        for path, stamp in stamps.items():
            if path not in _known or _known[path][1].stamp != stamp:
                run = Run(Path(path))
                _known[path] = place_in_order(run), _card(run, stamp)
        return [card for _, card in sorted(_known.values(), key=lambda known: known[0])]


def model_names(runs: Iterable[Card]) -> tuple[list[str], list[str]]:
    """Names of all models and, of these, of the floors, each sorted."""
    found = list(runs)
    return sorted({run.model for run in found}), sorted({run.model for run in found if run.floor})


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
    return _looks(root(), _written(str(root() / looks.FILE)), tests)


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


@st.cache_data(max_entries=500, show_spinner="Reading the hydrograph …")
def series(path: str, stamp: Stamp, site: str) -> tuple[pd.DataFrame | None, list[str]]:
    """`simulated` and `observed` (mm/day) by day at one site; None, with the reason, where there is none.

    Only the chunks of this site are read.
    """
    run, dataset = _predictions(path, stamp)
    if dataset is None:
        return None, [f"{run.id}: {problem}" for problem in run.problems or ["predictions.zarr: missing"]]
    try:
        at_site = dataset[["simulated", "observed"]].sel(site=site).load()
        table = at_site.to_dataframe()[["simulated", "observed"]]
    except Exception as error:  # a store cut short fails in as many ways as it has parts
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return None, [f"{run.id}: predictions.zarr: cannot be read at {site} ({reason})"]
    return table.sort_index(), []


def flows(runs: Mapping[str, Card], site: str) -> tuple[pd.DataFrame, list[str]]:
    """Flow of several runs at one site, and what could not be read of it.

    Parameters
    ----------
    runs : by the name that their columns get.

    Returns
    -------
    Index time, column `observed` and one a run (mm/day); empty where no run can be read.
    """
    columns: dict[str, pd.Series] = {}
    observed, problems = pd.Series(dtype=float), []
    for name, run in runs.items():
        found, trouble = series(run.path, run.stamp, site)
        problems += trouble
        if found is not None:
            columns[name] = found["simulated"]
            observed = observed.combine_first(found["observed"]) if len(observed) else found["observed"]
    if not columns:
        return pd.DataFrame(), problems
    return pd.DataFrame({"observed": observed, **columns}).rename_axis("time"), problems


@st.cache_data(max_entries=500, show_spinner=False)
def history(path: str, stamp: Stamp) -> pd.DataFrame:
    """The training curve of a run, one row an epoch."""
    return Run(Path(path)).history()


_known: dict[str, tuple[tuple[Any, ...], Card]] = {}
_reading = Lock()


def _stamps(folder: Path) -> Iterator[tuple[str, Stamp]]:
    """The folders of runs: what holds a manifest or a status, or is named as a run is."""
    for experiment in _folders(folder):
        for run in _folders(experiment):
            stamp = tuple(_written(f"{run}/{name}") for name in _WATCHED)
            if stamp[0] or stamp[1] or RUN_NAME.fullmatch(os.path.basename(run)):
                yield run, stamp


def _folders(folder: Path | str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir() and entry.name[0] != ".")
    except OSError:
        return []


def _written(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


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
        written = {str(run.path): _written(f"{run.path}/metrics.parquet") for run in runs}
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


@lru_cache(maxsize=100)
def _predictions(path: str, stamp: Stamp) -> tuple[Run, xr.Dataset | None]:
    """A run with its predictions opened: their metadata are read once, their values when asked for."""
    run = Run(Path(path))
    return run, run.predictions()


@lru_cache(maxsize=10_000)
def _tests(path: str, stamp: Stamp) -> tuple[str, ...]:
    return tuple(looks.tests_of([Run(Path(path))]))


@lru_cache(maxsize=100)
def _looks(folder: Path, written: int, tests: frozenset[str]) -> str:
    return str(looks.count(folder, tests))


def _card(run: Run, stamp: Stamp) -> Card:
    status, manifest = run.status, run.manifest
    epoch, epochs = _whole(status.get("epoch")), _whole(status.get("epochs"))
    test = manifest.get("test")
    test = test if isinstance(test, dict) else {}
    seconds = status.get("seconds")
    total = seconds.get("total") if isinstance(seconds, dict) else seconds
    progress = None
    if run.state == "done":
        progress = 1.0
    elif epochs:
        progress = min(1.0, max(0.0, (epoch or 0) / epochs))
    return Card(
        path=str(run.path),
        stamp=stamp,
        id=run.id,
        experiment=run.experiment,
        model=run.model or "unknown",
        floor=run.kind == "floor" or run.kind in FLOORS or run.model in FLOORS,
        split=run.split or "unknown",
        fold=run.fold,
        seed=run.seed,
        state=run.state,
        epoch=epoch,
        epochs=epochs,
        progress=progress,
        seconds=float(total) if isinstance(total, (int, float)) else None,
        updated=_time(status.get("updated")),
        message=str(status.get("message") or ""),
        store=str(manifest.get("store") or ""),
        snapshot=str(manifest.get("snapshot") or ""),
        test_start=str(test.get("start") or ""),
        test_end=str(test.get("end") or ""),
        problems=tuple(run.problems),
    )


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and isfinite(value) else None


def _time(value: object) -> pd.Timestamp | None:
    try:
        time = pd.Timestamp(str(value)) if value else None
    except ValueError:
        return None
    if time is None or pd.isna(time):
        return None
    return time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")
