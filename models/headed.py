"""Models that give a distribution: an LSTM with a head, and physics with a network beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.models.head import Head
from thalweg.models.inputs import Inputs
from thalweg.models.model import Model, Prediction
from thalweg.models.networks.lstm import SequenceNetwork
from thalweg.models.networks.mlp import mlp

OWN = 2  # what the network beside physics sees of the simulation: its height and its rise


class HeadedLstm(Model):
    """Rainfall to a distribution of discharge by an LSTM alone.

    Klotz et al. (2022), 10.5194/hess-26-1673-2022.

    Parameters
    ----------
    head : takes the LSTM's outputs; it must move its location itself, for there is no centre.
    """

    def __init__(self, variables: int, attributes: int, hidden: int, dropout: float, head: Head) -> None:
        super().__init__()
        self.head = head
        self.network = SequenceNetwork(variables, attributes, hidden, head.outputs, dropout)

    def forward(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        """Simulate; see :class:`Model`. There are no details: a network has no fluxes."""
        assert self.head is not None
        raw = self.network(inputs, warmup)
        return Prediction(self.head.mean(raw), raw=raw)


class HeadedPhysics(Model):
    """Calibrated physics or a hybrid, and a network beside it that says how wrong it may be.

    The physics gives the centre of the distribution. A multilayer perceptron gives the head the rest, each
    day from the scaled forcing, the attributes, and the simulation itself: the logarithm of
    its height, ``ln(1 + q / unit)``, and how much that rose since the day before, since floods and their
    rising limbs are simulated worse than recessions. Both are trained together by the head's loss. The
    network is told what is simulated without a gradient, so that it cannot bend the physics to its needs.

    Parameters
    ----------
    physics : simulates the centre (mm/day).
    variables, attributes : numbers of (scaled) forcings and attributes.
    hidden : widths of the network's layers.
    unit : of the simulated target (mm/day), above 0.
    """

    def __init__(
        self,
        physics: Model,
        head: Head,
        variables: int,
        attributes: int,
        hidden: Sequence[int] = (32, 32),
        unit: float = 1.0,
    ) -> None:
        super().__init__()
        self.physics = physics
        self.head = head
        self.beside = mlp(variables + attributes + OWN, hidden, head.outputs)
        self.unit = unit

    def forward(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        """Simulate; see :class:`Model`."""
        assert self.head is not None
        simulated = self.physics(inputs, warmup, details)
        centre = simulated.target
        raw = self.beside(self._seen(inputs, centre.detach(), warmup))
        return replace(simulated, target=self.head.mean(raw, centre), raw=raw, centre=centre)

    def _seen(self, inputs: Inputs, centre: Tensor, warmup: int) -> Tensor:
        """Give what the network is told of each day and site, ``(time, site, input)``."""
        height = torch.log1p(centre.clamp(min=0.0) / self.unit)
        rise = torch.cat([torch.zeros_like(height[:1]), height.diff(dim=0)])
        static = inputs.attributes.unsqueeze(0).expand(len(height), -1, -1)
        own = torch.stack([height, rise], -1)
        return torch.cat([inputs.sequence[warmup:], static, own], -1)
