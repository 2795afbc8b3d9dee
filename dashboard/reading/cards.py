"""Runs as the pages know them without reading their results, kept until the files change.

Nothing here raises for a run that is broken or half-written: what could not be read is a problem of its card.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd
import streamlit as st

from thalweg.flows.model_spec import FLOORS
from thalweg.flows.palette import place
from thalweg.storage import run_sharing
from thalweg.storage.results import Run, place_in_order
from thalweg.storage.run import RUN_NAME

Stamp = tuple[int, ...]
"""When the files that matter of a run were last written (ns), 0 for those that are not there."""
Sources = tuple[tuple[str, Stamp], ...]
"""Folders of runs, each with its stamp: what tables made of them are kept under."""

WATCHED = ("manifest.json", "status.json", "metrics.parquet", "history.csv", "predictions.zarr")
"""The files of a stamp, in its order."""

_NEVER = "~"  # after every date


@dataclass(frozen=True)
class Card:
    """What the dashboard knows of a run without reading its results.

    Attributes
    ----------
    created : when it was begun first, ISO 8601 in UTC; empty where the run does not say.
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
    created: str
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


def read() -> list[Card]:
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
    """Names of all models and, of these, of the floors.

    In an order in which new ones come last: by the experiment that had them first, then as in reports.
    """
    found, begun = list(runs), dict[str, str]()
    for run in found:
        begun[run.experiment] = min(begun.get(run.experiment, _NEVER), run.created or _NEVER)
    first = dict[str, str]()
    for run in found:
        first[run.model] = min(first.get(run.model, _NEVER), begun[run.experiment])
    names = sorted(first, key=lambda name: (first[name], place(name)))
    floors = {run.model for run in found if run.floor}
    return names, [name for name in names if name in floors]


@st.cache_data(max_entries=500, show_spinner=False)
def history(path: str, stamp: Stamp) -> pd.DataFrame:
    """The training curve of a run, one row an epoch."""
    return Run(Path(path)).history()


def last_written(*parts: str | Path) -> int:
    """When the file that these parts of a path name was last written (ns); 0 where there is none."""
    try:
        return os.stat(os.path.join(*parts)).st_mtime_ns
    except OSError:
        return 0


_known: dict[str, tuple[tuple[Any, ...], Card]] = {}
_reading = Lock()


def _stamps(folder: Path) -> Iterator[tuple[str, Stamp]]:
    """The folders of runs: what holds a manifest or a status, or is named as a run is."""
    for experiment in _folders(folder):
        for run in _folders(experiment):
            stamp = tuple(last_written(run, name) for name in WATCHED)
            if stamp[0] or stamp[1] or RUN_NAME.fullmatch(os.path.basename(run)):
                yield run, stamp


def _folders(folder: Path | str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir() and entry.name[0] != ".")
    except OSError:
        return []


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
        created=str(manifest.get("created") or ""),
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
