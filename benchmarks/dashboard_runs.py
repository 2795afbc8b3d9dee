"""A large folder of runs for the dashboard's benchmark, made without training anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.skill import skill
from thalweg.storage.results import (
    run_name,
    write_history,
    write_manifest,
    write_metrics,
    write_predictions,
    write_status,
)

MODELS = {
    "hybrid": "hybrid",
    "varying": "hybrid",
    "lstm": "lstm",
    "calibrated": "calibrated",
    "forest": "lstm",
}
SPLITS = ("temporal", "ungauged_sites")
SEEDS = (1, 2, 3, 4, 5)
EPOCHS = 30


def make_runs(root: Path, runs: int, sites: int, years: int) -> list[str]:
    """Make experiments of 50 runs each: five models, two splits, five seeds.

    Every run has metrics of its own at all sites. Their predictions are one store under many names (hard
    links): 500 of their own would take 150 GB.

    Returns
    -------
    Names of the experiments.
    """
    series = _series(sites, years)
    first = root / "first"
    first.mkdir(parents=True)
    write_predictions(first, series)
    base = skill(series["simulated"], series["observed"])
    names = []
    for number, (experiment, cell) in enumerate(_cells(runs)):
        model, split, seed = cell
        folder = root / "runs" / experiment / run_name(model, split, "0", seed)
        _write_run(folder, experiment, model, split, seed, series, _shifted(base, number))
        shutil.copytree(first / "predictions.zarr", folder / "predictions.zarr", copy_function=os.link)
        names.append(experiment)
    return list(dict.fromkeys(names))


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
    model: str,
    split: str,
    seed: int,
    series: xr.Dataset,
    metrics: xr.Dataset,
) -> None:
    days = [str(pd.Timestamp(day).date()) for day in series["time"].values[[0, -1]]]
    cell = {"experiment": experiment, "model": model, "split": split, "fold": "0", "seed": seed}
    test = {"sites": series.sizes["site"], "start": days[0], "end": days[1]}
    manifest = {
        "kind": MODELS[model],
        "config": {"name": experiment},
        "snapshot": "5b1c0e94a7d2",
        "test": test,
    }
    write_manifest(folder, {**cell, **manifest})
    write_metrics(folder, metrics)
    epochs = np.arange(1, EPOCHS + 1)
    curve = {"epoch": epochs, "loss": np.exp(-epochs / 9), "learning_rate": 1e-3, "seconds": 4.0}
    write_history(folder, pd.DataFrame({**curve, "validation": curve["loss"] * 1.1}))
    seconds = {"train": 120.0, "evaluate": 4.0, "total": 124.0}
    write_status(
        folder, {"state": "done", "epoch": EPOCHS, "epochs": EPOCHS, "seconds": seconds, "attempts": 1}
    )
