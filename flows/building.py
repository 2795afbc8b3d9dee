"""From an experiment's model section to a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.flows.derived import missing_forcings
from thalweg.flows.experiment import CalibratedModel, HybridModel, LstmModel, MlpNetwork
from thalweg.models.calibrated import Calibrated
from thalweg.models.hybrids import Hybrid
from thalweg.models.model import Model
from thalweg.models.networks import Lstm
from thalweg.models.process import ProcessModel
from thalweg.models.processes import find_process


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
    scale : unit of a pure network's output, in the target's units.

    Raises
    ------
    ValueError
        When the process lacks the target among its fluxes, or needs a forcing that is not given.
    """
    torch.manual_seed(seed)
    width, variables = attributes.shape[1], len(forcings)
    if isinstance(spec, LstmModel):
        return Lstm(variables, width, spec.hidden, spec.dropout, scale)
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


def _routing(spec: CalibratedModel | HybridModel, process: ProcessModel, target: str) -> bool:
    """Tell whether a unit hydrograph brings the target to the gauge."""
    if spec.routing is None:
        return target == "discharge" and not process.routed
    if spec.routing and target != "discharge":
        raise ValueError(f"only discharge is routed to the gauge, not {target!r}: leave out `routing`")
    return spec.routing
