"""Calibrated physics: every site has its own parameters, found by gradient descent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thalweg.models.inputs import Inputs
from thalweg.models.model import Model, Prediction
from thalweg.models.physics import simulate_routed
from thalweg.models.process import ProcessModel
from thalweg.models.routing import ROUTING


class Calibrated(Model):
    """A process model with free parameters at each training site.

    At a site it was not trained on, it takes the parameters of the training site whose scaled
    attributes are nearest (regionalisation by physical similarity: Oudin et al. 2008,
    10.1029/2007WR006240).

    Parameters
    ----------
    attributes : ``(site, attribute)``, scaled, of the training sites.
    donors : ``(site,)``, true for the training sites whose parameters may be taken elsewhere: those with
        observations, since the others were never calibrated. All of them if absent.
    components : parallel parameter sets per site, averaged (1: the classical model).
    learned_weights : how much each component counts is calibrated too; otherwise all count alike.
    routing : whether a gamma unit hydrograph brings the runoff to the gauge.
    """

    def __init__(
        self,
        process: ProcessModel,
        attributes: Tensor,
        donors: Tensor | None = None,
        *,
        components: int = 1,
        learned_weights: bool = False,
        routing: bool = True,
        target: str = "discharge",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.process = process
        self.target = target
        sites = attributes.shape[0]
        # One set starts in the middle of the ranges; several start apart, or they would stay equal.
        spread = 0.0 if components == 1 else 1.0
        shape = (len(process.parameters), sites, components)
        self.raw = nn.Parameter(spread * torch.randn(shape, generator=generator))
        self.raw_routing = nn.Parameter(torch.zeros(len(ROUTING) if routing else 0, sites))
        self.raw_weights = nn.Parameter(torch.zeros(sites, components)) if learned_weights else None
        self.attributes: Tensor
        self.register_buffer("attributes", attributes.clone())
        self.donors: Tensor
        self.register_buffer(
            "donors", torch.ones(sites, dtype=torch.bool) if donors is None else donors.clone()
        )

    def forward(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        """Simulate; see :class:`Model`."""
        site = self._parameter_site(inputs)
        parameters = {item.name: self.raw[i, site] for i, item in enumerate(self.process.parameters)}
        routing = {item.name: raw[site] for item, raw in zip(ROUTING, self.raw_routing, strict=False)}
        return simulate_routed(
            self.process,
            inputs,
            parameters,
            routing,
            None if self.raw_weights is None else self.raw_weights[site],
            target=self.target,
            warmup=warmup,
            details=details,
        )

    def _parameter_site(self, inputs: Inputs) -> Tensor:
        unknown = inputs.site < 0
        if not bool(unknown.any()):
            return inputs.site
        if self.attributes.shape[1] == 0:
            raise ValueError(
                "calibrated physics finds no similar site for an ungauged one without attributes"
            )
        distance = torch.cdist(inputs.attributes, self.attributes)
        distance = distance.masked_fill(~self.donors, torch.inf)
        return torch.where(unknown, distance.argmin(dim=1), inputs.site)
