"""What a model is given: the same for physics, networks and hybrids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Inputs:
    """Drivers of some sites over some days.

    Attributes
    ----------
    forcing : ``(time, site)`` by name, in physical units: for process models.
    sequence : ``(time, site, variable)``, the same scaled: for networks.
    attributes : ``(site, attribute)``, scaled: for networks.
    site : ``(site,)`` place of each site among the training sites, -1 for a site not trained on.
    """

    forcing: Mapping[str, Tensor]
    sequence: Tensor
    attributes: Tensor
    site: Tensor

    def pick(self, sites: Tensor, starts: Tensor, length: int) -> Inputs:
        """Cut one window of ``length`` days per site, each from its own first day.

        Parameters
        ----------
        sites, starts : ``(site,)`` indices along the site and the time axis.
        """
        return Inputs(
            _Windows(self.forcing, sites, starts, length),
            cut(self.sequence, sites, starts, length),
            self.attributes[sites],
            self.site[sites],
        )

    def select(self, sites: slice) -> Inputs:
        """Give the same days for some of the sites."""
        return Inputs(
            {name: series[:, sites] for name, series in self.forcing.items()},
            self.sequence[:, sites],
            self.attributes[sites],
            self.site[sites],
        )

    def to(self, device: torch.device) -> Inputs:
        """Move all tensors to a device."""
        if self.sequence.device == device:
            return self
        return Inputs(
            {name: series.to(device) for name, series in self.forcing.items()},
            self.sequence.to(device),
            self.attributes.to(device),
            self.site.to(device),
        )


class _Windows(Mapping[str, Tensor]):
    """Windows of series, cut when they are asked for: a network alone needs none of them."""

    def __init__(self, series: Mapping[str, Tensor], sites: Tensor, starts: Tensor, length: int) -> None:
        self.series, self.where, self.found = series, (sites, starts, length), dict[str, Tensor]()

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.found:
            self.found[name] = cut(self.series[name], *self.where)
        return self.found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.series)

    def __len__(self) -> int:
        return len(self.series)


def cut(series: Tensor, sites: Tensor, starts: Tensor, length: int) -> Tensor:
    """Cut one window of ``length`` days per site out of ``(time, site)`` or ``(time, site, variable)``.

    It is fastest where a site's days lie side by side in memory: a window is then copied as a whole. Windows
    of several variables then lie one after the other; those of one lie day by day, as process models go.
    """
    days, count = series.shape[:2]
    width = series.shape[2:].numel()
    lie_together = series.stride(0) == width and series.stride(1) % width == 0
    if lie_together and (series.dim() == 2 or series.stride(2) == 1):
        # one row a window, from any day of any site: rows overlap, and few of them are asked for
        step = series.stride(1) // width
        rows = series.as_strided(((count - 1) * step + days - length + 1, length * width), (width, 1))
        found = rows.index_select(0, sites * step + starts)
        found = found.view(len(sites), length, *series.shape[2:]).transpose(0, 1)
    else:
        found = series.unfold(0, length, 1)[starts, sites].movedim(-1, 0)
    return found.contiguous() if series.dim() == 2 else found
