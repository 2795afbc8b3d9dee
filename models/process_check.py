"""Find the mistakes in a process model's step before anything is trained with it."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.models.engine import fused
from thalweg.models.process import ProcessModel, names

SHAPE = (2, 3)  # (site, component)
LOWEST_FORCING, HIGHEST_FORCING = 1.0, 5.0
BALANCE_TOLERANCE = 1e-6  # share of inflow and storage

Group = dict[str, Tensor]


def check_step(process: ProcessModel) -> None:
    """Run one step on six made-up places, and look at what it gives.

    Raises
    ------
    ValueError
        With one line: the step, its file and line, what is wrong, and what would be right.
    """
    if type(process).step is ProcessModel.step:
        raise _error(process, "is not written; write `def step(self, forcing, state, parameter)`")
    forcing, state, parameter = _examples(process)
    leaves = [tensor.requires_grad_() for tensor in parameter.values()]
    inputs = {
        "forcing": {name: tensor.clone() for name, tensor in forcing.items()},
        "state": {name: tensor.clone() for name, tensor in state.items()},
        "parameter": {name: tensor.clone() for name, tensor in parameter.items()},
    }
    with torch.inference_mode(False), torch.enable_grad():
        after, fluxes = _run(process, inputs)
        for kind, before in (("forcing", forcing), ("state", state), ("parameter", parameter)):
            for name, tensor in before.items():
                if not torch.equal(tensor, inputs[kind][name]):
                    raise _error(process, f"changes {kind} {name!r} in place; make a new value instead")
        _check_gradient(process, leaves, {**after, **fluxes})
    _check_balance(process, forcing, state, after, fluxes)
    _check_elementwise(process)


def _examples(process: ProcessModel) -> tuple[Group, Group, Group]:
    spread = torch.linspace(LOWEST_FORCING, HIGHEST_FORCING, SHAPE[0] * SHAPE[1], dtype=torch.float64)

    def full(value: float) -> Tensor:
        return torch.full(SHAPE, value, dtype=torch.float64)

    return (
        {name: spread.reshape(SHAPE).clone() for name in names(process.forcings)},
        {item.name: full(item.initial) for item in process.states},
        {item.name: full((item.lower + item.upper) / 2) for item in process.parameters},
    )


def _run(process: ProcessModel, inputs: Mapping[str, Group]) -> tuple[Group, Group]:
    """Give the states and fluxes of one step by name, once they are what they must be."""
    try:
        result: Any = process.step(
            process.Forcing(**inputs["forcing"]),
            process.CurrentState(**inputs["state"]),
            process.Parameters(**inputs["parameter"]),
        )
    except Exception as error:
        raise _raised(process, error) from error
    right = "return self.CurrentState(...), self.Fluxes(...)"
    if result is None:
        raise _error(process, f"returns nothing; {right}")
    if not isinstance(result, tuple) or len(result) != 2 or hasattr(result, "_fields"):
        bare = isinstance(result, tuple) and not hasattr(result, "_fields")
        found = f"{len(result)} values" if bare else f"one {type(result).__name__}"
        raise _error(process, f"returns {found} where a pair is wanted; {right}")
    declared = (names(process.states), names(process.fluxes))
    fields = tuple(getattr(part, "_fields", None) for part in result)
    if fields == declared[::-1] and fields != declared:
        raise _error(process, f"returns the fluxes before the state; {right}")
    for what, part, wanted, right in (
        ("state", result[0], declared[0], "self.CurrentState(...)"),
        ("flux", result[1], declared[1], "self.Fluxes(...)"),
    ):
        if getattr(part, "_fields", None) != wanted:
            raise _error(
                process,
                f"gives its {what} as a {type(part).__name__}; give {right} with {', '.join(wanted)}",
            )
        for name, value in zip(wanted, part, strict=True):
            _check_value(process, f"{what} {name!r}", value)
    return dict(zip(declared[0], result[0], strict=True)), dict(zip(declared[1], result[1], strict=True))


def _check_value(process: ProcessModel, what: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        right = "give a tensor of the inputs' shape, such as torch.zeros_like(...)"
        raise _error(process, f"gives {what} as {value!r}, a {type(value).__name__}; {right}")
    if value.shape != SHAPE:
        right = "a step is elementwise: what it gives has the shape of what it gets"
        raise _error(process, f"gives {what} in shape {tuple(value.shape)} for inputs of {SHAPE}; {right}")
    if not value.is_floating_point():
        raise _error(process, f"gives {what} in {value.dtype}; give real numbers, as the inputs are")
    if not bool(torch.isfinite(value).all()):
        found = value[~torch.isfinite(value)][0].item()
        right = "guard divisions, roots and logarithms, for example with clamp(min=...)"
        raise _error(
            process,
            f"gives {what} as {found} with forcing of {LOWEST_FORCING:g} to {HIGHEST_FORCING:g}, initial "
            f"states and parameters in the middle of their ranges; {right}",
        )


def _check_gradient(process: ProcessModel, leaves: list[Tensor], results: Group) -> None:
    """Look for a gradient with respect to parameters; some may be of no effect, but not all."""
    smooth = [tensor.sum() for tensor in results.values() if tensor.requires_grad]
    if not leaves:
        return
    found = (
        torch.autograd.grad(torch.stack(smooth).sum(), leaves, allow_unused=True)
        if smooth
        else (None,) * len(leaves)
    )
    if all(gradient is None for gradient in found):
        right = "compute it from `parameter`, with torch only, without .detach(), .item() or NumPy"
        raise _error(process, f"gives nothing that depends on a parameter, so none can be learned; {right}")
    for name, gradient in zip(names(process.parameters), found, strict=True):
        if gradient is not None and not bool(torch.isfinite(gradient).all()):
            right = "guard roots, powers and divisions at zero before torch.where, which does not"
            raise _error(process, f"has no finite gradient with respect to parameter {name!r}; {right}")


def _check_balance(process: ProcessModel, forcing: Group, before: Group, after: Group, fluxes: Group) -> None:
    balance = process.balance
    if balance is None:
        return
    series = {**forcing, **fluxes}
    zero = torch.zeros(SHAPE, dtype=torch.float64)
    inflow = sum((series[name].detach() for name in balance.inflow), zero)
    outflow = sum((series[name].detach() for name in balance.outflow), zero)
    stored = sum((before[name] for name in balance.stored), zero)
    change = sum((after[name].detach() for name in balance.stored), zero) - stored
    residual = inflow - outflow - change
    excess = residual.abs() - BALANCE_TOLERANCE * (inflow.abs() + stored.abs())
    if bool((excess > 0).any()):
        worst = residual.flatten()[excess.argmax()].item()
        units = {state.name: state.units for state in process.states}
        raise _error(
            process,
            f"does not keep its balance: in one step, inflow ({', '.join(balance.inflow)}) - outflow "
            f"({', '.join(balance.outflow)}) - change of {', '.join(balance.stored)} is {worst:.3g} "
            f"{units[balance.stored[0]]}, not 0",
        )


def _check_elementwise(process: ProcessModel) -> None:
    """Refuse what makes a site depend on another; what only the fused backend lacks is no mistake."""
    try:
        fused.program_of(process, torch.float32)
    except fused.NotElementwise as error:
        raise ValueError(_one_line(error)) from error
    except fused.UnsupportedOperation:
        return
    except Exception as error:
        raise _raised(process, error) from error


def _raised(process: ProcessModel, error: Exception) -> ValueError:
    """Say what the step raised, with the innermost line of the step's own file."""
    file = _place(process)[0]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    message = f"{type(error).__name__}: {_one_line(error)}"
    if "Boolean value of Tensor" in message:
        message += "; use torch.where for what differs between sites"
    return _error(process, message, lines[-1] if lines else None)


def _error(process: ProcessModel, what: str, line: int | None = None) -> ValueError:
    file, first = _place(process)
    near = os.path.relpath(file)
    shown = file if near.startswith("..") else near
    return ValueError(f"{type(process).__name__}.step ({shown}:{line or first}): {what}")


def _place(process: ProcessModel) -> tuple[str, int]:
    """Give the file and the first line of the step, or of the class where that has no step."""
    kind = type(process)
    if kind.step is not ProcessModel.step:
        code = getattr(inspect.unwrap(kind.step), "__code__", None)
        if code is not None:
            return code.co_filename, code.co_firstlineno
    try:
        return inspect.getsourcefile(kind) or "?", inspect.findsource(kind)[1] + 1
    except (OSError, TypeError):
        return "?", 0


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
