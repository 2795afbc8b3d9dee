"""LSTM over forcing and attributes, many-to-many."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thalweg.models.inputs import Inputs
from thalweg.models.model import Model, Prediction
from thalweg.models.precision import LowerPrecision


class SequenceNetwork(LowerPrecision, nn.Module):
    """LSTM that gives ``outputs`` numbers a day and site.

    Static attributes are appended to each day's forcing (Kratzert et al. 2019,
    10.5194/hess-23-5089-2019). The forget gate starts open (bias 3), as there.
    """

    def __init__(self, variables: int, attributes: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(variables + attributes, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, outputs)
        with torch.no_grad():
            dict(self.lstm.named_parameters())["bias_hh_l0"][hidden : 2 * hidden] = 3.0

    def forward(self, inputs: Inputs, warmup: int) -> Tensor:
        """Give ``(time - warmup, site, output)``; the warm-up days only set the cell's state."""
        days = inputs.sequence.shape[0]
        static = inputs.attributes.unsqueeze(0).expand(days, -1, -1)
        with self.lowered(inputs.sequence):
            series, _ = self.lstm(torch.cat([inputs.sequence, static], dim=-1))
            outputs: Tensor = self.head(self.dropout(series[warmup:]))
        return outputs.to(inputs.sequence.dtype)


class Lstm(Model):
    """Rainfall to discharge by an LSTM alone: one pass over 730 days gives 365 targets.

    Parameters
    ----------
    scale : unit of the output (mm/day), such as the deviation of the training target. Discharge is
        ``scale * softplus(output)`` and so never negative.
    """

    def __init__(self, variables: int, attributes: int, hidden: int, dropout: float, scale: float) -> None:
        super().__init__()
        self.network = SequenceNetwork(variables, attributes, hidden, 1, dropout)
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        """Simulate; see :class:`Model`. There are no details: a network has no fluxes."""
        return Prediction(self.scale * nn.functional.softplus(self.network(inputs, warmup).squeeze(-1)))
