"""A folder of runs as `thalweg evaluate` leaves it, with its store: nothing is trained, all else is real."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

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
from thalweg.evaluation.stratified import attribute_classes, flow_classes, seasons
from thalweg.evaluation.stratified import skill_by_days as by_days
from thalweg.evaluation.stratified import skill_by_sites as by_sites
from thalweg.models.processes import find_process
from thalweg.storage.evaluations import write_product
from thalweg.storage.results import Run
from thalweg.storage.run_series import write_fluxes, write_parameters, written_by_sites
from thalweg.storage.store import write_store

EXPERIMENT = "evaluated"
TOO_MUCH = 1.7
"""By how much the hybrid evaporates too much: its audit flags it."""
FAILS = "completeness"
"""The check that the attributions of the LSTM fail."""


def write_evaluated(root: Path, synthetic: ModuleType, sites: int = 6, days: str = "2002-09-30") -> Path:
    """Write the experiment `evaluated` under a folder of runs, and its store beside it; gives the store."""
    world = synthetic.make_world(sites, "1998-10-01", days)
    store = root.parent / "weather.zarr"
    snapshot = _store(store, world)
    for model, seed in (("hybrid", 1), ("hybrid", 2), ("lstm", 1), ("climatology", 0)):
        folder = synthetic.write_run(root, EXPERIMENT, world, model, "temporal", "0", seed)
        _manifest(folder, store, snapshot)
        found = Run(folder).predictions()
        assert found is not None
        found = found.load()
        _strata(folder, found, world)
        if model == "hybrid":
            _inside(folder, found, world, seed)
            _interval(folder, found)
            _shares(folder, ("discharge", "evapotranspiration"), 0.3)
        if model == "lstm":
            _forecast(folder, found)
            _shares(folder, ("target",), 0.9)
            _explanation(folder)
    return store


def _store(store: Path, world: Any) -> str:
    over = ("site", "time")
    potential = np.clip(0.2 * (world.temperature + 4), 0.05, None)
    dataset = xr.Dataset(
        {
            "precipitation": (over, world.precipitation, {"units": "mm/day"}),
            "temperature": (over, world.temperature, {"units": "degC"}),
            "potential_evapotranspiration": (over, potential, {"units": "mm/day"}),
            "discharge": (over, world.observed, {"units": "mm/day"}),
            "area": ("site", np.linspace(100.0, 900.0, len(world.sites)), {"units": "km2"}),
        },
        coords={
            "site": list(world.sites),
            "time": world.time,
            "latitude": ("site", world.places["latitude"].to_numpy()),
            "longitude": ("site", world.places["longitude"].to_numpy()),
            "gauge_name": ("site", [f"River {number}" for number in range(len(world.sites))]),
        },
    )
    return str(write_store(store, dataset, {"kind": "synthetic"}).attrs["snapshot"])


def _manifest(folder: Path, store: Path, snapshot: str) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    models = {"hybrid": {"kind": "hybrid", "process": "hbv"}, "lstm": {"kind": "lstm"}}
    content |= {"store": str(store), "snapshot": snapshot, "config": {"name": EXPERIMENT, "models": models}}
    path.write_text(json.dumps(content))


def _plain(found: xr.Dataset) -> xr.Dataset:
    return found.drop_vars([name for name in found.coords if name not in found.dims])


def _attributes(world: Any) -> pd.DataFrame:
    columns = {"aridity": world.character[:, 1], "slope": world.character[:, 2]}
    return pd.DataFrame(columns, index=pd.Index(world.sites, name="site"))


def _strata(folder: Path, found: xr.Dataset, world: Any) -> None:
    simulated, observed = found["simulated"], found["observed"]
    labels = {"season": seasons(observed["time"]), "flow": flow_classes(observed)}
    names = ("nse", "rmse", "bias")
    tables = [
        by_sites(by_days(simulated, observed, of_days, metrics=names)).assign(by=by)
        for by, of_days in labels.items()
    ]
    whole = Run(folder).metrics().set_index("site")[list(names)].to_xarray().reindex(site=found["site"])
    aridity = xr.DataArray(_attributes(world)["aridity"].to_numpy(), {"site": found["site"]}, "site")
    for by, of_sites in {"region": observed["region"], "aridity": attribute_classes(aridity, 2)}.items():
        tables.append(by_sites(whole, of_sites).assign(by=by))
    write_product(folder, "strata", {"strata": pd.concat(tables, ignore_index=True)}, "x")


def _inside(folder: Path, found: xr.Dataset, world: Any, seed: int) -> None:
    """Parameters, fluxes that keep the water, and what is made of them."""
    places = {name: found[name] for name in ("latitude", "longitude", "region")}
    over = {"site": found["site"], "time": found["time"], **places}
    generator = np.random.default_rng(seed)
    held = 100.0 + 200.0 * world.character[:, :1] + generator.normal(0, 5.0, (len(world.sites), 3))
    wave = 2.0 + np.sin(2 * np.pi * world.time.day_of_year.to_numpy() / 365.25)
    moving = wave + world.character[:, 3:4]
    parameters = xr.Dataset(
        {
            "field_capacity": (("site", "component"), held, {"units": "mm"}),
            "recharge_exponent": (("site", "time"), moving, {"units": "1"}),
        },
        coords=over,
    )
    write_parameters(folder, parameters)
    stored = Run(folder).parameters()
    assert stored is not None
    table = parameter_table(
        stored.load(), {"field_capacity": (50.0, 1000.0), "recharge_exponent": (1.0, 6.0)}
    )
    write_product(
        folder,
        "parameters",
        {
            "parameters": table,
            "parameter_response": attribute_response(table, _attributes(world)),
            "parameter_classes": binned_response(table, _attributes(world), 2),
        },
        "x",
    )
    simulated = found["simulated"].values
    left = world.precipitation - simulated
    evaporated = np.clip(TOO_MUCH * left.mean(axis=1, keepdims=True), 0, None) * np.ones_like(left)
    soil = np.cumsum(world.precipitation - simulated - evaporated, axis=1)
    soil += 10.0 - soil.min(axis=1, keepdims=True)
    nothing = np.zeros_like(soil)
    series = {"discharge": simulated, "evapotranspiration": evaporated}
    states = {"soil_moisture": soil} | dict.fromkeys(
        ("snowpack", "meltwater", "upper_zone", "lower_zone"), nothing
    )
    fluxes = xr.Dataset(
        {name: (("site", "time"), values, {"units": "mm/day"}) for name, values in series.items()}
        | {name: (("site", "time"), values, {"units": "mm"}) for name, values in states.items()},
        coords=over,
    )
    write_fluxes(folder, fluxes)
    plain = _plain(fluxes)
    rain = plain["discharge"].copy(data=world.precipitation)
    potential = plain["discharge"].copy(data=np.clip(0.2 * (world.temperature + 4), 0.05, None))
    flows = _plain(found)
    checks = water_balance(
        plain["evapotranspiration"], flows["simulated"], flows["observed"], rain, potential
    )
    scores = Run(folder).metrics().set_index("site")[["nse"]]
    joined = scores.join(checks)
    process = find_process("hbv")
    balance = residual(process, plain, xr.Dataset({"precipitation": rain}))
    assert process.balance is not None
    sides = {side: getattr(process.balance, side) for side in ("inflow", "outflow", "stored")}
    terms = pd.DataFrame(
        [(side, name) for side, names in sides.items() for name in names], columns=["side", "name"]
    )
    write_product(
        folder,
        "physics",
        {
            "physics": joined.rename_axis("site").reset_index(),
            "physics_audit": audit_physics(joined),
            "balance": balance.reset_index(),
            "balance_terms": terms,
        },
        "x",
    )


def _interval(folder: Path, found: xr.Dataset) -> None:
    simulated = found["simulated"]
    interval = xr.Dataset({"lower": 0.5 * simulated, "upper": 1.5 * simulated + 0.2}, attrs={"level": 0.8})
    write_product(folder, "conformal", {"intervals": interval}, "x")


def _forecast(folder: Path, found: xr.Dataset) -> None:
    levels = [0.05, 0.5, 0.95]
    values = [factor * found["simulated"] for factor in (0.4, 1.0, 1.8)]
    quantiles = xr.concat(values, pd.Index(levels, name="quantile")).rename("quantiles")
    with written_by_sites(folder) as write:
        write("forecast", quantiles.to_dataset())


def _shares(folder: Path, fluxes: tuple[str, ...], share: float) -> None:
    table = pd.DataFrame(
        {"flux": fluxes, "told": "elsewhere", "share": share, "share_of_means": share, "low": share - 0.1}
    ).assign(high=share + 0.1, mean=1.0, mean_elsewhere=1.1)
    write_product(folder, "network_share", {"network_share": table}, "x")


def _explanation(folder: Path) -> None:
    """What an explanation of the LSTM leaves: one method fails a check, one passes, one has none."""
    rows = [
        {"feature": feature, "method": method, "importance": share, "deviation": np.nan, "share": share}
        for method in ("integrated gradients", "Shapley", "permutation")
        for feature, share in (("aridity", 0.7), ("slope+clay", 0.3))
    ]
    importance = pd.DataFrame(rows).assign(question="mean discharge")
    checks = pd.DataFrame(
        [
            ("integrated gradients", FAILS, 0.3, 0.01, False, "mean discharge"),
            ("Shapley", "completeness", 0.0, 1e-4, True, "mean discharge"),
            ("integrated gradients", FAILS, 0.2, 0.01, False, "discharge"),
            ("integrated gradients", "randomised weights", 0.1, 0.5, True, "discharge"),
        ],
        columns=["method", "check", "value", "limit", "passes", "question"],
    )
    lag = np.arange(100)
    lags = [
        pd.DataFrame({"variable": name, "lag": lag, "reach": 1 - np.exp(-(lag + 1) / days)})
        for name, days in (("precipitation", 5.0), ("temperature", 30.0))
    ]
    of_lags = importance.assign(question="discharge", feature="precipitation")
    tables = {
        "explanation_importance": pd.concat([importance, of_lags], ignore_index=True),
        "explanation_checks": checks,
        "explanation_lags": pd.concat(lags, ignore_index=True).assign(question="discharge"),
    }
    write_product(folder, "explanation", tables, "x")
