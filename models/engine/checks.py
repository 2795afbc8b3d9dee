"""What a simulation is refused for, before it starts."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from thalweg.models.process import Parameter, ProcessModel, State, Variable, names

Declared = Sequence[Variable | State | Parameter]


def check_state_days(chosen: Sequence[int], days: int) -> tuple[int, ...]:
    """Give the chosen days; ``ValueError`` unless they ascend within the ``days`` after warm-up."""
    try:
        found = tuple(operator.index(day) for day in chosen)
    except TypeError as error:
        raise ValueError(f"state_days {list(chosen)}: give whole numbers of days") from error
    if any(not 0 <= day < days for day in found) or list(found) != sorted(set(found)):
        raise ValueError(
            f"state_days {list(found)}: give days from 0 to {days - 1}, each once, in ascending order"
        )
    return found


def check_memory(size: int) -> int:
    """Give a budget of bytes; ``ValueError`` unless it is a positive number."""
    if not 0 < size < float("inf"):
        raise ValueError(f"a memory budget of {size} bytes: it must be above zero")
    return int(size)


def check_dimensions(
    process: ProcessModel,
    forcing: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    initial: Mapping[str, Tensor],
) -> None:
    """Refuse tensors without the axes that are wanted, with a ``ValueError``."""
    for what, given, wanted, axes in (
        ("forcing", forcing, (2, 3), "(time, site) or (time, site, component)"),
        ("parameter", parameters, (2, 3), "(site, component) or (time, site, component)"),
        ("initial state", initial, (2,), "(site, component)"),
    ):
        for name, tensor in given.items():
            if not isinstance(tensor, Tensor) or tensor.dim() not in wanted:
                found = tuple(tensor.shape) if isinstance(tensor, Tensor) else repr(tensor)
                raise ValueError(f"{type(process).__name__}: {what} {name!r} is {found}; it must be {axes}")


def check_names(
    process: ProcessModel,
    forcing: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    initial: Mapping[str, Tensor] | None,
    flux_names: tuple[str, ...],
    state_names: tuple[str, ...],
) -> None:
    """Refuse names that are missing or that the process does not declare, with a ``ValueError``."""
    label = type(process).__name__
    exact: list[tuple[str, Mapping[str, Tensor], Declared]] = [
        ("forcing", forcing, process.forcings),
        ("parameter", parameters, process.parameters),
    ]
    if initial is not None:
        exact.append(("initial state", initial, process.states))
    for what, given, declared in exact:
        missing = sorted(set(names(declared)) - set(given))
        unknown = sorted(set(given) - set(names(declared)))
        if missing or unknown:
            raise ValueError(
                f"{label}: {what} missing {missing}, unknown {unknown}; it takes {names(declared)}"
            )
    series: list[tuple[str, tuple[str, ...], Declared]] = [
        ("flux", flux_names, process.fluxes),
        ("state", state_names, process.states),
    ]
    for what, asked, among in series:
        unknown = sorted(set(asked) - set(names(among)))
        if unknown:
            raise ValueError(f"{label} has no {what} {unknown}; it has {names(among)}")


def common_shape(
    process: ProcessModel,
    series: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    initial: Mapping[str, Tensor],
) -> tuple[int, torch.Size]:
    """Give the number of days and the shape ``(site, component)`` that all tensors share."""
    label = type(process).__name__
    timed = {name: t for name, t in {**series, **parameters}.items() if t.dim() == 3}
    lengths = {name: t.shape[0] for name, t in timed.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{label}: series differ in their number of days: {lengths}")
    shapes = [t.shape[-2:] for t in (*series.values(), *parameters.values(), *initial.values())]
    try:
        return next(iter(lengths.values())), torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        found = {name: tuple(t.shape) for name, t in {**series, **parameters, **initial}.items()}
        raise ValueError(f"{label}: shapes (time, site, component) disagree: {found}") from error
