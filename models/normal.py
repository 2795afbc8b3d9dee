"""The standard normal distribution function, its logarithm, and that of two correlated variables."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_DEEP = -20.0


def ndtr(z: Tensor) -> Tensor:
    """Give the standard normal distribution function."""
    share: Tensor = torch.special.ndtr(z)
    return share


def log_ndtr(z: Tensor) -> Tensor:
    """Give the logarithm of the standard normal distribution function.

    Below -20 by its asymptotic series (Abramowitz and Stegun 1964, 26.2.12), to 1e-10: the derivative of
    torch's own function loses its digits there.
    """
    deep = z < _DEEP
    usual: Tensor = torch.special.log_ndtr(torch.where(deep, 0.0, z))
    far = torch.where(deep, z, _DEEP)
    s = 1.0 / far**2
    series = torch.log1p(-s * (1.0 - s * (3.0 - s * (15.0 - 105.0 * s))))
    return torch.where(deep, -0.5 * far**2 - torch.log(-far) - 0.5 * math.log(2.0 * math.pi) + series, usual)


def bivariate_normal(h: Tensor, k: Tensor, correlation: Tensor) -> Tensor:
    """Give P(X < h, Y < k) of two standard normal variables: Owen (1956), 10.1214/aoms/1177728074."""
    tiny = torch.finfo(h.dtype).tiny
    h, k = torch.broadcast_tensors(h, k)  # type: ignore[no-untyped-call]
    h, k = torch.where(h == 0.0, tiny, h), torch.where(k == 0.0, tiny, k)
    root = torch.sqrt((1.0 - correlation) * (1.0 + correlation))
    half = 0.5 * (ndtr(h) + ndtr(k)) - 0.5 * ((h < 0.0) != (k < 0.0))
    return half - owen_t(h, (k / h - correlation) / root) - owen_t(k, (h / k - correlation) / root)


def owen_t(h: Tensor, slope: Tensor) -> Tensor:
    """Give Owen's T function, by 12 Gauss-Legendre nodes on [0, 1]."""
    steep, sign = slope.abs() > 1.0, torch.sign(slope)
    slope = slope.abs()
    gentle = torch.where(steep, 1.0 / slope.clamp(min=1.0), slope)
    height = torch.where(steep, h * slope.clamp(max=torch.finfo(h.dtype).max), h)
    x = gentle.unsqueeze(-1) * _NODES.to(h)
    inner = torch.exp(-0.5 * height.unsqueeze(-1) ** 2 * (1.0 + x**2)) / (1.0 + x**2)
    part = gentle * (inner * _WEIGHTS.to(h)).sum(-1) / (2.0 * math.pi)
    one, other = ndtr(h), ndtr(height)
    # T(h, a) = (F(h) + F(ah)) / 2 - F(h) F(ah) - T(ah, 1 / a) for h, a >= 0
    one, other = torch.maximum(one, 1.0 - one), torch.maximum(other, 1.0 - other)
    return sign * torch.where(steep, 0.5 * (one + other) - one * other - part, part)


def _gauss_legendre(count: int) -> tuple[Tensor, Tensor]:
    """Give nodes and weights on [0, 1] (Golub and Welsch 1969, 10.2307/2004418)."""
    k = torch.arange(1, count, dtype=torch.float64)
    beside = k / torch.sqrt(4.0 * k**2 - 1.0)
    nodes, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    return 0.5 * (nodes + 1.0), vectors[0] ** 2


_NODES, _WEIGHTS = _gauss_legendre(12)
