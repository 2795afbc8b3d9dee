"""A GPU as a target: Triton kernels, a lane to a thread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from thalweg.models.engine.fused.cuda import launch
from thalweg.models.engine.fused.cuda.kernel import WARP, write
from thalweg.models.engine.fused.kernel import March
from thalweg.models.engine.fused.target import Compiled

OLDEST = (8, 0)  # compute capability of the GPUs that Triton supports


def why_not(device: torch.device) -> str | None:
    """Give why a GPU's kernels cannot be compiled and run on a device, ``None`` if they can."""
    if torch.version.hip is not None:
        return "the fused backend runs on NVIDIA GPUs; this torch is built for AMD's"
    if find_spec("triton") is None:
        return "the fused backend runs on a GPU through Triton, which is not installed: pip install triton"
    if device.type == "cuda" and (capability := torch.cuda.get_device_capability(device)) < OLDEST:
        return f"the fused backend runs on GPUs of compute capability {OLDEST} and above, not {capability}"
    return None


@dataclass(frozen=True)
class Gpu:
    """A GPU that Triton compiles for; see :class:`thalweg.models.engine.fused.target.Target`.

    ``interpreted`` runs the kernels' text on the CPU, in Triton's interpreter: slow, for tests.
    """

    single: bool
    interpreted: bool = False

    def shared_layout(self, components: int) -> str:
        """Give the layout of a series that components share: threads of a site read one address."""
        return "site"

    def record_shape(self, days: int, states: int, lanes: int) -> tuple[int, ...]:
        """Give ``(day, warp, state, lane of the warp)``: one address a day, and whole rows of a warp."""
        return days, -(-lanes // WARP), states, WARP

    def days_of(self, record: Tensor, days: slice) -> Tensor:
        """Give the record of some of its days."""
        return record[days]

    def empty(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Give memory from torch's pool for the device."""
        return like.new_empty(shape)

    def compile(self, march: March) -> Compiled:
        """Give the kernel of a march; Triton compiles it when it first runs."""
        source = write(march, self.single)
        return Compiled(source.arguments, launch.load(source.text, interpreted=self.interpreted))

    def run(
        self, compiled: Compiled, arrays: Mapping[str, Tensor], days: int, shape: tuple[int, int]
    ) -> None:
        """Run a kernel on the arrays' device, after what torch does there now (its current stream)."""
        lanes = math.prod(shape)
        numbers = {"days": days, "lanes": lanes, "components": shape[1]}
        values: list[Any] = []
        for argument in compiled.arguments:
            what, _, name = argument.partition(".")
            if what == "at":
                values.append(arrays[name])
            else:
                values.append(arrays[name].stride(0) if what == "stride" else numbers[argument])
        device = next(value for value in values if isinstance(value, Tensor)).device
        launch.run(compiled.run, values, lanes, device)
