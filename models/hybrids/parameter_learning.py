"""Differentiable parameter learning: networks give the parameters of a process model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from thalweg.models.inputs import Inputs
from thalweg.models.model import Model, Prediction
from thalweg.models.networks.lstm import SequenceNetwork
from thalweg.models.networks.mlp import mlp
from thalweg.models.physics import simulate_routed
from thalweg.models.process import Parameter, ProcessModel
from thalweg.models.raw import to_range
from thalweg.models.routing import ROUTING


class Hybrid(Model):
    """A process model whose parameters are learned functions, trained through its equations.

    An MLP maps attributes to static parameters; when some parameters vary in time, an LSTM maps
    forcing and attributes to those, day by day. Each component has its own parameters and
    the components' fluxes are averaged (Tsai et al. 2021, 10.1038/s41467-021-26107-z; Feng et al.
    2022, 10.1029/2022WR032404).

    Parameters
    ----------
    attributes, variables : numbers of (scaled) attributes and forcings.
    hidden : widths of the MLP's layers.
    varying : names of the parameters that vary in time.
    varying_hidden : width of the LSTM that gives those.
    learned_weights : the MLP also says how much each component counts; otherwise all count alike.
    routing : whether a gamma unit hydrograph brings the runoff to the gauge.
    """

    def __init__(
        self,
        process: ProcessModel,
        attributes: int,
        variables: int,
        *,
        components: int = 16,
        hidden: Sequence[int] = (64, 64),
        dropout: float = 0.0,
        varying: Sequence[str] = (),
        varying_hidden: int = 64,
        learned_weights: bool = False,
        routing: bool = True,
        target: str = "discharge",
    ) -> None:
        super().__init__()
        self.process = process
        self.target = target
        self.components = components
        self.static = [item for item in process.parameters if item.name not in varying]
        self.varying = [process.parameter(name) for name in varying]
        self.routing = ROUTING if routing else ()
        self.weights = components if learned_weights else 0
        outputs = len(self.static) * components + len(self.routing) + self.weights
        self.static_network = mlp(attributes, hidden, outputs, dropout)
        self.varying_network = (
            SequenceNetwork(variables, attributes, varying_hidden, len(self.varying) * components, dropout)
            if varying
            else None
        )

    def forward(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        """Simulate; see :class:`Model`."""
        raw = self.static_network(inputs.attributes)
        n = len(self.static) * self.components
        parameters = self._by_name(raw[:, :n], self.static)
        if self.varying_network is not None:
            parameters |= self._by_name(self.varying_network(inputs, 0), self.varying)
        routing = {item.name: raw[:, n + i] for i, item in enumerate(self.routing)}
        return simulate_routed(
            self.process,
            inputs,
            parameters,
            routing,
            raw[:, -self.weights :] if self.weights else None,
            target=self.target,
            warmup=warmup,
            details=details,
        )

    def static_parameters(self, attributes: Tensor) -> dict[str, Tensor]:
        """Give the parameters that do not vary in time, by name, without running the physics.

        Parameters
        ----------
        attributes : ``(site, attribute)``, scaled.

        Returns
        -------
        dict : ``(site, component)`` in the declared units.
        """
        raw = self.static_network(attributes)
        found = self._by_name(raw[:, : len(self.static) * self.components], self.static)
        return {item.name: to_range(found[item.name], item) for item in self.static}

    def _by_name(self, raw: Tensor, items: Sequence[Parameter]) -> dict[str, Tensor]:
        """Split ``(..., parameter * component)`` into ``(..., component)`` for each parameter."""
        split = raw.reshape(*raw.shape[:-1], len(items), self.components).unbind(-2)
        return {item.name: part for item, part in zip(items, split, strict=True)}
