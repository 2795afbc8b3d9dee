"""Networks joined to process models."""

from thalweg.models.hybrids.parameter_learning import Hybrid

__all__ = ["Hybrid"]
