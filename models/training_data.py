"""What a model is trained on: in memory, shared out to several processes, or streamed from a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from thalweg.models.group import Group
from thalweg.models.inputs import Inputs, cut


@dataclass(frozen=True)
class Batch:
    """One window of each of some sites.

    Attributes
    ----------
    inputs : drivers over warm-up and window.
    observed : ``(time, site)`` over the window (mm/day); NaN where missing.
    deviation : ``(site,)`` standard deviation of the observed training flow (mm/day).
    """

    inputs: Inputs
    observed: Tensor
    deviation: Tensor

    def to(self, device: torch.device) -> Batch:
        """Move all tensors to a device."""
        return Batch(self.inputs.to(device), self.observed.to(device), self.deviation.to(device))

    def split(self, count: int) -> list[Batch]:
        """Give ``count`` parts that differ by at most one site, or fewer where there are fewer sites."""
        sites = len(self.deviation)
        count = min(count, sites)
        if count <= 1:
            return [self] if count else []
        edges = [round(sites * part / count) for part in range(count + 1)]
        slices = [slice(first, last) for first, last in pairwise(edges)]
        return [
            Batch(self.inputs.select(part), self.observed[:, part], self.deviation[part]) for part in slices
        ]


@dataclass(frozen=True)
class TrainingData:
    """The training part of a store, or some of its sites, as tensors.

    Attributes
    ----------
    inputs : drivers of all sites over warm-up and training days.
    observed : ``(time, site)`` (mm/day); NaN where missing and on days that are not of the training part.
    deviation : ``(site,)`` standard deviation of the observed training flow (mm/day).
    sparse : whether only some days are of the training part: windows without any are then not drawn.
    """

    inputs: Inputs
    observed: Tensor
    deviation: Tensor
    sparse: bool = False

    @property
    def attributes(self) -> Tensor:
        """Scaled, ``(site, attribute)``."""
        return self.inputs.attributes

    @property
    def donors(self) -> Tensor:
        """Which sites have any observation, ``(site,)``."""
        return torch.isfinite(self.observed).any(0)

    def observed_days(self, warmup: int) -> Tensor:
        """Give the days with an observation after the first ``warmup`` ones, ``(site,)``, on the CPU."""
        return torch.isfinite(self.observed[warmup:]).sum(0).cpu()

    def batch(self, sites: Tensor, starts: Tensor, warmup: int, window: int) -> Batch:
        """Cut one window for each of ``sites``, warm-up included, from its own first day."""
        return Batch(
            self.inputs.pick(sites, starts, warmup + window),
            cut(self.observed, sites, starts + warmup, window),
            self.deviation[sites],
        )


@dataclass(frozen=True)
class SharedData:
    """The training part of a store whose sites are dealt out to several processes.

    Attributes
    ----------
    held : the sites that this process has in memory; no other one has them.
    local : ``(site,)`` place of each training site among those held, -1 where another process has it.
    attributes, deviation, donors : of all training sites, as in :class:`TrainingData`; on the CPU.
    observed_days : ``(site,)`` of all training sites: days with an observation after the warm-up.
    """

    held: TrainingData
    local: Tensor
    attributes: Tensor
    deviation: Tensor
    donors: Tensor
    observed_days: Tensor

    @classmethod
    def of(cls, held: TrainingData, places: Tensor, sites: int, warmup: int, group: Group) -> SharedData:
        """Tell all processes what they must know of every site to draw the same windows.

        Parameters
        ----------
        places : ``(held,)``, which of the ``sites`` training sites are held here.
        warmup : days at the beginning that are no targets.
        """

        def of_all(values: Tensor) -> Tensor:
            whole = torch.zeros((sites, *values.shape[1:]), dtype=values.dtype)
            whole[places] = values.cpu()
            return group.sum(whole)  # zero but where it is held

        local = torch.full((sites,), -1)
        local[places] = torch.arange(len(places))
        return cls(
            held,
            local,
            of_all(held.attributes),
            of_all(held.deviation),
            of_all(held.donors.to(torch.uint8)) > 0,
            of_all(held.observed_days(warmup)),
        )


@dataclass(frozen=True)
class StreamedData:
    """The training part of a store that stays on disk.

    Attributes
    ----------
    read : gives some sites, by their places among the training sites, in that order. Called in a thread.
    attributes : ``(site, attribute)``, scaled, of all training sites.
    deviation : ``(site,)`` of the observed training flow (mm/day).
    observed_days : ``(site,)`` days with an observation that a window can hold as a target.
    neighbours : the places of the training sites, in groups that lie together on the disk.
    days : of warm-up and training.
    block_sites : how many sites are read at a time, by all processes together.
    held : ``(site,)``, which sites this process reads and trains on; None: all of them.
    """

    read: Callable[[Sequence[int]], TrainingData]
    attributes: Tensor
    deviation: Tensor
    observed_days: Tensor
    neighbours: Sequence[Sequence[int]]
    days: int
    block_sites: int
    held: Tensor | None = None

    @property
    def donors(self) -> Tensor:
        """Which sites have any observation, ``(site,)``."""
        return self.observed_days > 0
