"""Looks at store and runs all the time, as any reader may, and notes what no reader must ever see."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from soaking.source import SITES, VARIABLES, Source

from thalweg.storage.results import Run, find_runs
from thalweg.storage.store import has_store, open_store

LOOK_SECONDS = 2.0
RUNS = ("climatology--temporal--0--s0", "physics--temporal--0--s1")
MOST_PROBLEMS = 50


class Watcher(threading.Thread):
    """Compares what is published with the truth, every two seconds.

    Attributes
    ----------
    problems : what was seen and must not be, in the order of time, each once.
    looks, results : how often the store was read, and finished runs were.
    versions : how many versions of the store were seen.
    """

    def __init__(self, source: Source, store: Path, runs: Path) -> None:
        super().__init__(daemon=True, name="watcher")
        self.source, self.store, self.runs = source, store, runs
        self.over = threading.Event()
        self.problems: list[str] = []
        self.looks = self.results = self.versions = 0
        self._snapshot = ""
        self._seen = np.zeros(len(SITES), dtype=int)  # days of each site that were published
        self._content: dict[tuple[str, str], str] = {}  # of a finished run, by run and attempt
        self._values: dict[str, str] = {}  # of a run, whatever the attempt

    def run(self) -> None:
        """Look until told to stop."""
        while not self.over.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Look once at everything."""
        for see in (self._see_store, self._see_runs):
            try:
                see()
            except Exception as error:
                self._note(f"{see.__name__.removeprefix('_see_')}: cannot be read: {error!r}"[:400])

    def days(self) -> int:
        """Give through which day the store is whole, for all sites: that day's number."""
        return int(self._seen.min())

    def _note(self, problem: str) -> None:
        if problem not in self.problems and len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def _see_store(self) -> None:
        if not self._snapshot and not has_store(self.store):
            return
        dataset = open_store(self.store)
        self.looks += 1
        self.versions += str(dataset.attrs["snapshot"]) != self._snapshot
        self._snapshot = str(dataset.attrs["snapshot"])
        if tuple(dataset["site"].values) != SITES:
            self._note(f"store {self._snapshot[:12]}: has sites {list(dataset['site'].values)}")
            return
        whole = np.full(len(SITES), dataset.sizes["time"])
        for name in VARIABLES:
            whole = np.minimum(whole, self._compare(dataset, name))
        for site in np.flatnonzero(whole < self._seen):
            self._note(
                f"store {self._snapshot[:12]}: {SITES[site]} has {whole[site]} days, had {self._seen[site]}"
            )
        self._seen = np.maximum(self._seen, whole)

    def _compare(self, dataset: xr.Dataset, name: str) -> np.ndarray:
        """Give how many days each site has from the first on; those that a site lacks are at its end."""
        values = dataset[name].transpose("site", "time").values
        there = np.isfinite(values)
        wrong = there & (values != self.source.truth[name][:, : values.shape[1]])
        for site, day in np.argwhere(wrong)[:3]:
            told, true = values[site, day], self.source.truth[name][site, day]
            self._note(
                f"store {self._snapshot[:12]}: {name} of {SITES[site]} on day {day} is {told}, not {true}"
            )
        days: np.ndarray = there.sum(axis=1)
        holes = np.flatnonzero(np.where(there, np.arange(1, values.shape[1] + 1), 0).max(axis=1) != days)
        for site in holes:
            self._note(f"store {self._snapshot[:12]}: {name} of {SITES[site]} has a hole")
        return days

    def _see_runs(self) -> None:
        for run in find_runs(self.runs):
            if run.path.name not in RUNS or run.experiment != "rivers":
                self._note(f"runs: {run.id}: is none of ours")
            elif run.state == "done":
                self._see_result(run)

    def _see_result(self, run: Run) -> None:
        found = result_of(run, self.source)
        if Run(run.path).status != run.status or Run(run.path).manifest != run.manifest:
            return  # replaced while it was read
        self.results += 1
        for problem in found["problems"]:
            self._note(f"{run.id}: done, but {problem}")
        attempt = f"{run.manifest.get('created')} {run.status.get('updated')}"
        before = self._content.setdefault((run.id, attempt), found["content"])
        if before != found["content"]:
            self._note(f"{run.id}: changed after it was done")
        # its years and seed are the same however long the store is, and so must its numbers be
        if self._values.setdefault(run.id, found["content"]) != found["content"]:
            self._note(f"{run.id}: gives other numbers than before from the same years and seed")


def result_of(run: Run, source: Source) -> dict[str, Any]:
    """Read all of a finished run: what is wrong with it, and a hash of its numbers."""
    problems = []
    metrics, predictions = run.metrics(), run.predictions()
    total = hashlib.sha256()
    if sorted(metrics.get("site", [])) != list(SITES) or not np.isfinite(metrics.get("nse", np.nan)).all():
        problems.append(f"metrics are not whole: {len(metrics)} sites")
    else:
        total.update(metrics.sort_values("site").to_csv(index=False).encode())
    if predictions is None:
        problems.append("has no predictions")
    else:
        loaded = predictions.load().sortby("site").transpose("site", "time")
        observed, simulated = loaded["observed"].values, loaded["simulated"].values
        first = int(
            (loaded["time"].values[0].astype("datetime64[D]") - np.datetime64("2001-01-01")).astype(int)
        )
        true = source.truth["discharge"][:, first : first + observed.shape[1]]
        if observed.shape != (len(SITES), 365) or not np.allclose(observed, true, rtol=1e-5):
            problems.append("observations are not those of the source")
        if not np.isfinite(simulated).all():
            problems.append("predictions are not whole")
        total.update(simulated.astype(np.float32).tobytes())
    return {"problems": [*problems, *run.problems], "content": total.hexdigest()}
