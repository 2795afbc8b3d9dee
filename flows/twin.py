"""Twin experiments: a synthetic truth with known parameters, to check the machine against an answer.

Used as a source of a store::

    data: {store: data/twin.zarr, source: {kind: "thalweg.flows.twin:twin", process: hillslope}}
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from thalweg.models.engine import simulate
from thalweg.models.process import Parameter, names
from thalweg.models.processes import find_process
from thalweg.models.routing import LENGTH, ROUTING, gamma_unit_hydrograph, route
from thalweg.storage.evapotranspiration import extraterrestrial_radiation, oudin

# The mean of each attribute by region spreads this far around 0.5: regions overlap but differ.
REGION_SPREAD = 0.18
SITE_SPREAD = 0.16
ATTRIBUTES = (
    "wetness",
    "elevation",
    "latitude_position",
    "slope",
    "soil_depth",
    "clay",
    "forest",
    "permeability",
)


def twin(
    process: str = "hbv",
    sites: int = 80,
    regions: int = 4,
    start: str = "2000-01-01",
    years: int = 4,
    noise: float = 0.05,
    seed: int = 0,
) -> xr.Dataset:
    """Make weather, attributes and the discharge that ``process`` gives with known parameters.

    Each parameter is a smooth, fixed function of the attributes (:func:`true_parameters`). Weather comes
    from a Markov chain of wet and dry days shared within a region, with local amounts.

    Parameters
    ----------
    process : name or dotted path of the process model that is the truth. Fitting the same process is the
        well specified twin; fitting another one the misspecified twin.
    noise : standard deviation of the multiplicative (lognormal) observation error of discharge.

    Returns
    -------
    Dataset ``(site, time)``: forcing, ``discharge``; ``baseflow`` (mm/day, role ``truth``) and the true
    parameters ``true_*`` ``(site,)`` (role ``truth``), which no model is given.
    """
    random = np.random.default_rng(seed)
    time = pd.date_range(start, periods=round(years * 365.25), freq="D")
    region = np.arange(sites) % regions
    center = 0.5 + REGION_SPREAD * random.standard_normal((regions, len(ATTRIBUTES)))
    attributes = np.clip(
        center[region] + SITE_SPREAD * random.standard_normal((sites, len(ATTRIBUTES))), 0.02, 0.98
    )
    place = dict(zip(ATTRIBUTES, attributes.T, strict=True))
    latitude = 32.0 + 15.0 * place["latitude_position"]
    longitude = -120.0 + 50.0 * (region + random.random(sites)) / regions
    forcing = _weather(time, region, latitude, place, random)
    truth = _simulate(process, forcing, attributes, len(time))
    error = np.exp(noise * random.standard_normal(truth["discharge"].shape) - noise**2 / 2)
    series = {**forcing, "discharge": truth["discharge"] * error}

    def daily(values: np.ndarray, role: str, units: str) -> Any:
        return ("site", "time"), values.astype(np.float32), {"role": role, "units": units}

    variables = {
        name: daily(
            values,
            "target" if name == "discharge" else "forcing",
            "degC" if name == "temperature" else "mm/day",
        )
        for name, values in series.items()
    }
    variables["baseflow"] = daily(truth["baseflow"], "truth", "mm/day")
    for name, values in place.items():
        variables[name] = ("site", values.astype(np.float32), {"role": "attribute", "units": "1"})
    for item, values in zip(
        (*find_process(process).parameters, *ROUTING), true_parameters(process, attributes), strict=True
    ):
        variables[f"true_{item.name}"] = (
            "site", values.astype(np.float32), {"role": "truth", "units": item.units},
        )  # fmt: skip
    coordinates = {
        "site": [f"twin_{i:04d}" for i in range(sites)],
        "time": time,
        "latitude": ("site", latitude.astype(np.float32), {"units": "degrees_north"}),
        "longitude": ("site", longitude.astype(np.float32), {"units": "degrees_east"}),
        "region": ("site", np.array([chr(ord("A") + r) for r in region])),
    }
    return xr.Dataset(variables, coordinates, {"title": f"twin of {process}"})


def true_parameters(process: str, attributes: np.ndarray) -> np.ndarray:
    """Give the parameters ``(parameter, site)`` for attributes ``(site, attribute)`` in [0, 1].

    Each is a sigmoid of a fixed linear and a product term of three attributes, scaled to the inner 90 %
    of its range; the choice of attributes and weights depends on the parameter's place alone.
    """
    declared: tuple[Parameter, ...] = (*find_process(process).parameters, *ROUTING)
    centered = (attributes - 0.5) * 4.0
    values = []
    for place, item in enumerate(declared):
        draw = np.random.default_rng([7, place])
        first, second, third = draw.choice(attributes.shape[1], 3, replace=False)
        weights = draw.uniform(0.4, 1.1, 3) * draw.choice([-1.0, 1.0], 3)
        score = (
            weights[0] * centered[:, first]
            + weights[1] * centered[:, second]
            + 0.5 * weights[2] * centered[:, second] * centered[:, third]
        )
        share = 0.05 + 0.9 / (1 + np.exp(-score))
        values.append(item.lower + share * (item.upper - item.lower))
    return np.array(values)


def _simulate(
    process: str, forcing: dict[str, np.ndarray], attributes: np.ndarray, days: int
) -> dict[str, np.ndarray]:
    """Run the truth; its first year is run twice so that it starts wet."""
    model = find_process(process)
    values = torch.from_numpy(true_parameters(process, attributes))
    repeat = min(365, days)
    drivers = {
        name: torch.from_numpy(np.concatenate([forcing[name][:, :repeat], forcing[name]], axis=1).T.copy())
        for name in names(model.forcings)
    }
    parameters = {name: values[i].unsqueeze(-1) for i, name in enumerate(names(model.parameters))}
    lead = LENGTH - 1
    fluxes = simulate(
        model, drivers, parameters, warmup=repeat - lead, fluxes=("discharge", "baseflow")
    ).fluxes
    hydrograph = gamma_unit_hydrograph(*values[-len(ROUTING) :])
    return {name: route(flux.squeeze(-1), hydrograph)[lead:].T.numpy() for name, flux in fluxes.items()}


def _weather(
    time: pd.DatetimeIndex,
    region: np.ndarray,
    latitude: np.ndarray,
    place: dict[str, np.ndarray],
    random: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Make precipitation (mm/day), temperature (degC) and PET (mm/day), each ``(site, time)``."""
    days, sites, regions = len(time), len(region), int(region.max()) + 1
    season = np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 200) / 365.25)  # 1 in mid July
    wet = np.zeros((regions, days), dtype=bool)
    draw = random.random((regions, days))
    for day in range(1, days):
        chance = np.where(wet[:, day - 1], 0.6, 0.22)
        wet[:, day] = draw[:, day] < chance
    local = np.where(random.random((sites, days)) < 0.85, wet[region], random.random((sites, days)) < 0.35)
    depth = 4.0 + 11.0 * place["wetness"] + 3.0 * place["elevation"]
    seasonal = 1 - 0.35 * season * np.cos(2 * np.pi * (region / regions))[:, None]
    precipitation = local * random.gamma(0.75, 1 / 0.75, (sites, days)) * depth[:, None] * seasonal

    anomaly = np.zeros((regions, days))
    shock = random.standard_normal((regions, days)) * 2.4
    for day in range(1, days):
        anomaly[:, day] = 0.75 * anomaly[:, day - 1] + shock[:, day]
    mean = 27.0 - 0.55 * (latitude - 20) - 8.0 * (place["elevation"] - 0.3)
    temperature = (
        mean[:, None] + 11.0 * season + anomaly[region] + 0.7 * random.standard_normal((sites, days))
    )
    return {
        "precipitation": precipitation,
        "temperature": temperature,
        "potential_evapotranspiration": oudin(
            temperature, extraterrestrial_radiation(latitude[:, None], time.day_of_year.to_numpy())
        ),
    }
