"""What a model is given: the same for physics, networks and hybrids."""

from __future__ import annotations

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

    forcing: dict[str, Tensor]
    sequence: Tensor
    attributes: Tensor
    site: Tensor

    def pick(self, sites: Tensor, starts: Tensor, length: int) -> Inputs:
        """Cut one window of ``length`` days per site, each from its own first day.

        Parameters
        ----------
        sites, starts : ``(site,)`` indices along the site and the time axis.
        """
        days = starts.unsqueeze(0) + torch.arange(length, device=starts.device).unsqueeze(1)
        return Inputs(
            {name: series[days, sites] for name, series in self.forcing.items()},
            self.sequence[days, sites],
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
        return Inputs(
            {name: series.to(device) for name, series in self.forcing.items()},
            self.sequence.to(device),
            self.attributes.to(device),
            self.site.to(device),
        )
