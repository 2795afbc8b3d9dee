"""Run a trained model over a part of the record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from thalweg.flows.preparation import Record
from thalweg.models.group import ALONE, Group
from thalweg.models.inputs import Inputs
from thalweg.models.model import Model, Prediction
from thalweg.models.monte_carlo_dropout import dropout_members

CHUNK_SITES = 64  # sites simulated at once: bounds memory, changes no number


def predict(model: Model, record: Record, *, details: bool = False) -> Prediction:
    """Simulate every site of ``record``, in chunks of sites, without gradient; the result is on the CPU."""
    model.eval()
    with torch.no_grad():
        parts = [model(inputs, record.warmup, details) for inputs in _chunks(record)]
    return Prediction(
        torch.cat([part.target for part in parts], dim=1).cpu(),
        _join([part.fluxes for part in parts], dim=1),
        _join([part.states for part in parts], dim=1),
        _join([part.parameters for part in parts], dim=0),
        _join([part.varying for part in parts], dim=1),
        _join_series([part.raw for part in parts]),
        _join_series([part.centre for part in parts]),
    )


def predict_members(model: Model, record: Record, count: int, seed: int) -> Tensor:
    """Give ``count`` simulations with other units left out, ``(member, time, site)``, on the CPU."""
    parts = [dropout_members(model, inputs, record.warmup, count, seed).cpu() for inputs in _chunks(record)]
    return torch.cat(parts, dim=2)


def validation_score(model: Model, records: Iterable[Record], group: Group = ALONE) -> float:
    """Give the median over sites of the Nash-Sutcliffe efficiency; NaN when none is defined.

    Parameters
    ----------
    records : of all sites, or of those that this process of a group has to score.
    """
    own = [_efficiency(predict(model, record).target, record.target.cpu()) for record in records]
    defined = torch.cat([torch.empty(0), *(part for parts in group.collect(own) for part in parts)])
    if len(defined) == 0:
        return float("nan")
    return float(torch.nan_to_num(defined, nan=-torch.inf).median())  # a simulation of NaN is the worst


def _efficiency(simulated: Tensor, observed: Tensor) -> Tensor:
    """Give the Nash-Sutcliffe efficiency of the sites for which it is defined."""
    there = torch.isfinite(observed)
    count = there.sum(0).clamp(min=1)
    known = torch.where(there, observed, 0.0)
    spread = torch.where(there, (known - known.sum(0) / count) ** 2, 0.0).sum(0)
    efficiency = 1 - torch.where(there, (simulated - known) ** 2, 0.0).sum(0) / spread
    return efficiency[spread > 0]


def _chunks(record: Record) -> Iterator[Inputs]:
    for first in range(0, len(record.sites), CHUNK_SITES):
        yield record.inputs.select(slice(first, first + CHUNK_SITES))


def _join_series(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there, dim=1).cpu() if there else None


def _join(parts: Sequence[dict[str, Tensor]], dim: int) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts], dim=dim).cpu() for name in parts[0]}
