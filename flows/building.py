"""From an experiment's model section to a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.flows.derived import missing_forcings
from thalweg.flows.experiment import CalibratedModel, HybridModel, LstmModel, MlpNetwork
from thalweg.flows.head_spec import COMPONENTS
from thalweg.models.calibrated import Calibrated
from thalweg.models.headed import HeadedLstm, HeadedPhysics
from thalweg.models.heads import LEVELS, Head, make_head
from thalweg.models.hybrids import Hybrid
from thalweg.models.model import Model
from thalweg.models.networks import Lstm
from thalweg.models.process import ProcessModel
from thalweg.models.processes import find_process

BESIDE = (32, 32)  # widths of the network that gives the spread around physics


def build_model(
    spec: CalibratedModel | LstmModel | HybridModel,
    *,
    attributes: Tensor,
    donors: Tensor,
    forcings: Sequence[str],
    target: str,
    scale: float,
    seed: int,
) -> Model:
    """Build a model with random weights drawn from ``seed``.

    Parameters
    ----------
    attributes : ``(site, attribute)``, scaled, of the training sites.
    donors : ``(site,)``, true for the training sites with observations.
    forcings : names of the forcings given to the model.
    target : name of the observed variable, a flux of the process.
    scale : unit of a pure network's output and of a distribution's spread, in the target's units.

    Raises
    ------
    ValueError
        When the process lacks the target among its fluxes, or needs a forcing that is not given.
    """
    torch.manual_seed(seed)
    width, variables = attributes.shape[1], len(forcings)
    head = None if spec.head is None else _head(spec, target, scale)
    if isinstance(spec, LstmModel):
        if head is not None:
            return HeadedLstm(variables, width, spec.hidden, spec.dropout, head)
        return Lstm(variables, width, spec.hidden, spec.dropout, scale)
    physics = _physics(spec, attributes, donors, forcings, target)
    if head is None:
        return physics
    assert spec.head is not None
    hidden = BESIDE if spec.head.hidden is None else spec.head.hidden
    return HeadedPhysics(physics, head, variables, width, hidden, scale)


def _physics(
    spec: CalibratedModel | HybridModel,
    attributes: Tensor,
    donors: Tensor,
    forcings: Sequence[str],
    target: str,
) -> Calibrated | Hybrid:
    """Build the process model that is calibrated or learns its parameters."""
    process = find_process(spec.process)
    fluxes = [flux.name for flux in process.fluxes]
    if target not in fluxes:
        raise ValueError(f"process {spec.process!r} gives no {target!r}; its fluxes are {', '.join(fluxes)}")
    missing = missing_forcings(process, forcings)
    if missing:
        raise ValueError(f"process {spec.process!r} needs {', '.join(missing)}: add it to data.forcings")
    routing = _routing(spec, process, target)
    if isinstance(spec, CalibratedModel):
        return Calibrated(
            process,
            attributes,
            donors,
            components=spec.components,
            learned_weights=spec.weights == "learned",
            routing=routing,
            target=target,
        )
    width, variables = attributes.shape[1], len(forcings)
    if width == 0:
        raise ValueError("a hybrid maps attributes to parameters, and the store or data.attributes has none")
    network = spec.network
    if isinstance(network, MlpNetwork):
        hidden, varying_hidden = network.hidden, 0
    else:
        hidden, varying_hidden = network.static_hidden, network.hidden
    return Hybrid(
        process,
        width,
        variables,
        components=spec.components,
        hidden=hidden,
        dropout=network.dropout,
        varying=spec.varying,
        varying_hidden=varying_hidden,
        learned_weights=spec.weights == "learned",
        routing=routing,
        target=target,
    )


def _head(spec: CalibratedModel | LstmModel | HybridModel, target: str, scale: float) -> Head:
    """Build the head; discharge is never negative, so that a distribution of it ends at zero."""
    assert spec.head is not None
    given = spec.head
    alone = isinstance(spec, LstmModel)
    return make_head(
        given.kind,
        unit=scale,
        floor=0.0 if target == "discharge" else None,
        components=given.components or COMPONENTS,
        levels=given.levels or LEVELS,
        located=alone if given.located is None else given.located,
        beta=given.beta or 0.0,
    )


def _routing(spec: CalibratedModel | HybridModel, process: ProcessModel, target: str) -> bool:
    """Tell whether a unit hydrograph brings the target to the gauge."""
    if spec.routing is None:
        return target == "discharge" and not process.routed
    if spec.routing and target != "discharge":
        raise ValueError(f"only discharge is routed to the gauge, not {target!r}: leave out `routing`")
    return spec.routing
