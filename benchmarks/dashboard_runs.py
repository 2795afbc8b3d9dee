"""A large folder of runs for the dashboard's benchmark, made without training anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from dashboard_evaluations import VARYING, World, link_shared, make_world, write_evaluation, write_world

from thalweg.evaluation.skill import skill
from thalweg.flows.experiment import Experiment
from thalweg.storage.evaluations import FOLDER
from thalweg.storage.results import (
    run_name,
    write_history,
    write_manifest,
    write_metrics,
    write_status,
)

MODELS = {
    "hybrid": {"kind": "hybrid", "process": "hbv"},
    "varying": {"kind": "hybrid", "process": "hbv", "network": {"kind": "lstm"}, "varying": [VARYING]},
    "lstm": {"kind": "lstm"},
    "calibrated": {"kind": "calibrated", "process": "hbv"},
    "forest": {"kind": "lstm"},
}
SPLITS = ("temporal", "ungauged_sites")
SEEDS = (1, 2, 3, 4, 5)
EPOCHS = 30


def make_runs(root: Path, runs: int, sites: int, years: int) -> list[str]:
    """Make experiments of 50 runs each: five models, two splits, five seeds, all evaluated, and their store.

    Every run has metrics of its own at all sites, and every run of an experiment tables of its own as
    `thalweg evaluate` writes them; the other experiments have the same tables. Daily series are one store
    each under many names (hard links): 500 of their own would take 70 GB.

    Returns
    -------
    Names of the experiments.
    """
    shared, store = root / "shared", root / "store.zarr"
    shared.mkdir(parents=True)
    world = make_world(_series(sites, years))
    snapshot = write_world(store, shared, world)
    base = skill(world.series["simulated"], world.series["observed"])
    made: dict[tuple[str, str, int], Path] = {}
    names = []
    for number, (experiment, cell) in enumerate(_cells(runs)):
        model, split, seed = cell
        folder = root / "runs" / experiment / run_name(model, split, "0", seed)
        metrics = _shifted(base, number)
        _write_run(
            folder, experiment, cell, world.series, metrics, {"store": str(store), "snapshot": snapshot}
        )
        _evaluate(folder, shared, made.setdefault(cell, folder), world, metrics, number, model)
        names.append(experiment)
    return list(dict.fromkeys(names))


def _evaluate(
    folder: Path, shared: Path, first: Path, world: World, metrics: xr.Dataset, number: int, model: str
) -> None:
    """Give a run its series, and its tables: new ones, or those of the same cell of the first experiment."""
    physics = "process" in MODELS[model]
    link_shared(shared, folder, physics)
    if first == folder:
        write_evaluation(folder, world, metrics, number, physics, network=model != "calibrated")
    else:
        shutil.rmtree(folder / FOLDER)
        shutil.copytree(first / FOLDER, folder / FOLDER, copy_function=os.link)


def _cells(runs: int) -> Iterator[tuple[str, tuple[str, str, int]]]:
    cells = list(product(MODELS, SPLITS, SEEDS))
    for number in range(runs):
        yield f"basins-{number // len(cells) + 1:02d}", cells[number % len(cells)]


def _series(sites: int, years: int) -> xr.Dataset:
    """Random rivers (mm/day) on a continent, and a model of them."""
    generator = np.random.default_rng(0)
    times = pd.date_range("1990-10-01", f"{1990 + years}-09-30")
    flow = np.exp(generator.normal(0.0, 1.0, (sites, len(times)))).astype(np.float32)
    error = np.exp(generator.normal(0.0, 0.3, flow.shape)).astype(np.float32)
    dims = ("site", "time")
    return xr.Dataset(
        {"simulated": (dims, flow * error), "observed": (dims, flow)},
        coords={
            "site": [f"basin_{number:05d}" for number in range(sites)],
            "time": times,
            "latitude": ("site", generator.uniform(26.0, 48.5, sites)),
            "longitude": ("site", generator.uniform(-123.0, -70.0, sites)),
            "region": ("site", [f"{number % 18 + 1:02d}" for number in range(sites)]),
        },
    )


def _shifted(base: xr.Dataset, number: int) -> xr.Dataset:
    """Metrics of another run: those of the first, each at another site and a little less."""
    generator = np.random.default_rng(number)
    order, less = generator.permutation(base.sizes["site"]), generator.uniform(0.0, 0.1)
    return base.assign({name: ("site", base[name].values[order] - less) for name in base.data_vars})


def _write_run(
    folder: Path,
    experiment: str,
    cell: tuple[str, str, int],
    series: xr.Dataset,
    metrics: xr.Dataset,
    store: dict[str, str],
) -> None:
    days = [str(pd.Timestamp(day).date()) for day in series["time"].values[[0, -1]]]
    model, split, seed = cell
    manifest = {
        "experiment": experiment,
        "model": model,
        "split": split,
        "fold": "0",
        "seed": seed,
        "kind": MODELS[model]["kind"],
        "config": _config(experiment, *days, store["store"]),
        "test": {"sites": series.sizes["site"], "start": days[0], "end": days[1]},
        **store,
    }
    write_manifest(folder, manifest)
    write_metrics(folder, metrics)
    epochs = np.arange(1, EPOCHS + 1)
    curve = {"epoch": epochs, "loss": np.exp(-epochs / 9), "learning_rate": 1e-3, "seconds": 4.0}
    write_history(folder, pd.DataFrame({**curve, "validation": curve["loss"] * 1.1}))
    seconds = {"train": 120.0, "evaluate": 4.0, "total": 124.0}
    write_status(
        folder, {"state": "done", "epoch": EPOCHS, "epochs": EPOCHS, "seconds": seconds, "attempts": 1}
    )


@cache
def _config(name: str, first: str, last: str, store: str) -> dict[str, Any]:
    """Give an experiment with these models and splits, as a run keeps it."""
    days = {"train": ["1980-10-01", "1989-09-30"], "test": [first, last]}
    told = {
        "name": name,
        "data": {"store": store},
        "splits": [{"kind": kind, **days} for kind in SPLITS],
        "models": MODELS,
    }
    return Experiment.model_validate(told).model_dump(mode="json")
