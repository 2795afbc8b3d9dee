"""Monte Carlo dropout: a forecast's members are the network with different units left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from thalweg.models.inputs import Inputs
from thalweg.models.model import Model


@contextmanager
def active_dropout(model: nn.Module, seed: int) -> Iterator[None]:
    """Leave units out as in training, and nothing else as in training; repeatably.

    Afterwards the model and torch's random numbers go on as they were.

    Parameters
    ----------
    model : its ``nn.Dropout`` layers are switched on; batch normalisation and the like stay as in evaluation.
    seed : the same seed leaves out the same units (on the same device).

    Raises
    ------
    ValueError
        When the model has no dropout, so that all its members would be the same.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Dropout) and layer.p > 0.0]
    if not layers:
        raise ValueError("the model has no dropout: train it with a dropout above 0")
    were = [(layer, layer.training) for layer in model.modules()]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        model.eval()
        for layer in layers:
            layer.training = True
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield
    finally:
        for module, training in were:
            module.training = training


@torch.no_grad()
def dropout_members(model: Model, inputs: Inputs, warmup: int, count: int, seed: int = 0) -> Tensor:
    """Give ``count`` simulations (mm/day), each with other units left out: ``(member, time, site)``.

    Where dropout acts on static inputs, as in a hybrid's parameter network, a member keeps its parameters
    over all days; an LSTM's output layer leaves out other units every day. The members show what the
    weights are unsure of, not the noise of the observations, and usually spread too little
    (Klotz et al. 2022, 10.5194/hess-26-1673-2022).

    Gal and Ghahramani (2016), Dropout as a Bayesian approximation, 10.48550/arXiv.1506.02142.

    Raises
    ------
    ValueError
        When ``count`` is below 1 or the model has no dropout.
    """
    if count < 1:
        raise ValueError(f"{count} members must be 1 or more")
    with active_dropout(model, seed):
        return torch.stack([model(inputs, warmup).target for _ in range(count)])
