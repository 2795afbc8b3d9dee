"""Heads by name: what turns a network's raw numbers into a distribution of the target."""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.models.head import Head
from thalweg.models.mixture_head import MixtureHead
from thalweg.models.quantile_head import LEVELS, QuantileHead

__all__ = ["KINDS", "LEVELS", "Head", "MixtureHead", "QuantileHead", "make_head"]

KINDS = {
    "gaussian": "mean and standard deviation of a normal distribution",
    "gaussian_mixture": "mixture of normal distributions",
    "cmal": "countable mixture of asymmetric Laplace distributions (Klotz et al. 2022)",
    "quantiles": "quantiles at given levels",
}


def make_head(
    kind: str,
    *,
    unit: float = 1.0,
    floor: float | None = None,
    components: int = 3,
    levels: Sequence[float] = LEVELS,
    located: bool = True,
    beta: float = 0.0,
) -> Head:
    """Build a head by its name in an experiment: a kind of ``KINDS``.

    ``components``, ``levels``, ``located`` and ``beta`` count only where the kind has them.

    Raises
    ------
    ValueError
        When the kind is unknown or a parameter out of range.
    """
    if kind == "quantiles":
        return QuantileHead(levels, unit, floor)
    if kind not in KINDS:
        raise ValueError(f"unknown head {kind!r}; there are {', '.join(KINDS)}")
    family = "asymmetric_laplace" if kind == "cmal" else "normal"
    return MixtureHead(family, 1 if kind == "gaussian" else components, unit, floor, located, beta)
