"""Families of distributions that mixtures are made of: normal and asymmetric Laplace.

Every function works elementwise on tensors that broadcast; ``parameters`` are those of
:attr:`Family.parameters` in that order. F is the distribution function, (x)+ is max(x, 0). All of them are
differentiable.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from thalweg.models.normal import bivariate_normal, log_ndtr, ndtr

_SQRT_PI, _SQRT_2PI = math.sqrt(math.pi), math.sqrt(2.0 * math.pi)


class Family:
    """What a mixture asks of its components.

    Attributes
    ----------
    name : by which files and experiments call it.
    parameters : names of a component's numbers: ``location`` and ``scale`` (mm/day), and others.
    """

    name: str
    parameters: tuple[str, ...]

    def log_density(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """Give the logarithm of the density at ``y`` (mm/day)."""
        raise NotImplementedError

    def log_cdf(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """Give log F(y)."""
        raise NotImplementedError

    def cdf(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """Give F(y)."""
        raise NotImplementedError

    def quantile(self, level: Tensor, *parameters: Tensor) -> Tensor:
        """Give the value (mm/day) below which a share of ``level`` lies."""
        raise NotImplementedError

    def moments(self, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean (mm/day) and variance ((mm/day)²)."""
        raise NotImplementedError

    def excess(self, c: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Give E(X - c)+ (mm/day) and E(X - c)+² ((mm/day)²)."""
        raise NotImplementedError

    def distance(self, a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> Tensor:
        """Give E|A - B| (mm/day) of two independent variables with the parameters ``a`` and ``b``."""
        raise NotImplementedError

    def below(self, c: Tensor, a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> Tensor:
        """Give the integral of F_a F_b from -∞ to ``c`` (mm/day)."""
        raise NotImplementedError


class Normal(Family):
    """Normal distribution; ``location`` is the mean and ``scale`` the standard deviation."""

    name = "normal"
    parameters = ("location", "scale")

    def log_density(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """See :class:`Family`."""
        location, scale = parameters
        return -0.5 * ((y - location) / scale) ** 2 - scale.log() - math.log(_SQRT_2PI)

    def log_cdf(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """See :class:`Family`."""
        location, scale = parameters
        return log_ndtr((y - location) / scale)

    def cdf(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """See :class:`Family`."""
        location, scale = parameters
        return ndtr((y - location) / scale)

    def quantile(self, level: Tensor, *parameters: Tensor) -> Tensor:
        """See :class:`Family`."""
        location, scale = parameters
        found: Tensor = location + scale * torch.special.ndtri(level)
        return found

    def moments(self, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Family`."""
        location, scale = parameters
        return location, scale**2

    def excess(self, c: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Family`."""
        location, scale = parameters
        over = location - c
        share, density = ndtr(over / scale), scale * _density(over / scale)
        return over * share + density, (scale**2 + over**2) * share + over * density

    def distance(self, a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> Tensor:
        """See :class:`Family`; Grimit et al. (2006), 10.1256/qj.05.235, eq. 5."""
        apart, spread = a[0] - b[0], torch.hypot(a[1], b[1])
        return apart * torch.erf(apart / spread / math.sqrt(2.0)) + 2.0 * spread * _density(apart / spread)

    def below(self, c: Tensor, a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> Tensor:
        """See :class:`Family`: by parts, down to the bivariate normal distribution function."""
        (m, s), (n, t) = a, b
        h, k, spread = (c - m) / s, (c - n) / t, torch.hypot(s, t)
        share_a, share_b = ndtr(h), ndtr(k)
        # probability that A is below c and B below A, and the product of both densities up to c
        first = 0.5 * share_a**2 if a is b else bivariate_normal(h, (m - n) / spread, -s / spread)
        middle = (m * t**2 + n * s**2) / spread**2
        product = _density((m - n) / spread) / spread * ndtr((c - middle) * spread / (s * t))
        return (
            (c - n) * share_a * share_b
            - (m - n) * first
            + s * _density(h) * share_b
            + t * _density(k) * share_a
            - spread**2 * product
        )


class AsymmetricLaplace(Family):
    """Two exponential tails: density ``τ (1 - τ) / b · exp(-(y - μ)(τ - [y < μ]) / b)``.

    ``location`` μ is its quantile τ = ``asymmetry``, in (0, 1); ``scale`` is b. The smaller τ, the longer
    the upper tail.

    Yu and Moyeed (2001), 10.1016/S0167-7152(01)00124-9; Klotz et al. (2022), 10.5194/hess-26-1673-2022.
    """

    name = "asymmetric_laplace"
    parameters = ("location", "scale", "asymmetry")

    def log_density(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """See :class:`Family`."""
        location, scale, tau = parameters
        error = y - location
        return (
            tau.log() + torch.log1p(-tau) - scale.log() - error * torch.where(error < 0, tau - 1, tau) / scale
        )

    def log_cdf(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """See :class:`Family`."""
        location, scale, tau = parameters
        error = y - location
        lower = tau.log() + (1.0 - tau) / scale * error.clamp(max=0.0)
        upper = torch.log1p(-(1.0 - tau) * torch.exp(-tau / scale * error.clamp(min=0.0)))
        return torch.where(error < 0, lower, upper)

    def cdf(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """See :class:`Family`."""
        location, scale, tau = parameters
        error = y - location
        tail = torch.exp(-error.abs() * torch.where(error < 0, 1.0 - tau, tau) / scale)
        return torch.where(error < 0, tau * tail, 1.0 - (1.0 - tau) * tail)

    def quantile(self, level: Tensor, *parameters: Tensor) -> Tensor:
        """See :class:`Family`."""
        location, scale, tau = parameters
        lower = scale / (1.0 - tau) * torch.log(level / tau)
        upper = -scale / tau * (torch.log1p(-level) - torch.log1p(-tau))
        return location + torch.where(level < tau, lower, upper)

    def moments(self, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Family`."""
        location, scale, tau = parameters
        left, right = (1.0 - tau) / scale, tau / scale
        return location + (1.0 - 2.0 * tau) / (left * tau), 1.0 / left**2 + 1.0 / right**2

    def excess(self, c: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Family`."""
        location, scale, tau = parameters
        left, right = (1.0 - tau) / scale, tau / scale
        mean, variance = self.moments(*parameters)
        under = tau * torch.exp(-left * (location - c).clamp(min=0.0)) / left
        over = (1.0 - tau) * torch.exp(-right * (c - location).clamp(min=0.0)) / right
        inside = c < location
        first = torch.where(inside, mean - c + under, over)
        second = torch.where(inside, variance + (mean - c) ** 2 - 2.0 * under / left, 2.0 * over / right)
        return first, second

    def distance(self, a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> Tensor:
        """See :class:`Family`: the integral of F_a (1 - F_b) + F_b (1 - F_a), piece by piece."""
        apart, left_i, right_i, tau_i, left_j, right_j, tau_j = _ordered(a, b)
        far_i, far_j = torch.exp(-right_i * apart), torch.exp(-left_j * apart)
        upper_i, upper_j = 1.0 - tau_i, 1.0 - tau_j
        lower = tau_i / left_i + tau_j * far_j / left_j - 2.0 * tau_i * tau_j * far_j / (left_i + left_j)
        between = (
            apart
            - upper_i * (1.0 - far_i) / right_i
            - tau_j * (1.0 - far_j) / left_j
            + 2.0 * upper_i * tau_j * _crossing(apart, left_j, right_i)
        )
        upper = upper_i * far_i / right_i + upper_j / right_j
        return lower + between + upper - 2.0 * upper_i * upper_j * far_i / (right_i + right_j)

    def below(self, c: Tensor, a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> Tensor:
        """See :class:`Family`: below the lower location, between the two and above the upper one."""
        apart, left_i, right_i, tau_i, left_j, right_j, tau_j = _ordered(a, b)
        depth = c - torch.minimum(a[0], b[0])
        under = torch.exp((left_i + left_j) * depth.clamp(max=0.0) - left_j * apart)
        lower = tau_i * tau_j * under / (left_i + left_j)
        # between: F_j - (1 - F_i) F_j over a stretch that ends at c or at the upper location
        stretch = torch.minimum(depth.clamp(min=0.0), apart)
        reach = torch.exp(-left_j * (apart - stretch))
        between = tau_j * reach * -torch.expm1(-left_j * stretch) / left_j - (
            1.0 - tau_i
        ) * tau_j * reach * _crossing(stretch, left_j, right_i)
        rest = (depth - apart).clamp(min=0.0)
        gone_i, gone_j = (1.0 - tau_i) * torch.exp(-right_i * apart), 1.0 - tau_j
        upper = (
            rest
            + gone_i * torch.expm1(-right_i * rest) / right_i
            + gone_j * torch.expm1(-right_j * rest) / right_j
            - gone_i * gone_j * torch.expm1(-(right_i + right_j) * rest) / (right_i + right_j)
        )
        return lower + between + upper


FAMILIES: dict[str, Family] = {family.name: family for family in (Normal(), AsymmetricLaplace())}


def _density(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z**2) / _SQRT_2PI


def _ordered(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Give the distance of two locations, and both rates and τ of the lower one and of the upper one."""
    swap = a[0] > b[0]
    rates = [((1.0 - tau) / scale, tau / scale, tau) for _, scale, tau in (a, b)]
    pairs = list(zip(*rates, strict=True))
    lower = [torch.where(swap, second, first) for first, second in pairs]
    upper = [torch.where(swap, first, second) for first, second in pairs]
    return (a[0] - b[0]).abs(), *lower, *upper


def _crossing(length: Tensor, rising: Tensor, falling: Tensor) -> Tensor:
    """Integrate exp(-falling u - rising (length - u)) over [0, length]."""
    slow, gap = torch.minimum(rising, falling), (rising - falling).abs() * length
    # (1 - exp(-gap)) / gap without cancellation or a division by zero
    small = gap < 1e-4
    safe = torch.where(small, 1.0, gap)
    share = torch.where(small, 1.0 - 0.5 * gap + gap**2 / 6.0, -torch.expm1(-safe) / safe)
    return length * torch.exp(-slow * length) * share
