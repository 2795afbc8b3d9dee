"""Routing of runoff to the gauge by a gamma unit hydrograph."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from thalweg.models.engine import Backend, simulate
from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable

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


def route(runoff: Tensor, hydrograph: Tensor, backend: Backend = "auto") -> Tensor:
    """Convolve runoff with a unit hydrograph.

    Parameters
    ----------
    runoff : ``(time, site)`` (mm/day).
    hydrograph : ``(lag, site)`` from :func:`gamma_unit_hydrograph`.
    backend : see :func:`thalweg.models.engine.simulate`.

    Returns
    -------
    Tensor ``(time, site)`` (mm/day): discharge at the gauge. Runoff before the first day counts as
    zero, so the first ``lag - 1`` days are low.
    """
    if hydrograph.shape[0] == 1:
        return runoff * hydrograph[0]
    process = _channel(hydrograph.shape[0])
    shares = {
        item.name: share.unsqueeze(-1) for item, share in zip(process.parameters, hydrograph, strict=True)
    }
    found = simulate(process, {"runoff": runoff}, shares, backend=backend)
    return found.fluxes["discharge"].squeeze(-1)


@functools.cache
def _channel(length: int) -> ProcessModel:
    """Give the convolution as a process: water on its way is a state for each day still to go.

    So it takes the engine's time, forward and back, and no memory: the step is linear, and its derivative
    needs no state of any day.
    """

    def step(self: ProcessModel, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        joining = [share * forcing.runoff for share in parameter]
        arriving = [there + new for there, new in zip(state, joining[:-1], strict=True)]
        return self.CurrentState(*arriving[1:], joining[-1]), self.Fluxes(arriving[0])

    on_the_way = tuple(State(f"arriving_in_{day}", "mm", 0.0) for day in range(1, length))
    members = {
        "forcings": (Variable("runoff", "mm/day"),),
        "states": on_the_way,
        "parameters": tuple(Parameter(f"share_{lag}", "1", 0.0, 1.0) for lag in range(length)),
        "fluxes": (Variable("discharge", "mm/day"),),
        "balance": Balance(("runoff",), ("discharge",), tuple(item.name for item in on_the_way)),
        "step": step,
    }
    process: ProcessModel = type("Channel", (ProcessModel,), members)()
    return process
