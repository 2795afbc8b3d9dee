"""A head that gives a mixture of normal or asymmetric Laplace distributions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from thalweg.models.distributions import Mixture
from thalweg.models.families import FAMILIES
from thalweg.models.head import Head

SMALLEST_SCALE = 1e-3  # share of the unit: keeps the likelihood of dry and constant rivers finite
ASYMMETRY = (0.01, 0.99)


class MixtureHead(Head):
    """A mixture of distributions of one family: heteroscedastic normal, normal mixture, or CMAL.

    Locations are ``centre + unit · raw``, scales ``unit · softplus(raw)``, asymmetries a sigmoid and weights
    a softmax of the rest (Bishop 1994, Mixture density networks; Klotz et al. 2022,
    10.5194/hess-26-1673-2022). The loss is the mean negative log-likelihood (nats).

    Parameters
    ----------
    family : name in :data:`thalweg.models.families.FAMILIES`.
    components : of the mixture.
    unit : of the network's output (mm/day), such as the deviation of the training target.
    floor : lowest possible value (mm/day), or None. Observations on it, and what the mixture has below,
        count as lying on the floor.
    located : whether the network also moves the locations away from the centre. Without it the
        ``centre`` is required, and the network decides the spread alone.
    beta : each day's loss is multiplied by its variance (in units², without gradient) to this power:
        0 is the likelihood; with 0.5 days of large spread still teach the mean (Seitzer et al. 2022,
        10.48550/arXiv.2203.09168).

    Raises
    ------
    ValueError
        When a parameter is out of range or the family is unknown.
    """

    def __init__(
        self,
        family: str = "normal",
        components: int = 1,
        unit: float = 1.0,
        floor: float | None = None,
        located: bool = True,
        beta: float = 0.0,
    ) -> None:
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}; there are {', '.join(FAMILIES)}")
        if components < 1 or not unit > 0.0 or not 0.0 <= beta <= 1.0:
            raise ValueError(
                f"components {components} must be 1 or more, unit {unit} above 0, beta {beta} in [0, 1]"
            )
        self.family, self.components, self.unit = FAMILIES[family], components, unit
        self.floor, self.located, self.beta = floor, located, beta
        fields = len(self.family.parameters) - (not located) + (components > 1)
        self.outputs = fields * components

    def distribution(self, raw: Tensor, centre: Tensor | None = None) -> Mixture:
        """Give the distribution of every day and site, ``(time, site)``.

        Raises
        ------
        ValueError
            When the number of outputs is wrong, or a head that is not ``located`` has no centre.
        """
        if raw.shape[-1] != self.outputs:
            raise ValueError(f"the network gives {raw.shape[-1]} outputs where the head needs {self.outputs}")
        if centre is None and not self.located:
            raise ValueError("a head that is not located needs a centre to lie around")
        fields = list(raw.reshape(*raw.shape[:-1], -1, self.components).unbind(-2))
        location = self.unit * fields.pop(0) if self.located else torch.zeros_like(fields[0])
        if centre is not None:
            location = location + centre.unsqueeze(-1)
        parameters = [location, self.unit * (softplus(fields.pop(0)) + SMALLEST_SCALE)]
        if "asymmetry" in self.family.parameters:
            least, most = ASYMMETRY
            parameters.append(least + (most - least) * torch.sigmoid(fields.pop(0)))
        weight = torch.log_softmax(fields[0], -1) if fields else torch.zeros_like(location)
        return Mixture(self.family, weight, parameters, self.floor)

    def compute(self, raw: Tensor, observed: Tensor, centre: Tensor | None) -> Tensor:
        """See :class:`Head`."""
        distribution = self.distribution(raw, centre)
        days = -distribution.log_density(observed)
        if self.beta == 0.0:
            return days
        return days * (distribution.variance.detach() / self.unit**2) ** self.beta

    def mean(self, raw: Tensor, centre: Tensor | None = None) -> Tensor:
        """See :class:`Head`."""
        return self.distribution(raw, centre).mean

    def forecast(self, raw: Tensor, centre: Tensor | None = None) -> dict[str, Tensor]:
        """See :class:`Head`: weight and the family's parameters, ``(component, time, site)``."""
        distribution = self.distribution(raw, centre)
        named = zip(
            ("weight", *self.family.parameters), (distribution.weight, *distribution.parameters), strict=True
        )
        return {name: values.movedim(-1, 0) for name, values in named}

    def quantile(self, raw: Tensor, levels: Sequence[float], centre: Tensor | None = None) -> Tensor:
        """See :class:`Head`."""
        return self.distribution(raw, centre).quantile(levels)

    def sample(
        self,
        raw: Tensor,
        count: int,
        generator: torch.Generator | None = None,
        centre: Tensor | None = None,
    ) -> Tensor:
        """See :class:`Head`."""
        return self.distribution(raw, centre).sample(count, generator)
