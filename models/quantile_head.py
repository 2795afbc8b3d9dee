"""A head that gives quantiles instead of a distribution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import softplus

from thalweg.models.head import Head

LEVELS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)


class QuantileHead(Head):
    """Quantiles at given levels, without a distribution's shape; they never cross.

    The middle level is ``centre + unit · raw``; softplus steps lead up and down from it. The loss is the mean
    over levels of twice the pinball loss (mm/day), which is near the CRPS where levels are dense (Koenker and
    Bassett 1978, 10.2307/1913643; Gneiting and Raftery 2007, 10.1198/016214506000001437).

    Between levels the distribution is linear, and beyond the outer ones it ends: its mean and samples have no
    tails.

    Parameters
    ----------
    levels : rising, in (0, 1).
    unit, floor : as for :class:`MixtureHead`.

    Raises
    ------
    ValueError
        When levels do not rise within (0, 1), or the unit is not above 0.
    """

    def __init__(
        self, levels: Sequence[float] = LEVELS, unit: float = 1.0, floor: float | None = None
    ) -> None:
        edges = [0.0, *levels, 1.0]
        if not levels or any(a >= b for a, b in pairwise(edges)):
            raise ValueError(f"levels {list(levels)} must rise, above 0 and below 1")
        if not unit > 0.0:
            raise ValueError(f"unit {unit} must be above 0")
        self.levels, self.unit, self.floor = tuple(levels), unit, floor
        self.outputs = len(self.levels)

    def values(self, raw: Tensor, centre: Tensor | None = None) -> Tensor:
        """Give the quantiles at the head's own levels (mm/day), ``(time, site, level)``."""
        if raw.shape[-1] != self.outputs:
            raise ValueError(f"the network gives {raw.shape[-1]} outputs where the head needs {self.outputs}")
        climbed = torch.cat([torch.zeros_like(raw[..., :1]), softplus(raw[..., 1:]).cumsum(-1)], -1)
        middle = self.outputs // 2
        found = self.unit * (raw[..., :1] + climbed - climbed[..., middle : middle + 1])
        return found if centre is None else found + centre.unsqueeze(-1)

    def compute(self, raw: Tensor, observed: Tensor, centre: Tensor | None) -> Tensor:
        """See :class:`Head`."""
        values = self.values(raw, centre)
        error = observed.unsqueeze(-1) - values
        level = torch.tensor(self.levels, dtype=raw.dtype, device=raw.device)
        return 2.0 * torch.maximum(level * error, (level - 1.0) * error).mean(-1)

    def mean(self, raw: Tensor, centre: Tensor | None = None) -> Tensor:
        """See :class:`Head`."""
        values = self._floored(self.values(raw, centre))
        edges = [0.0, *self.levels, 1.0]
        # trapezoids between levels, and the outer quantiles for what lies beyond them
        share = [0.5 * (edges[k + 2] - edges[k]) for k in range(self.outputs)]
        share[0] += 0.5 * edges[1]
        share[-1] += 0.5 * (1.0 - edges[-2])
        return (values * torch.tensor(share, dtype=raw.dtype, device=raw.device)).sum(-1)

    def forecast(self, raw: Tensor, centre: Tensor | None = None) -> dict[str, Tensor]:
        """See :class:`Head`: ``quantiles`` at the head's own levels, ``(level, time, site)``."""
        return {"quantiles": self._floored(self.values(raw, centre)).movedim(-1, 0)}

    def quantile(self, raw: Tensor, levels: Sequence[float], centre: Tensor | None = None) -> Tensor:
        """See :class:`Head`.

        Raises
        ------
        ValueError
            When a level lies outside the head's own: it was not learned.
        """
        wanted = torch.tensor(list(levels), dtype=raw.dtype, device=raw.device)
        if min(levels) < self.levels[0] or max(levels) > self.levels[-1]:
            raise ValueError(
                f"levels {list(levels)} must lie within {self.levels[0]:g} to {self.levels[-1]:g}, as learned"
            )
        values = self._floored(self.values(raw.detach(), None if centre is None else centre.detach()))
        return self._between(values, wanted.view(-1, *[1] * (raw.dim() - 1)))

    def sample(
        self,
        raw: Tensor,
        count: int,
        generator: torch.Generator | None = None,
        centre: Tensor | None = None,
    ) -> Tensor:
        """See :class:`Head`."""
        values = self._floored(self.values(raw, centre))
        shape = (count, *raw.shape[:-1])
        level = torch.rand(shape, generator=generator, dtype=raw.dtype, device=raw.device)
        return self._between(values, level.clamp(self.levels[0], self.levels[-1]))

    def _between(self, values: Tensor, level: Tensor) -> Tensor:
        """Interpolate ``(..., level)`` quantiles at levels of shape ``(n, ...)``."""
        if self.outputs == 1:
            return values[..., 0].expand(level.shape[0], *values.shape[:-1])
        own = torch.tensor(self.levels, dtype=values.dtype, device=values.device)
        above = torch.searchsorted(own, level.contiguous()).clamp(1, self.outputs - 1)
        share = ((level - own[above - 1]) / (own[above] - own[above - 1])).clamp(0.0, 1.0)
        every = values.unsqueeze(0).expand(level.shape[0], *values.shape)
        index = above.expand(every.shape[:-1]).unsqueeze(-1)
        low, high = (every.gather(-1, at).squeeze(-1) for at in (index - 1, index))
        return low + share * (high - low)

    def _floored(self, values: Tensor) -> Tensor:
        return values if self.floor is None else values.clamp(min=self.floor)
