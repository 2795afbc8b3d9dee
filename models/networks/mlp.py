"""A multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from thalweg.models.precision import LowerPrecision


class Mlp(LowerPrecision, nn.Sequential):
    """Layers one after the other."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Give the outputs, ``(..., output)``, of the type of the inputs."""
        with self.lowered(inputs):
            outputs: Tensor = super().forward(inputs)  # type: ignore[no-untyped-call]
        return outputs.to(inputs.dtype)


def mlp(inputs: int, hidden: Sequence[int], outputs: int, dropout: float = 0.0) -> Mlp:
    """Build ``inputs -> hidden... -> outputs`` with ReLU and dropout between; the last layer is linear."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        inputs = width
    return Mlp(*layers, nn.Linear(inputs, outputs))
