"""A process model with given parameters, routed to the gauge: what calibration and hybrids share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from thalweg.models.engine import Backend, simulate
from thalweg.models.inputs import Inputs
from thalweg.models.model import Prediction
from thalweg.models.process import Parameter, ProcessModel, names
from thalweg.models.routing import LENGTH, ROUTING, gamma_unit_hydrograph, route


def to_range(raw: Tensor, parameter: Parameter) -> Tensor:
    """Map any real number into the parameter's range by a scaled sigmoid (same shape).

    The gradient is finite everywhere and tends to zero at the bounds.
    """
    return parameter.lower + (parameter.upper - parameter.lower) * torch.sigmoid(raw)


def simulate_routed(
    process: ProcessModel,
    inputs: Inputs,
    parameters: Mapping[str, Tensor],
    routing: Mapping[str, Tensor],
    *,
    target: str,
    warmup: int,
    details: bool = False,
    backend: Backend = "auto",
) -> Prediction:
    """Simulate all components, average them, and route the mean of ``target`` to the gauge.

    Parameters
    ----------
    parameters : ``(site, component)`` or ``(time, site, component)``, physical units, by name.
    routing : ``(site,)`` by name, see :data:`thalweg.models.routing.ROUTING`; empty for none.
    target : the flux that is observed at the gauge (mm/day).
    warmup : days before the result; those that feed the routing keep their gradient.
    """
    lead = min(LENGTH - 1, warmup) if routing else 0
    result = simulate(
        process,
        {name: inputs.forcing[name] for name in names(process.forcings)},
        parameters,
        warmup=warmup - lead,
        fluxes=None if details else (target,),
        states=names(process.states) if details else (),
        backend=backend,
    )
    simulated = result.fluxes[target].mean(-1)
    if routing:
        hydrograph = gamma_unit_hydrograph(*(routing[item.name] for item in ROUTING))
        simulated = route(simulated, hydrograph)
    if not details:
        return Prediction(simulated[lead:])
    return Prediction(
        simulated[lead:],
        fluxes={name: flux[lead:].mean(-1) for name, flux in result.fluxes.items()},
        states={name: state[lead:].mean(-1) for name, state in result.states.items()},
        parameters={
            **{name: p for name, p in parameters.items() if p.dim() == 2},
            **routing,
        },
        varying={name: p[warmup:].mean(-1) for name, p in parameters.items() if p.dim() == 3},
    )
