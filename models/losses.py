"""Losses over ``(time, site)``; days without an observation never count."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_DEVIATION = 0.1  # mm/day, keeps nearly dry rivers from ruling the loss (Kratzert et al. 2019)
SMALLEST_FLOW = 0.1  # mm/day, added before taking logarithms


class Loss:
    """Base of all losses: masks missing days, then calls :meth:`compute`."""

    def __call__(self, simulated: Tensor, observed: Tensor, deviation: Tensor) -> Tensor:
        """Give the loss, a scalar; zero when no day was observed.

        Parameters
        ----------
        simulated, observed : ``(time, site)`` (mm/day); NaN where not observed.
        deviation : ``(site,)`` standard deviation of the observed training flow (mm/day).
        """
        there = torch.isfinite(observed)
        return self.compute(simulated, torch.where(there, observed, 0.0), deviation, there)

    def compute(self, simulated: Tensor, observed: Tensor, deviation: Tensor, there: Tensor) -> Tensor:
        """Give the loss over the days where ``there`` is true; ``observed`` is zero elsewhere."""
        raise NotImplementedError


class MeanSquaredError(Loss):
    """Mean of squared errors ((mm/day)^2)."""

    def compute(self, simulated: Tensor, observed: Tensor, deviation: Tensor, there: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return _mean((simulated - observed) ** 2, there)


class NashSutcliffe(Loss):
    """Squared error over each site's variance: Kratzert et al. (2019), eq. 12, 10.5194/hess-23-5089-2019."""

    def compute(self, simulated: Tensor, observed: Tensor, deviation: Tensor, there: Tensor) -> Tensor:
        """See :class:`Loss`."""
        return _mean((simulated - observed) ** 2 / (deviation + SMALLEST_DEVIATION) ** 2, there)


class LogNashSutcliffe(Loss):
    """Squared error of logarithms: low flow counts as much as high flow. Flow below zero counts as zero."""

    def compute(self, simulated: Tensor, observed: Tensor, deviation: Tensor, there: Tensor) -> Tensor:
        """See :class:`Loss`."""
        error = torch.log(simulated.clamp(min=0.0) + SMALLEST_FLOW) - torch.log(
            observed.clamp(min=0.0) + SMALLEST_FLOW
        )
        return _mean(error**2, there)


class KlingGupta(Loss):
    """1 - KGE of each site's window, averaged: Gupta et al. (2009), 10.1016/j.jhydrol.2009.08.003.

    Sites with fewer than ``minimum_days`` observed days in the window are left out, and those whose
    mean or deviation is below ``minimum_flow`` (mm/day), where its ratios mean nothing.
    """

    minimum_days = 30
    minimum_flow = 1e-3

    def compute(self, simulated: Tensor, observed: Tensor, deviation: Tensor, there: Tensor) -> Tensor:
        """See :class:`Loss`."""
        weight = there.to(simulated.dtype)
        days = weight.sum(0).clamp(min=1.0)
        mean_s, mean_o = (simulated * weight).sum(0) / days, observed.sum(0) / days
        error_s, error_o = (simulated - mean_s) * weight, (observed - mean_o) * weight
        tiny = 1e-6
        std_s = ((error_s**2).sum(0) / days + tiny).sqrt()
        std_o = ((error_o**2).sum(0) / days + tiny).sqrt()
        correlation = (error_s * error_o).sum(0) / days / (std_s * std_o)
        terms = (
            (correlation - 1) ** 2 + (std_s / std_o - 1) ** 2 + ((mean_s + tiny) / (mean_o + tiny) - 1) ** 2
        )
        defined = (
            (days >= self.minimum_days)
            & (mean_o > self.minimum_flow)
            & (std_o > self.minimum_flow + tiny**0.5)
        )
        return _mean((terms + tiny).sqrt(), defined)


def _mean(values: Tensor, there: Tensor) -> Tensor:
    return torch.where(there, values, 0.0).sum() / there.sum().clamp(min=1)


LOSSES: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "nse": NashSutcliffe,
    "log_nse": LogNashSutcliffe,
    "kge": KlingGupta,
}
