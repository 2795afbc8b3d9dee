"""What the pages read: runs, metrics and one site's series, kept until the files change.

Everything comes from :mod:`thalweg.storage.results` and :mod:`thalweg.evaluation.summary`. Nothing here
raises for a run that is broken or half-written: what could not be read is handed on as a problem.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from thalweg.dashboard.look import FLOORS
from thalweg.dashboard.measures import measures
from thalweg.evaluation.summary import summarize
from thalweg.storage import looks
from thalweg.storage.results import Run, collect_metrics, collect_runs, find_runs

Stamp = tuple[int, ...]
"""When the files that matter of a run were last written (ns), 0 for those that are not there."""

_WATCHED = ("manifest.json", "status.json", "metrics.parquet", "history.csv", "predictions.zarr")


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
    folder, here, home = root().resolve(), Path.cwd(), Path.home()
    if folder.is_relative_to(here):
        return str(folder.relative_to(here))
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def cards() -> list[Card]:
    """Every run under the folder of runs, in a fixed order."""
    folder = root()
    return _cards(str(folder), _stamps(folder))


def model_names(runs: Iterable[Card]) -> tuple[list[str], list[str]]:
    """Names of all models and, of these, of the floors, each sorted."""
    found = list(runs)
    return sorted({run.model for run in found}), sorted({run.model for run in found if run.floor})


def metrics(runs: Iterable[Card]) -> tuple[pd.DataFrame, list[str]]:
    """Metrics of these runs, one row a run and test site, and what could not be read of them."""
    return _metrics(tuple(run.source for run in runs))


def validation(runs: Iterable[Card]) -> pd.DataFrame:
    """Metrics of the validation parts of these runs, one row a run and site; empty without any."""
    return _validation(tuple(run.source for run in runs))


def test_looks(runs: Iterable[Card]) -> str:
    """How often the test parts of these runs were looked at, in words."""
    tests = {test for run in runs for test in _tests(run.path, run.stamp)}
    return str(looks.count(root(), tests))


@st.cache_data(max_entries=500, show_spinner="Summarising skill …")
def summary(runs: tuple[tuple[str, Stamp], ...], metric: str) -> pd.DataFrame:
    """Median of a metric with its interval, and what is missing, by model and split: see `summarize`."""
    planned = collect_runs([Run(Path(path)) for path, _ in runs])
    return summarize(_metrics(runs)[0], metric, planned)


@st.cache_data(max_entries=500, show_spinner="Summarising skill …")
def model_medians(runs: tuple[tuple[str, Stamp], ...]) -> pd.DataFrame:
    """Median of every metric over sites: columns model and split, then one column a metric.

    The medians of `summary` for all metrics in one pass: a site's value is its mean over runs.
    """
    table = _metrics(runs)[0]
    names = list(measures(table.columns))
    by_site = table.groupby(["model", "split", "site"], observed=True)[names].mean()
    return by_site.groupby(["model", "split"]).median().reset_index()


@st.cache_data(max_entries=5000, show_spinner=False)
def medians(path: str, stamp: Stamp, names: tuple[str, ...]) -> dict[str, float]:
    """Median over the sites of a run, for each of these metrics that it has."""
    table = Run(Path(path)).metrics()
    return {name: float(table[name].median()) for name in names if name in table and len(table)}


@st.cache_data(max_entries=500, show_spinner="Reading the hydrograph …")
def series(path: str, stamp: Stamp, site: str) -> tuple[pd.DataFrame | None, list[str]]:
    """`simulated` and `observed` (mm/day) by day at one site; None, with the reason, where there is none.

    Only the chunks of this site are read.
    """
    run = Run(Path(path))
    dataset = run.predictions()
    if dataset is None:
        return None, [f"{run.id}: {problem}" for problem in run.problems or ["predictions.zarr: missing"]]
    try:
        at_site = dataset[["simulated", "observed"]].sel(site=site).load()
        table = at_site.to_dataframe()[["simulated", "observed"]]
    except Exception as error:  # a store cut short fails in as many ways as it has parts
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return None, [f"{run.id}: predictions.zarr: cannot be read at {site} ({reason})"]
    return table.sort_index(), []


@st.cache_data(max_entries=500, show_spinner=False)
def history(path: str, stamp: Stamp) -> pd.DataFrame:
    """The training curve of a run, one row an epoch."""
    return Run(Path(path)).history()


def _stamps(folder: Path) -> tuple[tuple[str, Stamp], ...]:
    return tuple(
        (run, tuple(_written(os.path.join(run, name)) for name in _WATCHED))
        for experiment in _folders(folder)
        for run in _folders(experiment)
    )


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


@st.cache_data(max_entries=4, show_spinner="Looking for runs …")
def _cards(folder: str, stamps: tuple[tuple[str, Stamp], ...]) -> list[Card]:
    when = {os.path.abspath(path): stamp for path, stamp in stamps}
    return [_card(run, when.get(os.path.abspath(run.path), ())) for run in find_runs(folder)]


@st.cache_data(max_entries=20, show_spinner="Reading metrics …")
def _metrics(runs: tuple[tuple[str, Stamp], ...]) -> tuple[pd.DataFrame, list[str]]:
    opened = [Run(Path(path)) for path, _ in runs]
    looks.shown(root(), opened, "dashboard")
    table = collect_metrics(opened)
    return table, [f"{run.id}: {problem}" for run in opened for problem in run.problems]


@st.cache_data(max_entries=20, show_spinner=False)
def _validation(runs: tuple[tuple[str, Stamp], ...]) -> pd.DataFrame:
    return collect_metrics([Run(Path(path)) for path, _ in runs], validation=True)


@st.cache_data(max_entries=5000, show_spinner=False)
def _tests(path: str, stamp: Stamp) -> list[str]:
    return looks.tests_of([Run(Path(path))])


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
    return int(value) if isinstance(value, (int, float)) and value == value else None


def _time(value: object) -> pd.Timestamp | None:
    try:
        time = pd.Timestamp(str(value)) if value else None
    except ValueError:
        return None
    if time is None or pd.isna(time):
        return None
    return time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")
