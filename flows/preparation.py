"""From a store to tensors: what one cell trains on, validates on and is tested on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from thalweg.flows.derived import DERIVED, derived_forcings
from thalweg.flows.experiment import CalibratedModel, Experiment, HybridModel
from thalweg.models.inputs import Inputs
from thalweg.models.processes import find_process
from thalweg.models.training import TrainingData
from thalweg.storage.arrays import to_arrays
from thalweg.storage.attributes import default_attributes
from thalweg.storage.errors import InputError
from thalweg.storage.splits import Fold, Part
from thalweg.storage.statistics import Statistics, fit_statistics


@dataclass(frozen=True)
class Record:
    """Drivers and observations of some sites: ``warmup`` days, then the days that count.

    Attributes
    ----------
    observed : ``(time, site)`` (mm/day), all days; NaN where missing.
    time : all days.
    """

    inputs: Inputs
    observed: Tensor
    time: pd.DatetimeIndex
    sites: tuple[str, ...]
    warmup: int

    @property
    def target(self) -> Tensor:
        """The observations of the days that count, ``(time, site)``."""
        return self.observed[self.warmup :]

    @property
    def days(self) -> pd.DatetimeIndex:
        """The days that count."""
        return self.time[self.warmup :]


class Preparation:
    """Everything of a fold as tensors; scaling knows the training part alone.

    Parameters
    ----------
    warmup : days before a part that only set the states. Where the store starts later than that, the
        part is scored from ``warmup`` days after the store's first day, for every model alike.
    """

    def __init__(self, dataset: xr.Dataset, experiment: Experiment, fold: Fold, device: torch.device) -> None:
        self.dataset = dataset
        self.fold = fold
        self.device = device
        self.target = experiment.data.target
        self.forcings = list(experiment.data.forcings)
        self.derived = _derived(experiment)
        named = experiment.data.attributes
        self.attributes = list(default_attributes(dataset) if named is None else named)
        self.warmup = max(experiment.training_for(name).warmup for name in experiment.models)
        self.statistics: Statistics = fit_statistics(dataset, fold.train, self.forcings, self.attributes)

    def training(self, warmup: int, window: int) -> TrainingData:
        """Give the training part with ``warmup`` days before it where the store has them.

        Raises
        ------
        InputError
            When a warm-up and a window do not fit.
        """
        part = self.fold.train
        record = self.record(part, warmup, shorten=True)
        if len(record.time) < warmup + window:
            raise InputError(
                f"split {self.fold.split!r}: training.warmup {warmup} + training.window {window} days "
                f"do not fit into the store's {len(record.time)} days up to {part.end}: shorten one of them"
            )
        before = record.time < pd.Timestamp(part.start)
        observed = record.observed.clone()
        observed[torch.from_numpy(np.asarray(before)).to(self.device)] = torch.nan
        return TrainingData(record.inputs, observed, deviation(observed))

    def record(self, part: Part, warmup: int, *, shorten: bool = False) -> Record:
        """Give a part with its warm-up.

        Parameters
        ----------
        shorten : take fewer warm-up days where the store starts too late, rather than a later start.
        """
        first = pd.Timestamp(self.dataset.time.values[0]).date()
        wanted = part.start - timedelta(days=warmup)
        start = max(first, wanted)
        counted = part.start if shorten else max(part.start, first + timedelta(days=warmup))
        if counted > part.end:
            raise InputError(
                f"split {self.fold.split!r}: nothing of {part.start} to {part.end} is left after "
                f"{warmup} days of warm-up, since the store starts on {first}"
            )
        return self._record(part.sites, start, part.end, (counted - start).days)

    def validation(self) -> Record | None:
        """Give the validation part, if the fold has one."""
        return None if self.fold.validate is None else self.record(self.fold.validate, self.warmup)

    def test(self) -> Record:
        """Give the test part."""
        return self.record(self.fold.test, self.warmup)

    def _record(self, sites: tuple[str, ...], start: date, end: date, warmup: int) -> Record:
        arrays = to_arrays(self.dataset, sites, start, end, self.forcings, self.attributes, self.target)
        forcing = torch.from_numpy(arrays.forcings)
        known = {name: place for place, name in enumerate(self.fold.train.sites)}
        days = pd.DatetimeIndex(arrays.dates)
        derived = {
            name: torch.from_numpy(DERIVED[name](days)).unsqueeze(1).repeat(1, len(sites))
            for name in self.derived
        }
        inputs = Inputs(
            {name: forcing[:, :, i].contiguous() for i, name in enumerate(self.forcings)} | derived,
            torch.from_numpy(self.statistics.scale(arrays.forcings, self.forcings)),
            torch.from_numpy(self.statistics.scale(arrays.attributes, self.attributes)),
            torch.tensor([known.get(site, -1) for site in sites]),
        )
        observed = torch.from_numpy(arrays.target).to(self.device)
        return Record(inputs.to(self.device), observed, days, sites, warmup)


def _derived(experiment: Experiment) -> list[str]:
    """Name the forcings of the experiment's processes that follow from the dates."""
    given = experiment.data.forcings
    physical = [m for m in experiment.models.values() if isinstance(m, CalibratedModel | HybridModel)]
    found = [name for m in physical for name in derived_forcings(find_process(m.process), given)]
    return list(dict.fromkeys(found))


def deviation(observed: Tensor) -> Tensor:
    """Give each site's standard deviation ``(site,)`` of ``(time, site)``; 1 where nothing is known."""
    there = torch.isfinite(observed)
    count = there.sum(0).clamp(min=1)
    values = torch.where(there, observed, 0.0)
    mean = values.sum(0) / count
    variance = torch.where(there, (observed - mean) ** 2, 0.0).sum(0) / count
    return torch.where(there.any(0), variance.sqrt(), 1.0)
