"""Lower precision for networks while they train; physics, losses and weights stay as they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class LowerPrecision:
    """Part of a network that can compute in a lower precision.

    Attributes
    ----------
    precision : of the products of its weights while it trains (automatic mixed precision: Micikevicius et al.
        2018, 10.48550/arXiv.1710.03740); None: that of its weights.
    """

    precision: torch.dtype | None = None
    training: bool

    def lowered(self, inputs: Tensor) -> torch.autocast:
        """Give the context to compute in; what comes out is to be brought back to the type of ``inputs``."""
        kind = self.precision if self.training else None
        return torch.autocast(inputs.device.type, kind or torch.bfloat16, enabled=kind is not None)


def set_precision(model: nn.Module, name: str, device: torch.device) -> torch.amp.GradScaler | None:
    """Let all networks of a model train in a precision; gives what scales their gradients, if they need it.

    Raises
    ------
    ValueError
        For fp16 without a GPU: its smallest gradients would be lost.
    """
    if name == "fp16" and device.type != "cuda":
        raise ValueError("training.precision: fp16 needs a GPU (resources.gpus_per_worker); bf16 does not")
    for module in model.modules():
        if isinstance(module, LowerPrecision):
            module.precision = PRECISIONS[name]
    return torch.amp.GradScaler(device.type) if name == "fp16" else None
