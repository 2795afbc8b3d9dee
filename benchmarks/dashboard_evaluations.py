"""What `thalweg evaluate` adds to runs, and the store they name, made up for the dashboard's benchmark."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.interpretation.parameter_maps import (
    attribute_response,
    binned_response,
    parameter_table,
)
from thalweg.evaluation.interpretation.physics_audit import audit_physics
from thalweg.evaluation.interpretation.residuals import residual
from thalweg.evaluation.interpretation.water_balance import water_balance
from thalweg.evaluation.stratified import FLOW_BOUNDS, SEASONS, attribute_classes, skill_by_sites
from thalweg.models.processes import find_process
from thalweg.models.routing import ROUTING
from thalweg.storage.evaluations import FOLDER, write_product
from thalweg.storage.run_series import write_fluxes, write_parameters, write_predictions
from thalweg.storage.store import write_store

STRATIFIED = ["nse", "kge_2012", "log_nse", "rmse", "bias", "fhv", "flv"]
PROCESS = find_process("hbv")
RANGES = {item.name: (item.lower, item.upper, item.units) for item in (*PROCESS.parameters, *ROUTING)}
VARYING = "recharge_exponent"
ATTRIBUTES = {
    "elevation": ("mean elevation", "m"),
    "slope": ("mean slope", "m/km"),
    "aridity": ("aridity (PET/P)", "1"),
    "snow_share": ("share of precipitation that falls as snow", "1"),
    "forest_share": ("share of forest", "1"),
    "clay_share": ("share of clay in the soil", "1"),
    "soil_depth": ("depth of the soil", "m"),
    "carbonate_share": ("share of carbonate rocks", "1"),
}
METHODS = ("integrated gradients", "Shapley", "permutation", "random forest")
SAMPLES = 50  # of intervals in the strata, which nobody believes here


@dataclass(frozen=True)
class World:
    """What all runs share.

    Attributes
    ----------
    series : ``simulated`` and ``observed`` (mm/day), ``(site, time)``, with places.
    fluxes : of HBV (mm/day; states mm), ``(site, time)``.
    forcing : ``precipitation``, ``potential_evapotranspiration`` (mm/day) and ``temperature`` (degC).
    attributes : by site.
    checks, balance : by site, of `water_balance` and `residual`.
    """

    series: xr.Dataset
    fluxes: xr.Dataset
    forcing: xr.Dataset
    attributes: pd.DataFrame
    checks: pd.DataFrame
    balance: pd.DataFrame


def make_world(series: xr.Dataset) -> World:
    """Make weather and an HBV that lose no water around given rivers."""
    generator = np.random.default_rng(1)
    sites, dims = series["site"].values, ("site", "time")
    year = np.sin(2 * np.pi * (series["time"].dt.dayofyear.values - 105) / 365.25).astype(np.float32)
    cold = generator.uniform(0.0, 12.0, (len(sites), 1)).astype(np.float32)
    potential = np.clip(2.5 + 2.0 * year - 0.1 * cold, 0.1, None)
    soil = 200.0 - 40.0 * year + cold
    evaporated = 0.7 * potential
    stored = np.diff(soil, axis=1, prepend=soil[:, :1])
    rain = series["simulated"].values + evaporated + stored
    noise = generator.normal(0.0, 3.0, rain.shape).astype(np.float32)
    forcing = xr.Dataset(
        {
            "precipitation": (dims, np.clip(rain, 0.0, None), {"units": "mm/day"}),
            "potential_evapotranspiration": (dims, potential, {"units": "mm/day"}),
            "temperature": (dims, 14.0 + 10.0 * year - cold + noise, {"units": "degC"}),
        },
        coords={"site": sites, "time": series["time"].values},
    )
    fluxes = xr.Dataset(
        {
            "discharge": (dims, series["simulated"].values, {"units": "mm/day"}),
            "evapotranspiration": (dims, evaporated, {"units": "mm/day"}),
            "soil_moisture": (dims, soil, {"units": "mm"}),
            **{
                state.name: (dims, np.zeros_like(soil), {"units": "mm"})
                for state in PROCESS.states
                if state.name != "soil_moisture"
            },
        },
        coords={"site": sites, "time": series["time"].values},
    )
    values = generator.gamma(2.0, 1.0, (len(sites), len(ATTRIBUTES)))
    attributes = pd.DataFrame(values, index=pd.Index(sites, name="site"), columns=list(ATTRIBUTES))
    flows = series.reset_coords(drop=True)
    balanced = forcing[["precipitation", "potential_evapotranspiration"]].data_vars.values()
    checks = water_balance(fluxes["evapotranspiration"], flows["simulated"], flows["observed"], *balanced)
    balance = residual(PROCESS, fluxes, forcing).reset_index()
    return World(series, fluxes, forcing, attributes, checks, balance)


def write_world(store: Path, shared: Path, world: World) -> str:
    """Write the store and, under ``shared``, the series that all runs have; gives the store's version."""
    places = {name: world.series[name] for name in ("latitude", "longitude")}
    told = {
        name: ("site", world.attributes[name].to_numpy(), {"long_name": long, "units": units})
        for name, (long, units) in ATTRIBUTES.items()
    }
    sites = [f"River {number}" for number in range(world.series.sizes["site"])]
    dataset = world.forcing.assign(discharge=world.series["observed"].assign_attrs(units="mm/day"), **told)
    dataset = dataset.assign_coords(**places, gauge_name=("site", sites))
    write_predictions(shared, world.series)
    write_fluxes(shared, world.fluxes)
    write_parameters(shared, _parameters(world, 0))
    simulated = world.series["simulated"].reset_coords(drop=True)
    ends = xr.Dataset({"lower": 0.6 * simulated, "upper": 1.7 * simulated + 0.1}, attrs={"level": 0.9})
    write_product(shared, "conformal", {"intervals": ends}, "x")
    return str(write_store(store, dataset, {"kind": "synthetic"}).attrs["snapshot"])


def link_shared(shared: Path, folder: Path, physics: bool) -> None:
    """Give a run the shared series under names of its own (hard links)."""
    names = ["predictions.zarr", FOLDER, *(("fluxes.zarr", "parameters.zarr") if physics else ())]
    for name in names:
        shutil.copytree(shared / name, folder / name, copy_function=os.link)


def write_evaluation(
    folder: Path, world: World, metrics: xr.Dataset, number: int, physics: bool, network: bool
) -> None:
    """Write the tables that the pages read, the values of each run its own."""
    generator = np.random.default_rng(number)
    write_product(folder, "strata", {"strata": _strata(world, metrics, generator)}, "x")
    for name, table in _by_site(world, generator).items():
        write_product(folder, name, {name: table}, "x")
    if physics:
        table = parameter_table(
            _parameters(world, number, static=True), {name: ends[:2] for name, ends in RANGES.items()}
        )
        table.loc[table["parameter"] == VARYING, "time"] = 0.5
        tables = {
            "parameters": table,
            "parameter_response": attribute_response(table, world.attributes),
            "parameter_classes": binned_response(table, world.attributes),
        }
        write_product(folder, "parameters", tables, "x")
        write_product(folder, "physics", _physics(world, metrics, generator), "x")
        write_product(folder, "network_share", {"network_share": _shares(generator)}, "x")
    if network:
        write_product(folder, "explanation", _explanation(generator, physics), "x")


def _parameters(world: World, seed: int, static: bool = False) -> xr.Dataset:
    """HBV's parameters ``(site, component)`` that go with attributes; one varies in time unless static."""
    generator = np.random.default_rng(seed)
    own = world.attributes.rank(pct=True).to_numpy()
    made = {}
    for place, (name, (low, high, units)) in enumerate(RANGES.items()):
        share = 0.7 * own[:, [place % own.shape[1]]] + generator.uniform(0.0, 0.3, (len(own), 4))
        dims, values = ("site", "component"), low + (high - low) * share
        if name == VARYING and not static:
            wave = 0.4 * np.cos(2 * np.pi * world.series["time"].dt.dayofyear.values / 365.25)
            dims, values = ("site", "time"), values[:, :1] + wave
        made[name] = (dims, values.astype(np.float32), {"units": units})
    places = {name: world.series[name].variable for name in ("latitude", "longitude", "region")}
    days = {} if static else {"time": world.series["time"].values}
    return xr.Dataset(made, coords={"site": world.series["site"].values, **days, **places})


def _strata(world: World, metrics: xr.Dataset, generator: np.random.Generator) -> pd.DataFrame:
    whole = metrics[STRATIFIED].reset_coords(drop=True)
    edges = [0.0, *FLOW_BOUNDS, 1.0]
    flow = [f"{100 * low:g}-{100 * high:g} %" for low, high in pairwise(edges)]
    tables = []
    for by, names in {"season": list(SEASONS), "flow": flow}.items():
        scores = [whole - generator.uniform(0.0, 0.2) for _ in names]
        days = xr.concat(scores, pd.Index(names, name="stratum"))
        tables.append(skill_by_sites(days, samples=SAMPLES).assign(by=by))
    classes = {name: attribute_classes(world.attributes[name].to_xarray()) for name in ATTRIBUTES}
    for by, labels in {"region": world.series["region"], **classes}.items():
        tables.append(skill_by_sites(whole, labels, samples=SAMPLES).assign(by=by))
    return pd.concat(tables, ignore_index=True)


def _by_site(world: World, generator: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Floods, distances from the training data, and trends, a row a site (and flow)."""
    sites = world.series["site"].values
    count = len(sites)
    event = {name: generator.uniform(0.2, 0.9, count) for name in ("pod", "far", "csi", "ets", "peirce")}
    events = {"site": sites, **event, "pofd": 0.02, "frequency_bias": 1.1, "n_days": 3652}
    nearest = generator.gamma(2.0, 0.6, count)
    support = {
        "site": sites,
        "nearest": nearest,
        "mahalanobis": 2.0 * nearest,
        "dissimilarity": nearest / 3.0,
        "applicability": np.exp(-nearest),
        "days_outside": generator.uniform(0.0, 0.1, count),
    }
    observed = generator.normal(0.0, 0.3, 3 * count)
    trends = {
        "site": np.repeat(sites, 3),
        "flow": np.tile(["mean", "high", "low"], count),
        "observed": observed,
        "observed_p": generator.uniform(0.0, 1.0, 3 * count),
        "simulated": 0.6 * observed + generator.normal(0.0, 0.1, 3 * count),
        "simulated_p": generator.uniform(0.0, 1.0, 3 * count),
        "years": 10,
    }
    return {
        "events": pd.DataFrame({**events, "threshold": generator.uniform(3.0, 9.0, count)}),
        "support": pd.DataFrame(support),
        "trends": pd.DataFrame(trends),
    }


def _physics(world: World, metrics: xr.Dataset, generator: np.random.Generator) -> dict[str, pd.DataFrame]:
    sites = len(world.checks)
    factor = generator.normal(1.0, 0.1, sites)
    table = world.checks.assign(
        **{name: world.checks[name] * factor for name in ("evapotranspiration", "evaporated")},
        runoff_ratio_simulated=world.checks["runoff_ratio_simulated"] / factor,
    )
    table["error"] = table["evapotranspiration"] / table["balance"] - 1.0
    snowy = np.where(generator.random(sites) < 0.3, 1.0, np.nan)
    told = {"baseflow_index_reference": generator.uniform(0.2, 0.9, sites)}
    told |= {"flow_observed": snowy * generator.uniform(150, 260, sites)}
    told |= {"gone_degree_day": snowy * generator.uniform(200, 270, sites)}
    told["baseflow_index_simulated"] = told["baseflow_index_reference"] * generator.normal(1, 0.2, sites)
    told["melt"] = told["flow_observed"] + generator.normal(0, 15, sites)
    told["gone"] = told["gone_degree_day"] + generator.normal(0, 15, sites)
    table = table.assign(nse=metrics["nse"].values, **told)
    sides = {side: getattr(PROCESS.balance, side) for side in ("inflow", "outflow", "stored")}
    terms = [(side, name) for side, names in sides.items() for name in names]
    return {
        "physics": table.reset_index(),
        "physics_audit": audit_physics(table),
        "balance": world.balance,
        "balance_terms": pd.DataFrame(terms, columns=["side", "name"]),
    }


def _shares(generator: np.random.Generator) -> pd.DataFrame:
    fluxes = [*(item.name for item in (*PROCESS.fluxes, *PROCESS.states)), "target"]
    share = generator.uniform(0.1, 0.9, len(fluxes))
    table = pd.DataFrame({"flux": fluxes, "told": "elsewhere", "share": share, "share_of_means": share})
    return table.assign(low=share - 0.05, high=share + 0.05, mean=1.0, mean_elsewhere=1.1)


def _explanation(generator: np.random.Generator, physics: bool) -> dict[str, pd.DataFrame]:
    """Importance of every attribute for every question, checks of the methods, and how far back it looks."""
    back = VARYING if physics else "discharge"
    of_sites = ["mean discharge", *(name for name in RANGES if physics and name != VARYING)]
    importance, checks, lags = [], [], []
    for question in (*of_sites, back):
        features = ["precipitation", "temperature"] if question == back else list(ATTRIBUTES)
        for method in METHODS[:1] if question == back else METHODS:
            share = generator.dirichlet(np.ones(len(features)))
            table = pd.DataFrame({"feature": features, "method": method, "importance": share})
            importance.append(table.assign(deviation=np.nan, share=share, question=question))
            check = {"method": method, "check": "completeness", "value": 1e-5, "limit": 1e-4}
            checks.append({**check, "passes": True, "question": question})
    days = np.arange(365)
    for name, memory in (("precipitation", 20.0), ("temperature", 60.0)):
        reach = 1 - np.exp(-(days + 1) / (memory * generator.uniform(0.7, 1.4)))
        lags.append(pd.DataFrame({"variable": name, "lag": days, "reach": reach, "question": back}))
    return {
        "explanation_importance": pd.concat(importance, ignore_index=True),
        "explanation_checks": pd.DataFrame(checks),
        "explanation_lags": pd.concat(lags, ignore_index=True),
    }
