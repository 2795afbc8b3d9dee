"""What can be asked of a model's networks: parameters, what comes of them through the physics, time lags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.evaluation.interpretation.question import Question
from thalweg.models.hybrids import Hybrid
from thalweg.models.inputs import Inputs
from thalweg.models.model import Model

Statistic = Callable[[Tensor], Tensor]  # (time, site) -> (site,)


def parameter_question(
    model: Hybrid, inputs: Inputs, parameter: str, attributes: Sequence[str], sites: Sequence[str]
) -> Question:
    """Ask which attributes decide a static parameter, as the mean over components.

    Raises
    ------
    ValueError
        When the model has no such parameter.
    """
    model.eval()
    units = {item.name: item.units for item in model.static}
    if parameter not in units:
        raise ValueError(f"the model has no static parameter {parameter!r}; it has {', '.join(units)}")

    def function(values: Tensor) -> Tensor:
        return model.static_parameters(values)[parameter].mean(-1)

    return Question(parameter, units[parameter], function, inputs.attributes, tuple(attributes), tuple(sites))


def outcome_question(
    model: Model,
    inputs: Inputs,
    warmup: int,
    attributes: Sequence[str],
    sites: Sequence[str],
    *,
    name: str = "mean discharge",
    units: str = "mm/day",
    statistic: Statistic = lambda series: series.mean(0),
) -> Question:
    """Ask which attributes decide what comes out in the end, each site keeping its own weather.

    Parameters
    ----------
    warmup : first days, left out of the statistic.
    statistic : of the simulated target ``(time, site)``; its mean over time by default.
    """
    model.eval()

    def function(values: Tensor) -> Tensor:
        # a warm-up would have no gradient, and attributions would not add up
        return statistic(model(replace(inputs, attributes=values), 0).target[warmup:])

    return Question(name, units, function, inputs.attributes, tuple(attributes), tuple(sites))


def lag_question(
    model: Model,
    inputs: Inputs,
    samples: Sequence[tuple[int, int]],
    length: int,
    variables: Sequence[str],
    sites: Sequence[str],
    *,
    parameter: str | None = None,
    units: str = "mm/day",
) -> Question:
    """Ask which days before decide what a network over time gives on a day.

    Parameters
    ----------
    samples : places of site and day in ``inputs``; each day at least ``length - 1`` days after the first.
    length : days that the network is shown, the last of which is asked about.
    variables : names of the forcings, in the order of ``inputs.sequence``.
    parameter : one that varies in time; the target if absent. In a hybrid the weather that the physics sees
        stays as it is: what is asked is what the network makes of it.

    Raises
    ------
    ValueError
        When a day lies too early, or the model has no such parameter.
    """
    model.eval()
    place, day = (torch.tensor(column) for column in zip(*samples, strict=True))
    if int(day.min()) < length - 1:
        raise ValueError(f"day {int(day.min())} has fewer than {length - 1} days before it")
    windows = inputs.pick(place.to(inputs.site.device), (day - length + 1).to(inputs.site.device), length)

    def function(values: Tensor) -> Tensor:
        found = model(replace(windows, sequence=values.transpose(0, 1)), 0, parameter is not None)
        if parameter is None:
            return found.target[-1]
        if parameter not in found.varying:
            raise ValueError(f"the model has no parameter {parameter!r} that varies in time")
        return found.varying[parameter][-1]

    named = tuple(f"{sites[s]} day {d}" for s, d in samples)
    name = parameter or "discharge"
    return Question(name, units, function, windows.sequence.transpose(0, 1), tuple(variables), named)
