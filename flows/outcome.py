"""Test a model on its test part and write what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from thalweg.evaluation.floors import climatology, persistence
from thalweg.evaluation.interpretation.baseflow import baseflow_index
from thalweg.evaluation.skill import skill
from thalweg.flows.prediction import predict, predict_members
from thalweg.flows.preparation import Preparation, Record
from thalweg.models.calibrated import Calibrated
from thalweg.models.engine.weighted import WEIGHT
from thalweg.models.headed import HeadedPhysics
from thalweg.models.heads import QuantileHead
from thalweg.models.hybrids import Hybrid
from thalweg.models.model import Model, Prediction
from thalweg.models.process import Parameter, State, Variable
from thalweg.models.routing import ROUTING
from thalweg.storage.atomic import write_text
from thalweg.storage.results import write_metrics, written_by_sites

Write = Callable[[str, xr.Dataset], None]


@dataclass(frozen=True)
class Dropout:
    """How many simulations with other units left out make a forecast, and the seed that draws them."""

    members: int
    seed: int


def write_trained(model: Model, prepared: Preparation, folder: Path, dropout: Dropout | None = None) -> None:
    """Simulate the test part, some sites after the other, and write all that came of it.

    These are predictions and their distribution, parameters, fluxes and metrics; of the validation part
    predictions, distribution and metrics.
    """
    write_text(folder / "statistics.json", prepared.statistics.to_json())
    physics = model.physics if isinstance(model, HeadedPhysics) else model
    metrics, validation = [], []
    with written_by_sites(folder) as write:
        for record in prepared.test(0 if dropout is None else dropout.members):
            prediction = predict(model, record, details=True)
            extra = {}
            if isinstance(physics, Calibrated | Hybrid):
                extra = _write_details(prediction, physics, record, prepared, write)
            simulated, forecast = _forecast(model, prediction, record, prepared, dropout)
            if forecast is not None:
                write("forecast", forecast)
            metrics.append(_tested(simulated, record, prepared, write, extra))
        for record in prepared.validation() or ():
            simulated, forecast = _forecast(model, predict(model, record), record, prepared, dropout)
            observed = _series(record.target, record, prepared.units)
            write("validated", xr.Dataset({"simulated": simulated, "observed": observed}))
            if forecast is not None:
                write("validated_forecast", forecast)
            validation.append(_scores(simulated, record, prepared))
    write_metrics(folder, xr.concat(metrics, "site"))
    if validation:
        write_metrics(folder, xr.concat(validation, "site"), "validation.parquet")


def _forecast(
    model: Model, prediction: Prediction, record: Record, prepared: Preparation, dropout: Dropout | None
) -> tuple[xr.DataArray, xr.Dataset | None]:
    """Give the mean that is scored as a simulation, ``(site, time)``, and the distribution, if there is one.

    :func:`thalweg.storage.run_series.forecast_of` says how the distribution is kept.
    """
    if dropout is not None:
        members = predict_members(model, record, dropout.members, dropout.seed)
        forecast = xr.Dataset({"members": _stacked(members, "member", record, prepared.units)})
        return _series(members.mean(0), record, prepared.units), forecast
    simulated = _series(prediction.target, record, prepared.units)
    if model.head is None or prediction.raw is None:
        return simulated, None
    along = "quantile" if isinstance(model.head, QuantileHead) else "component"
    found = model.head.forecast(prediction.raw, prediction.centre)
    units = {"weight": "1", "asymmetry": "1"}
    forecast = xr.Dataset(
        {name: _stacked(v, along, record, units.get(name, prepared.units)) for name, v in found.items()}
    )
    if isinstance(model.head, QuantileHead):
        return simulated, forecast.assign_coords(quantile=list(model.head.levels))
    return simulated, forecast.assign_attrs({} if model.head.floor is None else {"floor": model.head.floor})


def _write_details(
    prediction: Prediction, model: Calibrated | Hybrid, record: Record, prepared: Preparation, write: Write
) -> dict[str, Any]:
    """Write fluxes, states and parameters; give what else is told of each site."""
    units = _units(model)
    series = {**prediction.fluxes, **prediction.states}
    write("fluxes", xr.Dataset({name: _series(v, record, units[name]) for name, v in series.items()}))
    sites = _site_coordinates(record)
    static = {
        name: xr.DataArray(
            value.numpy(), sites, ("site", "component")[: value.dim()], attrs={"units": units[name]}
        )
        for name, value in prediction.parameters.items()
    }
    varying = {n: _series(v, record, units[n]) for n, v in prediction.varying.items()}
    write("parameters", xr.Dataset({**static, **varying}))
    if not {"baseflow", "discharge"} <= prediction.fluxes.keys():
        return {}
    slow, all_of_it = (record.of_counted(prediction.fluxes[n], 0.0).sum(0) for n in ("baseflow", "discharge"))
    share = slow / all_of_it
    share = torch.where(torch.isfinite(share), share, torch.nan)  # a river without water has none
    return {"baseflow_index_simulated": ("site", share.numpy())}


def write_floor(kind: str, prepared: Preparation, folder: Path) -> None:
    """Write predictions and metrics of a floor: what skill is worth nothing."""
    record = prepared.record(prepared.fold.test, prepared.warmup, drivers=False)
    train = prepared.record(prepared.fold.train, 0, drivers=False)
    simulated = climatology(_series(train.target, train, prepared.units), record.days, record.sites)
    if kind == "persistence":
        # the days before the first one that counts lie in the warm-up
        observed = _series(record.observed, record, prepared.units, time=record.time)
        simulated = persistence(observed, times=record.days, fill=simulated)
    with written_by_sites(folder) as write:
        metrics = _tested(simulated, record, prepared, write, {})
    write_metrics(folder, metrics)


def _tested(
    simulated: xr.DataArray, record: Record, prepared: Preparation, write: Write, extra: dict[str, Any]
) -> xr.Dataset:
    """Write predictions, and give the metrics of their sites."""
    observed = _series(record.target, record, prepared.units)
    write("predictions", xr.Dataset({"simulated": simulated, "observed": observed}))
    metrics = _scores(simulated, record, prepared)
    if extra:
        reference = _reference_baseflow(observed, prepared)
        metrics = metrics.assign({**extra, "baseflow_index_reference": reference})
    return metrics


def _scores(simulated: xr.DataArray, record: Record, prepared: Preparation) -> xr.Dataset:
    observed = _series(record.target, record, prepared.units)
    return skill(simulated, observed).assign_coords(_site_coordinates(record))


def _reference_baseflow(observed: xr.DataArray, prepared: Preparation) -> xr.DataArray:
    """Give the true baseflow index ``(site,)`` of a twin, else the one filtered from observed flow."""
    dataset = prepared.dataset_of(prepared.fold.test)
    if "baseflow" not in dataset:
        return baseflow_index(observed)
    truth = dataset["baseflow"].sel(site=observed.site, time=observed.time)
    return truth.where(observed.notnull()).sum("time").drop_vars(
        ["latitude", "longitude", "region"]
    ) / observed.sum("time")


def _series(values: Tensor, record: Record, units: str, *, time: object = None) -> xr.DataArray:
    """Wrap ``(time, site)`` as ``(site, time)`` with the coordinates of the sites."""
    coordinates = {**_site_coordinates(record), "time": record.days if time is None else time}
    return xr.DataArray(
        np.ascontiguousarray(values.cpu().numpy().T), coordinates, ("site", "time"), attrs={"units": units}
    )


def _stacked(values: Tensor, along: str, record: Record, units: str) -> xr.DataArray:
    """Wrap ``(along, time, site)`` as ``(along, site, time)`` with the coordinates of the sites."""
    coordinates = {**_site_coordinates(record), "time": record.days}
    last = np.ascontiguousarray(values.cpu().numpy().swapaxes(1, 2))
    return xr.DataArray(last, coordinates, (along, "site", "time"), attrs={"units": units})


def _site_coordinates(record: Record) -> dict[str, object]:
    return {"site": list(record.sites), **{name: ("site", values) for name, values in record.places.items()}}


def _units(model: Calibrated | Hybrid) -> dict[str, str]:
    process = model.process
    declared: tuple[Parameter | State | Variable, ...] = (
        *process.parameters,
        *process.fluxes,
        *process.states,
        *ROUTING,
    )
    return {WEIGHT: "1", **{item.name: item.units for item in declared}}
