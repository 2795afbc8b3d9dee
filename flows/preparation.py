"""From a store to tensors: what one cell trains on, validates on and is tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from thalweg.flows.derived import DERIVED, derived_forcings
from thalweg.flows.experiment import CalibratedModel, Experiment, HybridModel
from thalweg.flows.memory import data_budget, device_budget
from thalweg.models.group import ALONE, Group
from thalweg.models.inputs import Inputs
from thalweg.models.processes import find_process
from thalweg.models.training_data import SharedData, StreamedData, TrainingData
from thalweg.storage.arrays import read_attributes, to_arrays
from thalweg.storage.attributes import default_attributes
from thalweg.storage.errors import InputError
from thalweg.storage.layout import CHUNK_SITES
from thalweg.storage.moments import deviation as deviation_of
from thalweg.storage.sites import neighbours, site_rows
from thalweg.storage.splits import Fold, Part
from thalweg.storage.statistics import Statistics, fit_statistics, site_statistics
from thalweg.storage.store import open_store
from thalweg.storage.variables import names_over

BLOCK_SITES = 512  # read at a time where not all fit into memory: a shard of a run's results
PLACES = ("latitude", "longitude", "region")
DETAILS = 40  # series of a site that a process model tells of, at most about
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Record:
    """Drivers and observations of some sites: ``warmup`` days, then those from a part's first to its last.

    Attributes
    ----------
    observed : ``(time, site)`` (mm/day), all days; NaN where missing.
    time : all days.
    counted : ``(time, site)``, which days after the warm-up count; None where all do.
    places : latitude, longitude (degrees) and region of the sites, as far as the store has them.
    """

    inputs: Inputs
    observed: Tensor
    time: pd.DatetimeIndex
    sites: tuple[str, ...]
    warmup: int
    counted: Tensor | None = None
    places: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def target(self) -> Tensor:
        """The observations after the warm-up, ``(time, site)``; NaN on days that do not count."""
        return self.of_counted(self.observed[self.warmup :])

    @property
    def days(self) -> pd.DatetimeIndex:
        """The days after the warm-up."""
        return self.time[self.warmup :]

    def of_counted(self, series: Tensor, other: float = torch.nan) -> Tensor:
        """Give a series after the warm-up, ``(time, site)``, with another value on days that do not count."""
        if self.counted is None:
            return series
        return torch.where(self.counted.to(series.device), series, other)


class Records:
    """Records of all sites of a part, some sites at a time; one that holds all of them is kept."""

    def __init__(
        self, make: Callable[[tuple[str, ...]], Record], sites: tuple[str, ...], at_once: int
    ) -> None:
        self.make, self.sites, self.at_once = make, sites, at_once
        self.kept: Record | None = None

    def __iter__(self) -> Iterator[Record]:
        if 0 < len(self.sites) <= self.at_once:
            self.kept = self.kept or self.make(self.sites)
            yield self.kept
            return
        for first in range(0, len(self.sites), self.at_once):
            yield self.make(self.sites[first : first + self.at_once])


class Preparation:
    """Everything of a fold as tensors; scaling knows the training part alone.

    Parameters
    ----------
    stored : gives the store's own statistics, where it has some: less is read of what does not fit.
    group : the processes that train together; each has only its share of the training sites in memory.

    Attributes
    ----------
    warmup : days before a part that only set the states. Where the store starts later than that, the
        part is scored from ``warmup`` days after the store's first day, for every model alike.
    budget : bytes that data may take in memory; what needs more is read block by block.
    """

    def __init__(
        self,
        dataset: xr.Dataset,
        experiment: Experiment,
        fold: Fold,
        device: torch.device,
        stored: Callable[[], xr.Dataset | None] = lambda: None,
        group: Group = ALONE,
    ) -> None:
        self.group = group
        self.dataset = dataset
        self.fold = fold
        self.device = device
        self.target = experiment.data.target
        self.units = str(dataset[self.target].attrs.get("units", "1"))
        self.forcings = list(experiment.data.forcings)
        self.derived = _derived(experiment)
        named = experiment.data.attributes
        self.attributes = list(default_attributes(dataset) if named is None else named)
        self.warmup = max(experiment.training_for(name).warmup for name in experiment.models)
        self.budget = data_budget(experiment.resources)
        self.device_budget = device_budget(device, experiment.resources)
        self.near = self._near() if group.alone else None
        self.stored = stored() if self.near is None else None
        self.statistics: Statistics = fit_statistics(
            dataset if self.near is None else self.near,
            fold.train,
            self.forcings,
            self.attributes,
            self.stored,
        )

    def training(self, warmup: int, window: int) -> TrainingData | SharedData | StreamedData:
        """Give the training part with ``warmup`` days before it where the store has them.

        In memory where it fits the budget, else to be streamed; of a group, the share of this process.

        Raises
        ------
        InputError
            When a warm-up and a window do not fit, or there are more processes than sites.
        """
        part, group = self.fold.train, self.group
        if group.size > len(part.sites):
            raise InputError(
                f"split {self.fold.split!r}: {len(part.sites)} training sites cannot be shared out to "
                f"{group.size} workers: resources.workers_per_model must not be above that"
            )
        start, _ = self._period(part, warmup, shorten=True)
        days = (part.end - start).days + 1
        size = self._site_bytes(days) * -(-len(part.sites) // group.size)
        if days < warmup + window:
            raise InputError(
                f"split {self.fold.split!r}: training.warmup {warmup} + training.window {window} days "
                f"do not fit into the store's {days} days up to {part.end}: shorten one of them"
            )
        if group.most(size / self.budget) > 1:  # what is drawn depends on it
            return self._streamed(start, warmup, days)
        device = self.device if size <= self.device_budget else CPU
        if not group.alone:
            return self._shared(start, warmup, device)
        data = self._training_data(part.sites, start, device)
        self.near = None  # its copy is in use now
        return data

    def record(self, part: Part, warmup: int, *, drivers: bool = True) -> Record:
        """Give a part with its warm-up, all sites at once.

        Parameters
        ----------
        drivers : whether forcings and attributes are wanted too.
        """
        start, counted = self._period(part, warmup)
        return self._record(part, part.sites, start, (counted - start).days, self.device, drivers=drivers)

    def validation(self, *, share: bool = False) -> Records | None:
        """Give the validation part, if the fold has one.

        Parameters
        ----------
        share : only those sites that this process of a group has to score.
        """
        part = self.fold.validate
        return None if part is None else self._records(part, 0, share=share)

    def training_records(self, *, share: bool = False) -> Records:
        """Give the training part as validation sees its own: with its warm-up, in order."""
        return self._records(self.fold.train, 0, share=share)

    def test(self, members: int = 0) -> Records:
        """Give the test part, with room for all that a model tells of it, and for ``members`` forecasts."""
        return self._records(self.fold.test, DETAILS + members)

    def _records(self, part: Part, details: int, *, share: bool = False) -> Records:
        start, counted = self._period(part, self.warmup)
        warmup = (counted - start).days
        size = self._site_bytes((part.end - start).days + 1, details)
        # Whole shards of results where possible
        fitting = int(min(self.budget, self.device_budget) / size)
        at_once = fitting if fitting < BLOCK_SITES else max(BLOCK_SITES, fitting // BLOCK_SITES * BLOCK_SITES)
        return Records(
            lambda sites: self._record(part, sites, start, warmup, self.device),
            part.sites[self.group.rank :: self.group.size] if share else part.sites,
            max(1, at_once),
        )

    def _near(self) -> xr.Dataset | None:
        """Read the training days at once where they fit into memory: scaling and training both need them."""
        part = self.fold.train
        start, _ = self._period(part, self.warmup, shorten=True)
        size = self._site_bytes((part.end - start).days + 1) * self.dataset.sizes["site"]
        if size > self.budget or 2 * len(part.sites) < self.dataset.sizes["site"]:
            return None
        series = names_over(self.dataset, "site", "time")
        others = set(series) - {*self.forcings, self.target}
        near = self.dataset.drop_vars(others).sel(time=slice(str(start), str(part.end)))
        for name in set(series) - others:
            near.variables[name].load()
        return near

    def _period(self, part: Part, warmup: int, *, shorten: bool = False) -> tuple[date, date]:
        """Give the first day of a part's warm-up, and the first that counts."""
        first = pd.Timestamp(self.dataset_of(part).time.values[0]).date()
        start = max(first, part.start - timedelta(days=warmup))
        counted = part.start if shorten else max(part.start, first + timedelta(days=warmup))
        if all(own[-1][1] < counted for own in part.periods or (((part.start, part.end),),)):
            raise InputError(
                f"split {self.fold.split!r}: nothing of {part.start} to {part.end} is left after "
                f"{warmup} days of warm-up, since the store starts on {first}"
            )
        return start, counted

    def dataset_of(self, part: Part) -> xr.Dataset:
        """Give the store that a part is in."""
        return self.dataset if part.store is None else open_store(part.store, part.version)

    def _site_bytes(self, days: int, details: int = 0) -> int:
        """Give the bytes of one site's forcings, the same scaled, its target and ``details`` series more."""
        return 4 * days * (2 * len(self.forcings) + 1 + details)

    def _shared(self, start: date, warmup: int, device: torch.device) -> SharedData:
        """Give the share of this process: sites that lie together on the disk."""
        part, group = self.fold.train, self.group
        places = np.array_split(np.argsort(site_rows(self.dataset, part.sites)), group.size)[group.rank]
        held = self._training_data([part.sites[place] for place in places], start, device)
        return SharedData.of(held, torch.from_numpy(places), len(part.sites), warmup, group)

    def _streamed(self, start: date, warmup: int, days: int) -> StreamedData:
        part, group = self.fold.train, self.group
        order = site_rows(self.dataset, part.sites)
        held = torch.empty(len(part.sites), dtype=torch.bool)
        # in turn, so that each process has its share of every block
        held[torch.from_numpy(np.argsort(order))] = torch.arange(len(order)) % group.size == group.rank
        groups = [places.tolist() for places, _ in neighbours(order, CHUNK_SITES)]
        # One block trains, one is ready, one is being made
        fitting = -int(group.most(-int(self.budget / (3 * self._site_bytes(days)))))
        observed = self._moments([self.target], part.start, part).isel(variable=0)
        reachable = self._moments([self.target], max(part.start, start + timedelta(days=warmup)), part)
        self._refuse_gaps(start, days)
        return StreamedData(
            lambda places: self._training_data([part.sites[place] for place in places], start, CPU),
            self._scaled_attributes(part.sites),
            torch.from_numpy(deviation_of(observed).fillna(1.0).values).float(),
            torch.from_numpy(reachable["count"].values[0]),
            groups,
            days,
            max(1, min(BLOCK_SITES, fitting)),
            None if group.alone else held,
        )

    def _moments(self, variables: list[str], start: date, counted: Part | None = None) -> xr.Dataset:
        """Give the statistics of each training site from ``start`` on, ``(variable, site)``."""
        part = self.fold.train
        return site_statistics(self.dataset, part.sites, start, part.end, variables, self.stored, counted)

    def _refuse_gaps(self, start: date, days: int) -> None:
        """Refuse forcings with gaps at once, rather than when their block is read."""
        counts = self._moments(self.forcings, start)["count"]
        for name in self.forcings:
            gaps = days - counts.sel(variable=name)
            if bool((gaps > 0).any()):
                site = self.fold.train.sites[int((gaps.values > 0).argmax())]
                raise InputError(
                    f"forcing {name!r} is missing at site {site} on {int(gaps.max())} days or fewer from "
                    f"{start} on; a simulation needs every day"
                )

    def _scaled_attributes(self, sites: Sequence[str]) -> Tensor:
        values = read_attributes(self.dataset, sites, self.attributes)
        return torch.from_numpy(self.statistics.scale(values, self.attributes))

    def _training_data(self, sites: Sequence[str], start: date, device: torch.device) -> TrainingData:
        part = self.fold.train
        record = self._record(part, tuple(sites), start, 0, device, source=self.near)
        before = record.time < pd.Timestamp(part.start)
        record.observed[torch.from_numpy(np.asarray(before)).to(device)] = torch.nan
        observed = record.target
        return TrainingData(record.inputs, observed, deviation(observed), sparse=bool(part.periods))

    def _record(
        self,
        part: Part,
        sites: tuple[str, ...],
        start: date,
        warmup: int,
        device: torch.device,
        *,
        drivers: bool = True,
        source: xr.Dataset | None = None,
    ) -> Record:
        source = self.dataset_of(part) if source is None else source
        forcings, attributes = (self.forcings, self.attributes) if drivers else ([], [])
        arrays = to_arrays(source, sites, start, part.end, forcings, attributes, self.target)
        forcing = torch.from_numpy(arrays.forcings)
        known = {name: place for place, name in enumerate(self.fold.train.sites)}
        days = pd.DatetimeIndex(arrays.dates)
        derived = {
            name: torch.from_numpy(DERIVED[name](days)).unsqueeze(1).repeat(1, len(sites))
            for name in self.derived
        }
        inputs = Inputs(
            {name: forcing[:, :, i] for i, name in enumerate(forcings)} | derived,
            # In memory a window of a site is one piece
            torch.from_numpy(self.statistics.scale(arrays.forcings.swapaxes(0, 1), forcings)).transpose(0, 1),
            torch.from_numpy(self.statistics.scale(arrays.attributes, attributes)),
            torch.tensor([known.get(site, -1) for site in sites]),
        )
        observed = torch.from_numpy(arrays.target).to(device)
        counted = None
        if part.periods:
            counted = torch.from_numpy(part.counted(arrays.dates[warmup:], sites)).to(device)
        return Record(inputs.to(device), observed, days, sites, warmup, counted, _places(source, sites))


def _places(dataset: xr.Dataset, sites: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    rows = site_rows(dataset, sites)
    return {name: dataset[name].values[rows] for name in PLACES if name in dataset.variables}


def _derived(experiment: Experiment) -> list[str]:
    """Name the forcings of the experiment's processes that follow from the dates."""
    given = experiment.data.forcings
    physical = [m for m in experiment.models.values() if isinstance(m, CalibratedModel | HybridModel)]
    found = [name for m in physical for name in derived_forcings(find_process(m.process), given)]
    return list(dict.fromkeys(found))


def deviation(observed: Tensor) -> Tensor:
    """Give each site's standard deviation ``(site,)`` of ``(time, site)``; 1 where nothing is known."""
    series = observed.T.contiguous()  # as it mostly is already: a site's days lie side by side
    there = torch.isfinite(series)
    count = there.sum(1).clamp(min=1)
    mean = torch.where(there, series, 0.0).sum(1) / count
    variance = torch.where(there, (series - mean.unsqueeze(1)) ** 2, 0.0).sum(1) / count
    return torch.where(there.any(1), variance.sqrt(), 1.0)
