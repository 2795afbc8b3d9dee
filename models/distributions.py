"""Mixtures of normal or asymmetric Laplace distributions: densities, quantiles, samples, CRPS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.models.families import Family

_ITERATIONS, _PRECISION = 100, 1e-12


class Mixture:
    """A distribution of the target on every day at every site.

    Parameters
    ----------
    family : of the components.
    log_weight : ``(..., component)``, logarithms of shares that add up to 1.
    parameters : ``(..., component)`` each, in the order of ``family.parameters``: location and scale
        (mm/day), and the family's others.
    floor : no value is lower (mm/day): what the mixture has below lies on the floor itself, as in a river
        that is dry (a censored distribution; Tobin 1958, 10.2307/1907382). None for none.

    Raises
    ------
    ValueError
        When the number of parameters is not the family's.
    """

    def __init__(
        self, family: Family, log_weight: Tensor, parameters: Sequence[Tensor], floor: float | None = None
    ) -> None:
        if len(parameters) != len(family.parameters):
            raise ValueError(f"{family.name} has {len(family.parameters)} parameters, not {len(parameters)}")
        self.family = family
        self.log_weight = log_weight
        self.weight = log_weight.exp()
        self.parameters = tuple(parameters)
        self.floor = floor

    def log_density(self, y: Tensor) -> Tensor:
        """Give the log-likelihood (nats) of ``y`` (mm/day), ``(...)``; on the floor that of its share."""
        at = y.unsqueeze(-1)
        density = torch.logsumexp(self.log_weight + self.family.log_density(at, *self.parameters), -1)
        if self.floor is None:
            return density
        floor = torch.full_like(at, self.floor)
        share = torch.logsumexp(self.log_weight + self.family.log_cdf(floor, *self.parameters), -1)
        return torch.where(y > self.floor, density, share)

    def cdf(self, y: Tensor) -> Tensor:
        """Give the probability of a value up to ``y`` (mm/day), ``(...)``."""
        share = self._share(y)
        return share if self.floor is None else torch.where(y < self.floor, 0.0, share)

    def cdf_below(self, y: Tensor) -> Tensor:
        """Give the probability of a value lower than ``y``: 0 on the floor, otherwise as :meth:`cdf`."""
        share = self._share(y)
        return share if self.floor is None else torch.where(y <= self.floor, 0.0, share)

    @property
    def mean(self) -> Tensor:
        """Mean (mm/day), ``(...)``."""
        if self.floor is None:
            return self._average(self.family.moments(*self.parameters)[0])
        return self.floor + self._average(self._excess()[0])

    @property
    def variance(self) -> Tensor:
        """Variance ((mm/day)²), ``(...)``."""
        if self.floor is None:
            mean, variance = self.family.moments(*self.parameters)
            return self._average(variance + (mean - self.mean.unsqueeze(-1)) ** 2)
        first, second = self._excess()
        return (self._average(second) - self._average(first) ** 2).clamp(min=0.0)

    @torch.no_grad()
    def quantile(self, levels: Sequence[float]) -> Tensor:
        """Give the values (mm/day) below which shares of ``levels`` lie, ``(level, ...)``.

        Newton's method within the components' own quantiles, where it cannot leave; halved where it would.

        Raises
        ------
        ValueError
            When a level is not between 0 and 1.
        """
        if not all(0.0 < level < 1.0 for level in levels):
            raise ValueError(f"levels {list(levels)} must be between 0 and 1")
        found = torch.stack([self._quantile(level) for level in levels])
        return found if self.floor is None else found.clamp(min=self.floor)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``count`` values (mm/day) for each place, independently: ``(sample, ...)``.

        ``generator`` must be on the tensors' device. Days are drawn apart: a sample is no plausible series.
        """
        location = self.parameters[0]
        shape = (count, *location.shape[:-1])
        kind, device, tiny = location.dtype, location.device, torch.finfo(location.dtype).eps
        which, level = torch.rand((2, *shape), generator=generator, dtype=kind, device=device)
        index = (which.unsqueeze(-1) > self.weight.cumsum(-1)[..., :-1]).sum(-1, keepdim=True)
        level = level.clamp(tiny, 1.0 - tiny)
        chosen = [p.expand(*shape, -1).gather(-1, index).squeeze(-1) for p in self.parameters]
        drawn = self.family.quantile(level, *chosen)
        return drawn if self.floor is None else drawn.clamp(min=self.floor)

    def crps(self, y: Tensor) -> Tensor:
        """Give the continuous ranked probability score of ``y`` (mm/day), ``(...)``; 0 is perfect.

        ``E|X - y| - E|X - X'| / 2`` in closed form; with a floor less the integral of F² below it. Values
        under the floor count as on it.

        Gneiting and Raftery (2007), 10.1198/016214506000001437, eq. 21; of mixtures of normal distributions
        Grimit et al. (2006), 10.1256/qj.05.235.
        """
        at = y if self.floor is None else y.clamp(min=self.floor)
        mean, _ = self.family.moments(*self.parameters)
        over, _ = self.family.excess(at.unsqueeze(-1), *self.parameters)
        score = self._average(2.0 * over - mean) + at
        each = [tuple(p[..., k] for p in self.parameters) for k in range(self.weight.shape[-1])]
        for i, a in enumerate(each):
            for j, b in enumerate(each[: i + 1]):
                pair = self.weight[..., i] * self.weight[..., j] * (1.0 if i == j else 2.0)
                score = score - 0.5 * pair * self.family.distance(a, b)
                if self.floor is not None:
                    floor = torch.full_like(a[0], self.floor)
                    score = score - pair * self.family.below(floor, a, b)
        return score

    def _share(self, y: Tensor) -> Tensor:
        return self._average(self.family.cdf(y.unsqueeze(-1), *self.parameters))

    def _excess(self) -> tuple[Tensor, Tensor]:
        return self.family.excess(torch.full_like(self.parameters[0], self.floor or 0.0), *self.parameters)

    def _average(self, values: Tensor) -> Tensor:
        return (self.weight * values).sum(-1)

    def _quantile(self, level: float) -> Tensor:
        """Solve for one level, going on only where the last step was not small enough."""
        shape, kind = self.parameters[0].shape, self.parameters[0].dtype
        # single precision would leave no digits where a narrow component stands far from zero
        parts = [part.double().reshape(-1, shape[-1]) for part in (self.log_weight, *self.parameters)]
        own = self.family.quantile(torch.full_like(parts[1], level), *parts[1:])
        low, high = own.amin(-1), own.amax(-1)
        x = (parts[0].exp() * own).sum(-1).clamp(low, high)
        found, width, left = x.clone(), high - low, torch.arange(len(x), device=x.device)
        for _ in range(_ITERATIONS if shape[-1] > 1 else 0):
            some = Mixture(self.family, parts[0], parts[1:])
            error = some.cdf(x) - level
            low, high = torch.where(error <= 0.0, x, low), torch.where(error >= 0.0, x, high)
            newton = x - error / some.log_density(x).exp()
            sure = (newton > low) & (newton < high) & (2.0 * (newton - x).abs() <= width)
            step = torch.where(sure, newton, 0.5 * (low + high))
            width = (step - x).abs()
            more = (width > _PRECISION * (1.0 + x.abs())) & (error.abs() > _PRECISION)
            found[left] = torch.where(error.abs() > _PRECISION, step, x)
            if not bool(more.any()):
                break
            left, x, low, high, width = (part[more] for part in (left, step, low, high, width))
            parts = [part[more] for part in parts]
        return found.to(kind).reshape(shape[:-1])
