"""What every trainable model is: inputs in, discharge and its explanation out."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from thalweg.models.head import Head
from thalweg.models.inputs import Inputs


@dataclass(frozen=True)
class Prediction:
    """What a model gives for the days after warm-up.

    Attributes
    ----------
    target : ``(time, site)``, the simulated target (discharge in mm/day); of a model with a head the mean of
        its distribution.
    fluxes, states : ``(time, site)`` means over components, by name; empty for a pure network and
        when no details were asked for.
    parameters : ``(site, component)``, or ``(site,)`` for routing, by name: the static ones, likewise.
    varying : ``(time, site)`` means over components of the parameters that vary in time, likewise.
    raw : ``(time, site, output)``, what a model with a head gives its head; None without one.
    centre : ``(time, site)`` (mm/day), what physics simulated for the head to lie around; None without it.
    """

    target: Tensor
    fluxes: dict[str, Tensor] = field(default_factory=dict)
    states: dict[str, Tensor] = field(default_factory=dict)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    varying: dict[str, Tensor] = field(default_factory=dict)
    raw: Tensor | None = None
    centre: Tensor | None = None


class Model(nn.Module):
    """Base of calibrated physics, networks and hybrids.

    Attributes
    ----------
    head : what makes a distribution of the target, where the model gives one: its loss is then the head's.
    """

    head: Head | None = None

    def forward(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        """Simulate; the first ``warmup`` days only set the states and are left out of the result."""
        raise NotImplementedError

    def __call__(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        """Call :meth:`forward` (typed)."""
        prediction: Prediction = super().__call__(inputs, warmup, details)
        return prediction
