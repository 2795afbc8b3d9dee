"""What `thalweg evaluate` tells of extrapolation: distance from the training data, and trends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from thalweg.evaluation.extrapolation.support import site_distances, weather_distances
from thalweg.evaluation.extrapolation.trends import trends
from thalweg.flows.preparation import Preparation, Record
from thalweg.flows.products.run_data import RunData
from thalweg.flows.products.scores import Tables
from thalweg.storage.arrays import read_attributes
from thalweg.storage.moments import deviation
from thalweg.storage.parts import Part
from thalweg.storage.results import Run
from thalweg.storage.statistics import site_statistics

MEMORY = 365  # days before a part that its first day's weather of a year needs
MOST_SITES = 200  # training sites whose days tested days are compared with
FAR = 0.05


def support(run: Run, data: RunData) -> Tables:
    """Give how far tested sites and days lie from what the run was trained on.

    Returns
    -------
    ``support``: a row a site, the columns of
    :func:`thalweg.evaluation.extrapolation.support.site_distances` in the space of attributes and of
    the mean and deviation of each forcing, and ``days_outside``, the share of tested days whose weather has
    an applicability below 0.05.
    ``applicability``: of each prediction ``(site, time)``, the smaller one of its site and of its weather.
    """
    if data.floor:
        return {}
    prepared = data.prepared
    train, test = prepared.fold.train, prepared.fold.test
    if len(train.sites) < 3:
        return {}
    sites = site_distances(_features(prepared, train), _features(prepared, test))
    sites = sites.assign_coords(site=list(test.sites)).sel(site=data.predictions["site"].values.astype(str))
    known = prepared.record(_some(train), MEMORY)
    counted = None
    if known.counted is not None:
        whole = np.zeros(known.observed.shape, dtype=bool)
        whole[known.warmup :] = known.counted.cpu().numpy()
        counted = _over_sites(whole, known)
    parts = []
    for record in prepared.test():
        weather = weather_distances(_forcings(known, prepared), _forcings(record, prepared), counted)
        parts.append(weather["applicability"].isel(time=slice(record.warmup, None)))
    days = xr.concat(parts, "site").sel(site=sites["site"], time=data.predictions["time"])
    each = days.clip(max=sites["applicability"].astype(np.float32)).rename("applicability")
    table = sites.to_dataframe().reset_index()
    return {
        "support": table.assign(days_outside=(days < FAR).mean("time").values),
        "applicability": each.transpose("site", "time").to_dataset(),
    }


def yearly_trends(run: Run, data: RunData) -> Tables:
    """Give the trends of yearly mean, high and low flow, a row a site and flow; none for a short test."""
    found = trends(data.predictions["simulated"], data.predictions["observed"])
    found = found.drop_vars([name for name in found.coords if name not in ("site", "flow")])
    if found["observed"].isnull().all():
        return {}
    table: pd.DataFrame = found.to_dataframe().reset_index()
    return {"trends": table}


def _features(prepared: Preparation, part: Part) -> NDArray[np.float64]:
    """Give attributes and climate ``(site, feature)`` of a part's sites and days."""
    dataset = prepared.dataset_of(part)
    stored = prepared.stored if part.store is None else None
    # the statistics of a store are sorted by name
    found = site_statistics(dataset, part.sites, part.start, part.end, prepared.forcings, stored, part)
    climate = [found["mean"].values.T, deviation(found).transpose("site", "variable").values]
    if prepared.attributes:
        climate.append(read_attributes(dataset, part.sites, prepared.attributes))
    return np.concatenate(climate, axis=1, dtype=np.float64)


def _some(part: Part) -> Part:
    """Give a part with some of its sites, drawn evenly."""
    places = np.unique(np.linspace(0, len(part.sites) - 1, MOST_SITES).round().astype(int))
    sites = tuple(part.sites[place] for place in places)
    periods = part.periods if len(part.periods) <= 1 else tuple(part.periods_of(sites))
    return replace(part, sites=sites, periods=periods)


def _forcings(record: Record, prepared: Preparation) -> list[xr.DataArray]:
    return [_over_sites(record.inputs.forcing[name].cpu().numpy(), record) for name in prepared.forcings]


def _over_sites(values: NDArray[np.generic], record: Record) -> xr.DataArray:
    return xr.DataArray(values.T, {"site": list(record.sites), "time": record.time}, ("site", "time"))
