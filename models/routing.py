"""Routing of runoff to the gauge by a gamma unit hydrograph."""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.models.process import Parameter

# Ranges of Feng et al. (2022), 10.1029/2022WR032404.
ROUTING = (
    Parameter("routing_shape", "1", 0.1, 3.0, "shape a of the gamma unit hydrograph"),
    Parameter("routing_timescale", "day", 0.5, 7.0, "scale tau of the gamma unit hydrograph"),
)
# Days, as there. What would arrive later is left out and the rest scaled up: for the slowest hydrograph of
# these ranges that is two thirds, so that it is in effect a faster one.
LENGTH = 15


def gamma_unit_hydrograph(shape: Tensor, timescale: Tensor, length: int = LENGTH) -> Tensor:
    """Give the share of a day's runoff that arrives 0, 1, 2, ... days later.

    The density ``t^(a-1) exp(-t/tau)`` is taken at the middle of each day and scaled to sum to one,
    so that routing conserves water (Feng et al. 2022, eq. 12 and 13).

    Parameters
    ----------
    shape, timescale : ``(site,)``; a (-) and tau (day), both above zero.
    length : days after which nothing arrives.

    Returns
    -------
    Tensor ``(lag, site)``; columns sum to one.
    """
    middle = torch.arange(length, dtype=shape.dtype, device=shape.device).unsqueeze(1) + 0.5
    logarithm = (shape - 1.0) * middle.log() - middle / timescale
    return torch.softmax(logarithm, dim=0)


def route(runoff: Tensor, hydrograph: Tensor) -> Tensor:
    """Convolve runoff with a unit hydrograph.

    Parameters
    ----------
    runoff : ``(time, site)`` (mm/day).
    hydrograph : ``(lag, site)`` from :func:`gamma_unit_hydrograph`.

    Returns
    -------
    Tensor ``(time, site)`` (mm/day): discharge at the gauge. Runoff before the first day counts as
    zero, so the first ``lag - 1`` days are low.
    """
    lags = hydrograph.shape[0]
    padded = torch.nn.functional.pad(runoff, (0, 0, lags - 1, 0))
    windows = padded.unfold(0, lags, 1)  # (time, site, lag), oldest first
    return torch.einsum("tsl,ls->ts", windows, hydrograph.flip(0))
