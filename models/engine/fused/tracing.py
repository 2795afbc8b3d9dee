"""Watch one step of a process model run, and its derivative, and write both down as a program."""

from __future__ import annotations

import functools
import linecache
import sys
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.models.engine.fused.operations import TABLE
from thalweg.models.engine.fused.program import Program
from thalweg.models.process import ProcessModel, names, plain_kind

# Each two different primes, so that no operation that changes or mixes them goes unseen. The step is run on
# both, with other numbers: what Python reads out of tensors or their shape shows as another program.
EXAMPLE_SHAPES = ((3, 2), (7, 5))

BRANCHES = frozenset({"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero"})
WAYS_OUT = frozenset(("tolist", "numpy", "__array__", "__dlpack__", "data_ptr", "untyped_storage"))
# Operations that make a tensor of one repeated number, or of none yet.
FILLED = frozenset(
    f"{prefix}{name}{suffix}"
    for name in ("full", "zeros", "ones", "empty")
    for prefix, suffix in (("", ""), ("", "_like"), ("new_", ""))
) | {"scalar_tensor"}
# Options that say how a tensor is made, not what is in it.
WITHOUT_EFFECT = frozenset(
    ("dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking", "implicit")
)


class UnsupportedOperation(NotImplementedError):  # noqa: N818 - named for what it reports
    """A step does something that the fused backend cannot compile."""


class NotElementwise(UnsupportedOperation):
    """A step that is none: sites or components decide for each other, or values are written over."""


def trace(process: ProcessModel, dtype: torch.dtype) -> Program:
    """Give the step of ``process`` and its vector-Jacobian product as one program.

    Inputs are named ``forcing.*``, ``state.*``, ``parameter.*`` and, for the derivative,
    ``given.state.*`` and ``given.flux.*``: the gradients with respect to what the step gives.
    Outputs are ``state.*``, ``flux.*`` and ``gradient.forcing.*``, ``gradient.state.*``,
    ``gradient.parameter.*``.

    Raises
    ------
    UnsupportedOperation
        Naming the operation, why it cannot be compiled, and the line of the step.
    """
    programs = [_trace(process, dtype, shape) for shape in EXAMPLE_SHAPES]
    first, second = (repr((program.nodes, program.outputs)) for program in programs)  # NaN equals NaN
    if first != second:
        raise NotElementwise(
            f"{plain_kind(process).__name__}.step reads the shape of tensors, or numbers out of them, and so "
            "does something else for other sites; use torch.where and plain numbers"
        )
    return programs[0]


def _trace(process: ProcessModel, dtype: torch.dtype, shape: tuple[int, int]) -> Program:
    recorder = _Recorder(process, dtype, shape)
    # The caller's hooks, such as those of torch.utils.checkpoint, are not for these tensors.
    hooks = torch.autograd.graph.saved_tensors_hooks(_as_it_is, _as_it_is)
    with torch.inference_mode(False), torch.enable_grad(), hooks:
        leaves = _examples(process, dtype, shape)
        named = {f"{kind}.{name}": t for kind, group in leaves.items() for name, t in group.items()}
        for name, tensor in named.items():
            recorder.name(tensor, name)
        with recorder, _Watch(recorder):
            state, flux = process.step(
                process.Forcing(**leaves["forcing"]),
                process.CurrentState(**leaves["state"]),
                process.Parameters(**leaves["parameter"]),
            )
        recorder.in_step = False
        for what, group, declared in (("states", state, process.states), ("fluxes", flux, process.fluxes)):
            if getattr(group, "_fields", None) != names(declared):
                returned = "self.CurrentState(...), self.Fluxes(...)"
                raise recorder.error(f"gives no {what} where they are wanted; return {returned}")
        results = {
            **{f"state.{n}": t for n, t in zip(names(process.states), state, strict=True)},
            **{f"flux.{n}": t for n, t in zip(names(process.fluxes), flux, strict=True)},
        }
        _record_results(recorder, results)
        _record_derivative(recorder, named, results)
    return recorder.program


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def _examples(
    process: ProcessModel, dtype: torch.dtype, shape: tuple[int, int]
) -> dict[str, dict[str, Tensor]]:
    """Give any numbers that a step can be run on; which ones makes no difference to what it does."""
    generator = torch.Generator().manual_seed(shape[0])

    def near(value: float) -> Tensor:
        share = torch.rand(shape, generator=generator, dtype=dtype)
        return (value * (0.75 + 0.5 * share)).requires_grad_()

    return {
        "forcing": {name: near(1.0) for name in names(process.forcings)},
        "state": {item.name: near(item.initial) for item in process.states},
        "parameter": {item.name: near((item.lower + item.upper) / 2) for item in process.parameters},
    }


def _record_results(recorder: _Recorder, results: dict[str, Tensor]) -> None:
    for name, tensor in results.items():
        if not isinstance(tensor, Tensor) or tensor.shape != recorder.shape or not tensor.is_floating_point():
            found = tuple(tensor.shape) if isinstance(tensor, Tensor) else repr(tensor)
            raise recorder.error(f"gives {name} as {found}, not a number for each site and component")
        recorder.program.outputs[name] = recorder.node(tensor)


def _record_derivative(recorder: _Recorder, leaves: dict[str, Tensor], results: dict[str, Tensor]) -> None:
    smooth = {name: tensor for name, tensor in results.items() if tensor.requires_grad}
    given = {name: torch.ones_like(tensor) for name, tensor in smooth.items()}
    for name, tensor in given.items():
        recorder.name(tensor, f"given.{name}")
    gradients: Sequence[Tensor | None] = [None] * len(leaves)
    if smooth:
        # A sum of products rather than `grad_outputs`, for which torch imports sympy: a second.
        products = [(smooth[name] * given[name]).sum() for name in smooth]
        total = functools.reduce(torch.add, products)
        with recorder:
            gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    program = recorder.program
    for name, gradient in zip(leaves, gradients, strict=True):
        node = program.zero() if gradient is None else recorder.node(gradient)
        program.outputs[f"gradient.{name}"] = node


class _Watch(TorchFunctionMode):
    """Refuses ways out of torch that no operation shows."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in WAYS_OUT:
            raise self.recorder.branch()
        return func(*args, **(kwargs or {}))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every torch operation below autograd and adds it to the program.

    A value is known by its storage: autograd hands saved values back as new tensors on the same
    memory, and every tensor is kept, so no memory is used twice.
    """

    def __init__(self, process: ProcessModel, dtype: torch.dtype, shape: tuple[int, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.program = Program()
        self.dtype = dtype
        self.shape = shape
        self.in_step = True
        kind = plain_kind(process)
        self._label = kind.__name__
        self._code: CodeType | None = getattr(kind.step, "__code__", None)
        self._nodes: dict[int, int] = {}
        self._kept: list[Tensor] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare torch from importing its compiler (more than a second) only to leave us alone."""
        return False

    def name(self, tensor: Tensor, name: str) -> None:
        self._remember(tensor, self.program.input(name))

    def node(self, tensor: Tensor) -> int:
        """Give the node of a tensor; a plain number in tensor form becomes a constant."""
        key = tensor.untyped_storage().data_ptr()
        if key in self._nodes:
            return self._nodes[key]
        if tensor.numel() != 1 or tensor.requires_grad:
            raise self.error(
                f"uses a tensor of shape {tuple(tensor.shape)} that is none of its arguments; "
                "pass it as a parameter, or as a plain number"
            )
        return self.program.constant(tensor.item())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        operation = func.overloadpacket.__name__
        self._check(func, operation)
        result = func(*args, **kwargs)
        self._check_result(operation, result, args)
        if operation in FILLED:
            value = float("nan") if "empty" in operation else result.reshape(-1)[0].item()
            self._remember(result, self.program.constant(value))
            return result
        entry = _entry(operation)
        if entry is None:
            raise self.error(f"uses {operation}, which the fused backend does not know", backward_hint=True)
        if self._is_settled(result, args):
            # No input is in it: torch has computed it, in the type of numbers that it has.
            self._remember(result, self.program.constant(result.item()))
            return result
        options = {k: self._argument(v) for k, v in kwargs.items() if k not in WITHOUT_EFFECT}
        try:
            index = entry(self.program, *(self._argument(a) for a in args), **options)
        except TypeError:
            what = f"uses {operation} with options that the fused backend does not know"
            raise self.error(what, backward_hint=True) from None
        if result.dtype == torch.bool and not self.program.is_condition(index):
            index = self.program.add("ne", index, self.program.constant(0.0))
        self._remember(result, index)
        return result

    def error(
        self, what: str, backward_hint: bool = False, kind: type[UnsupportedOperation] = UnsupportedOperation
    ) -> UnsupportedOperation:
        if not self.in_step:
            derivative = "the derivative of " if backward_hint else ""
            return kind(f"{derivative}{self._label}.step {what}")
        return kind(f"{self._label}.step {what}{self._place()}")

    def branch(self) -> UnsupportedOperation:
        return self.error(
            "takes the value of a tensor as a Python number or condition, "
            "though it differs between sites; use torch.where",
            kind=NotElementwise,
        )

    def _remember(self, tensor: Tensor, node: int) -> None:
        self._nodes[tensor.untyped_storage().data_ptr()] = node
        self._kept.append(tensor)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.node(value)
        if isinstance(value, (bool, int, float)):
            return self.program.constant(float(value))
        return value

    def _check(self, func: Any, operation: str) -> None:
        if not self.in_step:
            return
        if operation in BRANCHES:
            raise self.branch()
        if func._schema.is_mutable:
            what = f"writes into a tensor in place ({operation}); make a new value instead"
            raise self.error(what, kind=NotElementwise)

    def _check_result(self, operation: str, result: Any, args: tuple[Any, ...]) -> None:
        if not isinstance(result, Tensor):
            raise self.error(f"uses {operation}, which gives no single tensor")
        if self._is_settled(result, args):
            return
        if result.shape != self.shape:
            raise self.error(
                f"uses {operation}, which mixes sites or components "
                f"(shape {self.shape} becomes {tuple(result.shape)}); a step is elementwise",
                kind=NotElementwise if self.in_step else UnsupportedOperation,
            )
        if result.dtype not in (self.dtype, torch.bool):
            raise self.error(f"uses {operation}, which changes numbers from {self.dtype} to {result.dtype}")

    def _is_settled(self, result: Tensor, args: tuple[Any, ...]) -> bool:
        """Tell whether a result is one number for all sites."""
        return result.numel() == 1 and not any(isinstance(a, Tensor) and a.shape == self.shape for a in args)

    def _place(self) -> str:
        frame = _frame_of(self._code)
        if frame is None:
            return ""
        file, line = frame.f_code.co_filename, frame.f_lineno
        text = linecache.getline(file, line).strip()
        return f" ({file}, line {line}: {text})"


def _entry(operation: str) -> Callable[..., int] | None:
    return TABLE.get(operation) or TABLE.get(operation.removesuffix("_"))


def _frame_of(code: CodeType | None) -> FrameType | None:
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame
