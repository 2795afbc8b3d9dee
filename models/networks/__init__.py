"""Networks."""

from thalweg.models.networks.lstm import Lstm, SequenceNetwork
from thalweg.models.networks.mlp import mlp

__all__ = ["Lstm", "SequenceNetwork", "mlp"]
