"""Losses over ``(time, site)``; days without an observation never count."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_DEVIATION = 0.1  # mm/day, keeps nearly dry rivers from ruling the loss (Kratzert et al. 2019)
SMALLEST_FLOW = 0.1  # mm/day, added before taking logarithms


class Loss:
    """Base of all losses: a mean over what was observed, as a sum and a count, which add up over batches."""

    def __call__(self, simulated: Tensor, observed: Tensor, deviation: Tensor) -> Tensor:
        """Give the loss, a scalar; zero when no day was observed.

        Parameters
        ----------
        simulated, observed : ``(time, site)`` (mm/day); NaN where not observed.
        deviation : ``(site,)`` standard deviation of the observed training flow (mm/day).
        """
        return self.total(simulated, observed, deviation) / self.count(observed).clamp(min=1)

    def total(self, simulated: Tensor, observed: Tensor, deviation: Tensor) -> Tensor:
        """Give the sum of what the loss is the mean of, a scalar."""
        there = self.counted(observed)
        known = torch.where(there, observed, 0.0)
        return torch.where(there, self.compute(simulated, known, deviation), 0.0).sum()

    def count(self, observed: Tensor) -> Tensor:
        """Give how many days or sites the loss is the mean of: a whole number, known before a simulation."""
        return self.counted(observed).sum()

    def counted(self, observed: Tensor) -> Tensor:
        """Give which days count, ``(time, site)``; or which sites, ``(site,)``."""
        return torch.isfinite(observed)

    def compute(self, simulated: Tensor, observed: Tensor, deviation: Tensor) -> Tensor:
        """Give the loss of each day and site; ``observed`` is zero where it was not."""
        raise NotImplementedError


class MeanSquaredError(Loss):
    """Mean of squared errors ((mm/day)^2)."""

    def compute(self, simulated: Tensor, observed: Tensor, deviation: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return (simulated - observed) ** 2


class NashSutcliffe(Loss):
    """Squared error over each site's variance: Kratzert et al. (2019), eq. 12, 10.5194/hess-23-5089-2019."""

    def compute(self, simulated: Tensor, observed: Tensor, deviation: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return (simulated - observed) ** 2 / (deviation + SMALLEST_DEVIATION) ** 2


class LogNashSutcliffe(Loss):
    """Squared error of logarithms: low flow counts as much as high flow. Flow below zero counts as zero."""

    def compute(self, simulated: Tensor, observed: Tensor, deviation: Tensor) -> Tensor:
        """See :class:`Loss`."""
        error = torch.log(simulated.clamp(min=0.0) + SMALLEST_FLOW) - torch.log(
            observed.clamp(min=0.0) + SMALLEST_FLOW
        )
        return error**2


class KlingGupta(Loss):
    """1 - KGE of each site's window, averaged: Gupta et al. (2009), 10.1016/j.jhydrol.2009.08.003.

    Sites with fewer than ``minimum_days`` observed days in the window are left out, and those whose
    mean or deviation is below ``minimum_flow`` (mm/day), where its ratios mean nothing.
    """

    minimum_days = 30
    minimum_flow = 1e-3
    tiny = 1e-6  # keeps roots and ratios away from zero

    def total(self, simulated: Tensor, observed: Tensor, deviation: Tensor) -> Tensor:
        """See :class:`Loss`."""
        there = torch.isfinite(observed)
        known = torch.where(there, observed, 0.0)
        weight, days, mean_o, error_o, std_o = self._moments(known, there)
        mean_s = (simulated * weight).sum(0) / days
        error_s = (simulated - mean_s) * weight
        tiny = self.tiny
        std_s = ((error_s**2).sum(0) / days + tiny).sqrt()
        correlation = (error_s * error_o).sum(0) / days / (std_s * std_o)
        terms = (
            (correlation - 1) ** 2 + (std_s / std_o - 1) ** 2 + ((mean_s + tiny) / (mean_o + tiny) - 1) ** 2
        )
        return torch.where(self.counted(observed), (terms + tiny).sqrt(), 0.0).sum()

    def counted(self, observed: Tensor) -> Tensor:
        """See :class:`Loss`: the sites whose efficiency means something."""
        there = torch.isfinite(observed)
        _, days, mean, _, std = self._moments(torch.where(there, observed, 0.0), there)
        flows = (mean > self.minimum_flow) & (std > self.minimum_flow + self.tiny**0.5)
        return torch.logical_and(flows, days >= self.minimum_days)

    def _moments(self, known: Tensor, there: Tensor) -> tuple[Tensor, ...]:
        """Give weights, days, mean, errors and deviation of the observed flow."""
        weight = there.to(known.dtype)
        days = weight.sum(0).clamp(min=1.0)
        mean = known.sum(0) / days
        error = (known - mean) * weight
        return weight, days, mean, error, ((error**2).sum(0) / days + self.tiny).sqrt()


LOSSES: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "nse": NashSutcliffe,
    "log_nse": LogNashSutcliffe,
    "kge": KlingGupta,
}
