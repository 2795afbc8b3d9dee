"""The soak: that its watcher sees what is planted, and three minutes of it, with every fault once."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

DEPLOY = Path(__file__).parents[2] / "deploy"
sys.path.insert(0, str(DEPLOY))

from soaking.ending import finished_twice, partial  # noqa: E402
from soaking.source import FIRST, SITES, START_DAYS, VARIABLES, Source  # noqa: E402
from soaking.watch import RUNS, Watcher  # noqa: E402

from thalweg.storage.results import write_manifest, write_metrics, write_predictions, write_status  # noqa: E402
from thalweg.storage.sources import read_source  # noqa: E402
from thalweg.storage.store import write_store  # noqa: E402

PATIENCE = 1500


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "source")


@pytest.fixture
def watcher(source, tmp_path):
    return Watcher(source, tmp_path / "rivers.zarr", tmp_path / "runs")


def as_published(source):
    """The source as a store has it."""
    spec = {
        "kind": "csv_stations",
        "path": f"{source.folder}/{{site}}.csv",
        "stations": str(source.folder.with_name("stations.csv")),
        "variables": {name: name for name in VARIABLES},
    }
    return read_source(spec)


def publish(watcher, dataset, name):
    """Let the watcher look at a dataset as the present version of its store."""
    watcher.store = watcher.store.with_name(name)
    write_store(watcher.store, dataset, {"kind": "planted"})
    watcher.look()
    return watcher.problems


def test_what_the_source_says_is_the_truth(source, watcher):
    assert publish(watcher, as_published(source), "a.zarr") == []
    assert watcher.days() == START_DAYS
    source.advance()
    assert publish(watcher, as_published(source), "b.zarr") == []
    assert watcher.days() == source.days == START_DAYS + 1
    assert (watcher.looks, watcher.versions) == (2, 2)


def planted(dataset, kind):
    values = dataset["discharge"].transpose("site", "time").values.copy()
    if kind == "is 0.5, not":
        values[3, 700] = 0.5
    elif kind == "has a hole":
        values[3, 700] = np.nan
    elif kind == "days, had":
        values[3, -4:] = np.nan
    elif kind == "has sites":
        return dataset.isel(site=slice(0, 11))
    return dataset.assign(discharge=(("site", "time"), values, dataset["discharge"].attrs))


@pytest.mark.parametrize("kind", ["is 0.5, not", "has a hole", "days, had", "has sites"])
def test_the_watcher_sees_a_wrong_store(source, watcher, kind):
    dataset = as_published(source)
    assert publish(watcher, dataset, "whole.zarr") == []
    problems = publish(watcher, planted(dataset, kind), "wrong.zarr")
    assert any(kind in problem for problem in problems), problems


def finish(watcher, *, error=0.0, sites=12, created="2026-01-01T00:00:00"):
    """Write a run that is done."""
    folder = watcher.runs / "rivers" / RUNS[1]
    cell = {
        "experiment": "rivers",
        "model": "physics",
        "kind": "calibrated",
        "split": "temporal",
        "fold": "0",
    }
    write_manifest(folder, {**cell, "seed": 1, "created": created})
    write_metrics(folder, pd.DataFrame({"site": SITES[:sites], "nse": np.full(sites, 0.5)}))
    days = slice(365, 730)
    observed = watcher.source.truth["discharge"][:, days]
    time = pd.DatetimeIndex((FIRST + np.arange(365, 730)).astype("datetime64[ns]"))
    series = {
        "simulated": (("site", "time"), observed + np.float32(error)),
        "observed": (("site", "time"), observed),
    }
    write_predictions(folder, xr.Dataset(series, {"site": list(SITES), "time": time}))
    write_status(folder, {"state": "done", "updated": created})
    watcher.look()
    return [problem for problem in watcher.problems if problem.startswith("rivers/")]


def test_the_watcher_sees_wrong_results(watcher):
    assert finish(watcher) == finish(watcher, created="2026-01-01T00:01:00") == []
    assert watcher.results == 2
    assert "gives other numbers" in finish(watcher, error=0.1, created="2026-01-01T00:02:00")[0]
    assert "changed after it was done" in finish(watcher, error=0.2, created="2026-01-01T00:02:00")[1]
    assert any("metrics are not whole: 11 sites" in each for each in finish(watcher, sites=11))


def test_what_is_left_behind_is_seen(tmp_path):
    (tmp_path / "runs").mkdir()
    assert list(partial(tmp_path)) == []
    (tmp_path / "runs" / ".metrics.parquet.0123456789ab.part").touch()
    assert list(partial(tmp_path)) == ["left behind: runs/.metrics.parquet.0123456789ab.part"]


def test_a_cell_that_was_finished_twice_on_the_same_data_is_seen(tmp_path):
    done = {"event": "cell-finished", "time": "t", "job": "rivers-1", "run": "lstm", "snapshot": "abc"}
    lines = [done, {**done, "run": "hbv"}, {**done, "snapshot": "abd"}, {**done, "event": "cell-started"}]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert list(finished_twice(path)) == []
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, {**done, "job": "rivers-2"}]))
    assert list(finished_twice(path)) == [
        "lstm on data abc was finished 2 times: t in rivers-1, t in rivers-2",
    ]


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE)
def test_three_minutes_with_every_fault():
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "soak.py"), "--minutes", "3", "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["problems"] == [], done.stdout + done.stderr
    assert done.returncode == 0
    assert found["passed"]
    happened = {row["fault"] for row in found["faults"]} | set(found["left_out"])
    assert happened >= {"worker", "server", "ray-head", "ray-node", "disk", "source-gone", "source-cut"}
    assert all(row["took"] is not None for row in found["faults"])
    assert found["results_read"] > 10
