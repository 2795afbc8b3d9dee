"""What is wanted of a simulation, apart from the process and its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from thalweg.models.process import ProcessModel

Tensors = dict[str, Tensor]
Over = Literal["mean", "sum"]


@dataclass(frozen=True)
class Request:
    """What a backend is to give.

    Attributes
    ----------
    fluxes, states : names of the series wanted.
    warmup : days run first, without gradient and without series.
    state_days : days after warm-up, in ascending order, at whose end all states are wanted.
    over : how series are brought together over components; ``None`` leaves them apart.
    memory : bytes that a backend may keep for the way back, where it can choose.
    """

    fluxes: tuple[str, ...]
    states: tuple[str, ...]
    warmup: int = 0
    state_days: tuple[int, ...] = ()
    over: Over | None = None
    memory: int = 0


@dataclass(frozen=True)
class Results:
    """What a backend gives, by name.

    Attributes
    ----------
    fluxes, states : ``(time, site, component)``, or ``(time, site)`` brought together.
    final : ``(site, component)``.
    on_days : ``(day, site, component)``, the states of ``state_days``; empty where none was chosen.
    """

    fluxes: Tensors
    states: Tensors
    final: Tensors
    on_days: Tensors


# (process, forcing, parameters, state, request) -> results.
# Forcing is (time, site, component); a parameter is that where it varies, (site, component) where not;
# every tensor broadcasts against the state's (site, component).
Run = Callable[[ProcessModel, Tensors, Tensors, Tensors, Request], Results]
