"""What every trainable model is: inputs in, discharge and its explanation out."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from thalweg.models.inputs import Inputs


@dataclass(frozen=True)
class Prediction:
    """What a model gives for the days after warm-up.

    Attributes
    ----------
    target : ``(time, site)``, the simulated target (discharge in mm/day).
    fluxes, states : ``(time, site)`` means over components, by name; empty for a pure network and
        when no details were asked for.
    parameters : ``(site, component)``, or ``(site,)`` for routing, by name: the static ones, likewise.
    varying : ``(time, site)`` means over components of the parameters that vary in time, likewise.
    """

    target: Tensor
    fluxes: dict[str, Tensor] = field(default_factory=dict)
    states: dict[str, Tensor] = field(default_factory=dict)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    varying: dict[str, Tensor] = field(default_factory=dict)


class Model(nn.Module):
    """Base of calibrated physics, networks and hybrids."""

    def forward(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        """Simulate; the first ``warmup`` days only set the states and are left out of the result."""
        raise NotImplementedError

    def __call__(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        """Call :meth:`forward` (typed)."""
        prediction: Prediction = super().__call__(inputs, warmup, details)
        return prediction
