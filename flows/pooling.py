"""Deep ensembles: runs that differ in their seed alone, pooled to one forecast that is a run of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from thalweg.evaluation.skill import skill
from thalweg.evaluation.uncertainty.pooling import pool_forecasts
from thalweg.flows.experiment import FLOORS, Experiment
from thalweg.flows.fingerprint import configuration
from thalweg.flows.names import ENSEMBLE
from thalweg.storage import looks
from thalweg.storage.errors import InputError
from thalweg.storage.results import (
    Run,
    forecast_of,
    run_name,
    write_manifest,
    write_metrics,
    write_status,
    written_by_sites,
)

SITES_AT_ONCE = 512  # a shard of a run's results
PARTS = (("predictions", "forecast"), ("validated", "validated_forecast"))


def ensembles(root: Path, runs: Iterable[Run], *, force: bool = False) -> list[Run]:
    """Pool the runs of each model on each fold that were made with several seeds; nothing is trained.

    An ensemble is a run named after the model with ``+ensemble``; its members are in its manifest. It is made
    anew when one of them was. Its simulation is the mean of the members', its forecast their mixture
    (:func:`thalweg.evaluation.uncertainty.pooling.pool_forecasts`); models without a distribution are its
    members.

    Parameters
    ----------
    root : folder of all runs, where the look at the test is counted.
    runs : that are done.
    """
    groups: dict[tuple[str, str, str, str], list[Run]] = {}
    for run in runs:
        if run.kind != "floor" and run.kind not in FLOORS:
            groups.setdefault((run.experiment, run.model, run.split, run.fold), []).append(run)
    return [_ensemble(root, members, force) for members in groups.values() if len(members) > 1]


def _ensemble(root: Path, members: Sequence[Run], force: bool) -> Run:
    first = members[0]
    name = f"{first.model}{ENSEMBLE}"
    folder = first.path.parent / run_name(name, first.split, first.fold, 0)
    made_from = [f"{run.path.name} {run.status.get('updated')}" for run in members]
    before = Run(folder)
    if not force and before.state == "done" and before.manifest.get("made_from") == made_from:
        return before
    _check_alike(members)
    folder.mkdir(parents=True, exist_ok=True)
    write_status(folder, {"state": "running", "message": f"pooling {len(members)} runs"})
    manifest: dict[str, Any] = {
        **{key: value for key, value in first.manifest.items() if key not in ("id", "created")},
        "model": name,
        "kind": "ensemble",
        "seed": 0,
        "members": [run.path.name for run in members],
        "made_from": made_from,
    }
    write_manifest(folder, manifest)
    _count_score(root, folder, first, [run.seed for run in members])
    tables = _write(folder, members)
    for file, table in tables.items():
        write_metrics(folder, table, file)
    write_status(folder, {"state": "done", "message": ""})
    return Run(folder)


def _count_score(root: Path, folder: Path, first: Run, seeds: Sequence[int]) -> None:
    """Count the look at the test: a pooled model is one more that was scored on it, whatever its folds."""
    experiment = Experiment.model_validate(first.manifest["config"])
    content = json.dumps([configuration(experiment, first.model), sorted(seeds)])
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    for test in looks.tests_of([first]):
        looks.scored(root, test, f"{folder.parent.name}/{folder.name}", digest, floor=False)


def _write(folder: Path, members: Sequence[Run]) -> dict[str, xr.Dataset]:
    """Write the pooled series, some sites after the other; give the metrics by file."""
    found: dict[str, xr.Dataset] = {}
    with written_by_sites(folder) as write:
        for (series, forecast), file in zip(PARTS, ("metrics.parquet", "validation.parquet"), strict=True):
            opened = [_series(run, series) for run in members]
            there = [one for one in opened if one is not None]
            if len(there) < len(members):
                continue  # without a validation part, or made before it was kept
            forecasts = [getattr(run, forecast)() for run in members]
            metrics = []
            for start in range(0, there[0].sizes["site"], SITES_AT_ONCE):
                some = {"site": slice(start, start + SITES_AT_ONCE)}
                loaded = [one.isel(some).load() for one in there]
                stacked = xr.concat([one["simulated"] for one in loaded], "member", join="exact")
                observed = loaded[0]["observed"]
                simulated = stacked.mean("member", keep_attrs=True)
                write(series, xr.Dataset({"simulated": simulated, "observed": observed}))
                write(
                    forecast, _pooled([None if one is None else one.isel(some) for one in forecasts], stacked)
                )
                metrics.append(skill(simulated, observed))
            found[file] = xr.concat(metrics, "site")
    return found


def _pooled(forecasts: Sequence[xr.Dataset | None], simulated: xr.DataArray) -> xr.Dataset:
    """Give the mixture of all members, as it is kept."""
    there = [one for one in forecasts if one is not None]
    if len(there) < len(forecasts):
        return xr.Dataset({"members": simulated})
    pooled = pool_forecasts([forecast_of(one.load()) for one in there])
    if isinstance(pooled, xr.Dataset):
        return pooled
    return xr.Dataset({"quantiles" if "quantile" in pooled.dims else "members": pooled})


def _series(run: Run, name: str) -> xr.Dataset | None:
    found: xr.Dataset | None = getattr(run, name)()
    if found is None and name == "predictions":
        raise InputError(f"{run.id}: {'; '.join(run.problems) or 'has no predictions'}")
    return found


def _check_alike(members: Sequence[Run]) -> None:
    """Refuse runs of different tests or configurations under one name."""
    first = members[0]
    for run in members[1:]:
        for key in ("snapshot", "test", "train", "statistics_hash"):
            if run.manifest.get(key) != first.manifest.get(key):
                raise InputError(
                    f"{first.id} and {run.id} differ in {key}: they are not of one model; make one again"
                )
