"""The CPU as a target: LLVM kernels on vectors, run by all threads."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thalweg.models.engine.fused import native
from thalweg.models.engine.fused.emit import Vector
from thalweg.models.engine.fused.frame import VECTORS_PER_UNIT
from thalweg.models.engine.fused.kernel import March, write
from thalweg.models.engine.fused.target import Compiled

WORK_OF_A_THREAD = 500  # vectors times days, of a tenth of a millisecond or so; for less none is woken
MUCH_MEMORY = 4 << 20  # bytes; below, numpy asks for no huge pages


@dataclass(frozen=True)
class Cpu:
    """This machine's processor; see :class:`thalweg.models.engine.fused.target.Target`."""

    vector: Vector

    @property
    def single(self) -> bool:
        """Tell whether numbers are of single precision."""
        return self.vector.single

    def shared_layout(self, components: int) -> str:
        """Give the layout of a series that components share; see :class:`SeriesFrame`."""
        width = self.vector.width
        if components % width == 0:
            return "site"
        return f"repeat.{components}" if width % components == 0 else "gather"

    def record_shape(self, days: int, states: int, lanes: int) -> tuple[int, ...]:
        """Give ``(vector, day, state, lane of the vector)``: a vector's days lie side by side."""
        return self._vectors(lanes), days, states, self.vector.width

    def days_of(self, record: Tensor, days: slice) -> Tensor:
        """Give the record of some of its days."""
        return record[:, days]

    def empty(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Give memory; much of it from numpy, which asks for huge pages: a tenth of the time to touch it."""
        if math.prod(shape) * like.element_size() < MUCH_MEMORY:
            return like.new_empty(shape)
        return torch.from_numpy(np.empty(shape, np.float32 if like.dtype == torch.float32 else np.float64))

    def compile(self, march: March) -> Compiled:
        """Give the kernel of a march, from disk where it has been compiled before."""
        kernel = write(march, self.vector)
        return Compiled(kernel.arguments, native.load(kernel.text))

    def run(
        self, compiled: Compiled, arrays: Mapping[str, Tensor], days: int, shape: tuple[int, int]
    ) -> None:
        """Run a kernel on as many threads as torch uses."""
        lanes = shape[0] * shape[1]
        vectors = self._vectors(lanes)
        threads = min(torch.get_num_threads(), 1 + days * vectors // WORK_OF_A_THREAD)
        per_unit = _vectors_per_unit(vectors, threads)
        units = -(-vectors // per_unit)
        numbers = {
            "units": units,
            "days": days,
            "lanes": lanes,
            "components": shape[1],
            "vectors": vectors,
            "vectors_per_unit": per_unit,
        }
        values = []
        for kind, name in _split(compiled.arguments):
            if kind == "at":
                values.append(arrays[name].data_ptr())
            else:
                values.append(arrays[name].stride(0) if kind == "stride" else numbers[name])
        native.run(compiled.run, values, min(threads, units), arrays)

    def _vectors(self, lanes: int) -> int:
        return -(-lanes // self.vector.width)


@functools.cache
def _split(arguments: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Give the kind and the name of each argument after the counter of units."""
    parts = (argument.partition(".") for argument in arguments[1:])
    return tuple((kind, name) if name else ("", kind) for kind, _, name in parts)


def cpu_for(single: bool, lanes: int) -> Cpu:
    """Give this processor as a target for so many lanes."""
    return Cpu(native.vector_for(single, lanes))


@functools.cache
def _vectors_per_unit(vectors: int, threads: int) -> int:
    """Give the size of unit, the larger of equals, with which the last thread is done soonest."""
    sizes = range(1, max(1, min(VECTORS_PER_UNIT, vectors // threads)) + 1)
    # A unit of one vector has nothing to do while that vector waits for itself.
    work = {size: -(-vectors // (size * threads)) * (size if size > 1 else 1.5) for size in sizes}
    return min(reversed(sizes), key=lambda size: work[size])
