"""What every head is: raw numbers of a network in, a distribution of the target and its loss out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Head:
    """Base of all heads.

    A head has no weights of its own. In a hybrid the physics gives the ``centre`` that the distribution lies
    around, and a network the rest. In every method ``raw`` is ``(time, site, output)`` and ``centre``
    ``(time, site)`` (mm/day) or None.

    Attributes
    ----------
    outputs : raw numbers that the network must give a day and site.
    floor : lowest possible value of the target (mm/day), or None.
    """

    outputs: int
    floor: float | None

    def loss(self, raw: Tensor, observed: Tensor, centre: Tensor | None = None) -> Tensor:
        """Give the loss, a scalar, over the days where ``observed`` ``(time, site)`` (mm/day) is not NaN.

        It is zero when no day was observed.
        """
        return self.total(raw, observed, centre) / torch.isfinite(observed).sum().clamp(min=1)

    def total(self, raw: Tensor, observed: Tensor, centre: Tensor | None = None) -> Tensor:
        """Give the sum of the loss over the observed days, of which :meth:`loss` is the mean."""
        there = torch.isfinite(observed)
        days = self.compute(raw, torch.where(there, observed, 0.0), centre)
        return torch.where(there, days, 0.0).sum()

    def compute(self, raw: Tensor, observed: Tensor, centre: Tensor | None) -> Tensor:
        """Give each day's loss, ``(time, site)``; ``observed`` has no NaN."""
        raise NotImplementedError

    def mean(self, raw: Tensor, centre: Tensor | None = None) -> Tensor:
        """Give the mean of the distribution (mm/day), ``(time, site)``."""
        raise NotImplementedError

    def forecast(self, raw: Tensor, centre: Tensor | None = None) -> dict[str, Tensor]:
        """Give the numbers that the distribution is made of by name, ``(..., time, site)`` each.

        They are those that :func:`thalweg.evaluation.uncertainty.probabilistic.probabilistic_skill` takes.
        """
        raise NotImplementedError

    def quantile(self, raw: Tensor, levels: Sequence[float], centre: Tensor | None = None) -> Tensor:
        """Give quantiles (mm/day), ``(level, time, site)``; no gradient flows through them."""
        raise NotImplementedError

    def sample(
        self,
        raw: Tensor,
        count: int,
        generator: torch.Generator | None = None,
        centre: Tensor | None = None,
    ) -> Tensor:
        """Draw ``count`` values for each day and site (mm/day), ``(sample, time, site)``, days apart."""
        raise NotImplementedError
