"""What `thalweg evaluate` tells of a model's inside: what its physics says, what its network decides."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
import xarray as xr

from thalweg.evaluation.interpretation.network_share import network_share as shares_of
from thalweg.evaluation.interpretation.parameter_maps import (
    attribute_response,
    binned_response,
    parameter_table,
)
from thalweg.evaluation.interpretation.physics_audit import audit_physics
from thalweg.evaluation.interpretation.residuals import residual
from thalweg.evaluation.interpretation.snow_timing import snow_timing
from thalweg.evaluation.interpretation.water_balance import water_balance
from thalweg.flows.experiment import CalibratedModel, HybridModel
from thalweg.flows.preparation import Record
from thalweg.flows.products.run_data import RunData
from thalweg.flows.products.scores import Tables
from thalweg.models.headed import HeadedPhysics
from thalweg.models.inputs import Inputs
from thalweg.models.model import Model
from thalweg.models.process import ProcessModel, names
from thalweg.models.processes import find_process
from thalweg.models.routing import ROUTING
from thalweg.storage.results import Run

SNOW = ("snowpack", "meltwater")  # states that snow water equivalent is the sum of
SIDES = ("inflow", "outflow", "stored")  # of a balance
MEASURED_SNOW = "snow_water_equivalent"
SHARE_SITES, SHARE_DAYS = 100, 5 * 365  # whom and how long shares are taken over, at most


def parameters(run: Run, data: RunData) -> Tables:
    """Give parameters by site, their rank correlations with attributes, and medians by class of attribute."""
    process, found = _process(data), run.parameters()
    if process is None or found is None:
        return {}
    ranges = {item.name: (item.lower, item.upper) for item in (*process.parameters, *ROUTING)}
    table = parameter_table(found.load(), ranges)
    attributes = _named(data.attributes).to_dataframe()
    return {
        "parameters": table,
        "parameter_response": attribute_response(table, attributes),
        "parameter_classes": binned_response(table, attributes),
    }


def physics(run: Run, data: RunData) -> Tables:
    """Give what physics says of what nobody trained on, site by site, the audit of it, and the balance."""
    process, found = _process(data), run.fluxes()
    if process is None or found is None:
        return {}
    fluxes = _named(found.load())
    sites = run.metrics().set_index("site")
    joined = sites[[name for name in sites if name in AUDITED]]
    for checks in _checks(data, fluxes):
        joined = joined.join(checks)
    made: Tables = {"physics": joined.reset_index(), "physics_audit": audit_physics(joined)}
    if process.balance is not None:
        made["balance"] = residual(process, fluxes, _drivers(data, names(process.forcings))).reset_index()
        terms = [(side, name) for side in SIDES for name in getattr(process.balance, side)]
        made["balance_terms"] = pd.DataFrame(terms, columns=["side", "name"])
    return made


AUDITED = ("nse", "baseflow_index_simulated", "baseflow_index_reference")


def network_share(run: Run, data: RunData) -> Tables:
    """Give the share of every flux that networks, or calibrated parameters, decide."""
    model = inner_model(data)
    if model is None or len(data.predictions["site"]) < 2:
        return {}
    inputs, warmup = some(next(iter(data.prepared.test())), SHARE_SITES, SHARE_DAYS)
    return {"network_share": shares_of(model, inputs, warmup, torch.Generator().manual_seed(0))}


def inner_model(data: RunData) -> Model | None:
    """Give what simulates, without a head around it; None of floors and of ensembles, which have no model."""
    if data.floor or data.run.manifest.get("members"):
        return None
    return data.model.physics if isinstance(data.model, HeadedPhysics) else data.model


def some(record: Record, sites: int, days: int) -> tuple[Inputs, int]:
    """Give a record's inputs for so many sites, drawn evenly, and so many days after the warm-up at most."""
    places = _evenly(len(record.sites), sites).to(record.inputs.site.device)
    length = min(record.warmup + days, len(record.time))
    starts = torch.zeros_like(places)
    return record.inputs.pick(places, starts, length), record.warmup


def chosen(record: Record, sites: int) -> list[str]:
    """Name the sites that :func:`some` takes."""
    return [record.sites[place] for place in _evenly(len(record.sites), sites).tolist()]


def _evenly(count: int, most: int) -> torch.Tensor:
    return torch.from_numpy(np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)))


def _process(data: RunData) -> ProcessModel | None:
    spec = data.spec
    return find_process(spec.process) if isinstance(spec, CalibratedModel | HybridModel) else None


def _checks(data: RunData, fluxes: xr.Dataset) -> list[pd.DataFrame]:
    """Give the tables by site of the checks that there are data for."""
    if data.experiment.data.target != "discharge":
        return []
    predicted = _named(data.predictions)
    simulated, observed = predicted["simulated"], predicted["observed"]
    drivers = _drivers(data, ("precipitation", "potential_evapotranspiration", "temperature", MEASURED_SNOW))
    rain = drivers.get("precipitation")
    if rain is None:
        return []
    tables = []
    if "evapotranspiration" in fluxes and "potential_evapotranspiration" in drivers:
        evaporated, potential = fluxes["evapotranspiration"], drivers["potential_evapotranspiration"]
        tables.append(water_balance(evaporated, simulated, observed, rain, potential))
    packs = [fluxes[name] for name in SNOW if name in fluxes]
    if packs and "temperature" in drivers:
        pack = sum(packs[1:], packs[0])
        warmth, measured = drivers["temperature"], drivers.get(MEASURED_SNOW)
        tables.append(snow_timing(pack, simulated, observed, rain, warmth, measured))
    return tables


def _drivers(data: RunData, wanted: Iterable[str]) -> xr.Dataset:
    found = {name: data.driver(name) for name in wanted}
    there = {name: series.reset_coords(drop=True) for name, series in found.items() if series is not None}
    return _named(xr.Dataset(there)) if there else xr.Dataset()


def _named(dataset: xr.Dataset) -> xr.Dataset:
    """Give a dataset whose only coordinates are its dimensions, with sites as plain text."""
    plain = dataset.drop_vars([name for name in dataset.coords if name not in dataset.dims])
    return plain.assign_coords(site=[str(site) for site in plain["site"].values])
