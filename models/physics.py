"""A process model with given parameters, routed to the gauge: what calibration and hybrids share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from thalweg.models.engine import Backend, simulate
from thalweg.models.engine.weighted import WEIGHT
from thalweg.models.inputs import Inputs
from thalweg.models.model import Prediction
from thalweg.models.process import ProcessModel, names
from thalweg.models.raw import of_raw, to_range
from thalweg.models.routing import LENGTH, ROUTING, gamma_unit_hydrograph, route


def simulate_routed(
    process: ProcessModel,
    inputs: Inputs,
    raw: Mapping[str, Tensor],
    raw_routing: Mapping[str, Tensor],
    raw_weights: Tensor | None = None,
    *,
    target: str,
    warmup: int,
    details: bool = False,
    backend: Backend = "auto",
) -> Prediction:
    """Simulate all components, average them, and route the average of ``target`` to the gauge.

    Parameters
    ----------
    raw : ``(site, component)`` or ``(time, site, component)`` by name of the parameter: any numbers,
        mapped into the parameters' ranges by :func:`thalweg.models.raw.to_range`.
    raw_routing : ``(site,)`` by name of :data:`thalweg.models.routing.ROUTING`, likewise; empty for none.
    raw_weights : ``(site, component)``, any numbers: components count by their softmax; alike if absent.
    target : the flux that is observed at the gauge (mm/day).
    warmup : days before the result; those that feed the routing keep their gradient.
    """
    routing = {item.name: to_range(raw_routing[item.name], item) for item in ROUTING if raw_routing}
    lead = min(LENGTH - 1, warmup) if routing else 0
    weights = None if raw_weights is None else torch.softmax(raw_weights, -1)
    result = simulate(
        of_raw(process),
        {name: inputs.forcing[name] for name in names(process.forcings)},
        raw,
        warmup=warmup - lead,
        fluxes=None if details else (target,),
        states=names(process.states) if details else (),
        weights="mean" if weights is None else weights,
        backend=backend,
    )
    simulated = result.fluxes[target]
    if routing:
        shape, timescale = (routing[item.name] for item in ROUTING)
        hydrograph = gamma_unit_hydrograph(shape, timescale)
        simulated = route(simulated, hydrograph, backend)
    if not details:
        return Prediction(simulated[lead:])
    parameters = {item.name: to_range(raw[item.name], item) for item in process.parameters}
    return Prediction(
        simulated[lead:],
        fluxes={name: flux[lead:] for name, flux in result.fluxes.items()},
        states={name: state[lead:] for name, state in result.states.items()},
        parameters={
            **{name: p for name, p in parameters.items() if p.dim() == 2},
            **routing,
            **({} if weights is None else {WEIGHT: weights}),
        },
        varying={name: _average(p[warmup:], weights) for name, p in parameters.items() if p.dim() == 3},
    )


def _average(series: Tensor, weights: Tensor | None) -> Tensor:
    return series.mean(-1) if weights is None else (series * weights).sum(-1)
