"""Time stepping of process models."""

from thalweg.models.engine.fused import UnsupportedOperation
from thalweg.models.engine.simulation import Backend, Simulation, set_memory_budget, simulate

__all__ = ["Backend", "Simulation", "UnsupportedOperation", "set_memory_budget", "simulate"]
