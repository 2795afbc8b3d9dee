"""Time stepping of process models."""

from thalweg.models.engine.fused import UnsupportedOperation
from thalweg.models.engine.simulation import Backend, Simulation, simulate

__all__ = ["Backend", "Simulation", "UnsupportedOperation", "simulate"]
