"""A ledger of physics and network: which share of each flux the network decides.

A hybrid's network says with which parameters the physics works; the weather says the rest. The share is what
would vary if the network had been told of another place or another time while the weather stays:

    share = ½ mean (F(weather, told) - F(weather, told elsewhere))² / variance of F,

the total effect of what the network says (Jansen 1999, 10.1016/S0010-4655(98)00154-4, eq. 14; Saltelli et al.
2010, 10.1016/j.cpc.2009.09.018, table 2f): 0 where the network makes no difference, 1 where it decides
everything. As climate and attributes go together on earth, the shares of weather and network need not add up
to one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from thalweg.models.inputs import Inputs
from thalweg.models.model import Model, Prediction

COLUMNS = ["flux", "told", "share", "share_of_means", "low", "high", "mean", "mean_elsewhere"]
REPEATS = 4
SHORTEST_SHIFT = 30  # days


def network_share(
    model: Model,
    inputs: Inputs,
    warmup: int,
    generator: torch.Generator,
    *,
    repeats: int = REPEATS,
) -> pd.DataFrame:
    """Give the share of every flux and state that a model's networks (or calibrated tables) decide.

    Parameters
    ----------
    inputs : of at least two sites; what the physics is given (``forcing``) stays, what the networks are given
        (``attributes``, ``sequence``) and which site's calibrated parameters are taken is exchanged.
    warmup : days before those that count.
    repeats : exchanges drawn.

    Returns
    -------
    Table with ``COLUMNS``: a row a flux or state (``target`` is what is observed) and what is exchanged:
    ``elsewhere`` (all that the network is told, from another site) and, where a network sees the weather,
    ``another time`` (the weather it is told, shifted by at least 30 days). ``share`` of the variance over
    sites and days, ``share_of_means`` of the variance over sites of the long-term means (NaN for
    another time), ``low`` and ``high`` over the repeats, ``mean`` (mm/day, or mm for states) with and without
    the exchange.

    Raises
    ------
    ValueError
        When there is one site alone.
    """
    sites = len(inputs.site)
    if sites < 2:
        raise ValueError("the share of the network needs at least 2 sites: one is told of another")
    model.eval()
    series = _series(_run(model, inputs, warmup))
    rows = []
    for told, exchanged in _exchanges(model, inputs, generator, repeats):
        others = [_series(_run(model, other, warmup)) for other in exchanged]
        for name, values in series.items():
            shares = [_effect(values, other[name]) for other in others]
            means = [_effect(values.mean(0), other[name].mean(0)) for other in others]
            rows.append(
                (
                    name,
                    told,
                    float(np.mean(shares)),
                    float(np.mean(means)) if told == "elsewhere" else np.nan,
                    min(shares),
                    max(shares),
                    float(values.mean()),
                    float(np.mean([float(other[name].mean()) for other in others])),
                )
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _exchanges(
    model: Model, inputs: Inputs, generator: torch.Generator, repeats: int
) -> Iterator[tuple[str, list[Inputs]]]:
    sites, days = len(inputs.site), len(inputs.sequence)
    elsewhere = []
    for _ in range(repeats):
        order = torch.randperm(sites, generator=generator)
        other = torch.empty_like(order)
        other[order] = order.roll(1)  # a cycle: nobody is told of itself
        other = other.to(inputs.site.device)
        elsewhere.append(
            replace(
                inputs,
                sequence=inputs.sequence[:, other],
                attributes=inputs.attributes[other],
                site=inputs.site[other],
            )
        )
    yield "elsewhere", elsewhere
    if not _sees_weather(model, inputs) or days <= 2 * SHORTEST_SHIFT:
        return
    shifts = torch.randint(SHORTEST_SHIFT, days - SHORTEST_SHIFT, (repeats,), generator=generator).tolist()
    yield "another time", [replace(inputs, sequence=inputs.sequence.roll(shift, 0)) for shift in shifts]


def _sees_weather(model: Model, inputs: Inputs) -> bool:
    """Tell whether anything changes with the weather that the networks are told, on the first days alone."""
    few = slice(0, min(60, len(inputs.sequence)))
    short = replace(
        inputs,
        forcing={name: series[few] for name, series in inputs.forcing.items()},
        sequence=inputs.sequence[few],
    )
    plain = _run(model, short, 0).target
    told = _run(model, replace(short, sequence=torch.zeros_like(short.sequence)), 0).target
    return not torch.equal(plain, told)


def _run(model: Model, inputs: Inputs, warmup: int) -> Prediction:
    with torch.no_grad():
        return model(inputs, warmup, True)


def _series(prediction: Prediction) -> dict[str, Tensor]:
    named = {"target": prediction.target, **prediction.fluxes, **prediction.states}
    return {name: values.double() for name, values in named.items()}


def _effect(values: Tensor, other: Tensor) -> float:
    """Give Jansen's estimate of the total effect; NaN where nothing varies."""
    variance = float((values.var(unbiased=False) + other.var(unbiased=False)) / 2.0)
    return float(((values - other) ** 2).mean()) / 2.0 / variance if variance > 0.0 else np.nan
