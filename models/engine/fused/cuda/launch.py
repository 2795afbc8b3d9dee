"""From Triton text to a function that runs on a GPU, or in Triton's interpreter on the CPU."""

from __future__ import annotations

import functools
import hashlib
import linecache
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from thalweg.models.engine.fused.cuda.kernel import WARP

SCHEDULERS = 4  # of a multiprocessor: each issues for the warps that are its own
INTERPRETED_BLOCK = 16

# Values are rounded as they are written, and numbers below the normal ones are kept.
OPTIONS = {"enable_fp_fusion": False, "enable_reflect_ftz": False, "sanitize_overflow": False}

_interpreter = threading.Lock()  # it changes triton.language while it runs


def load(text: str, *, interpreted: bool) -> Any:
    """Give the function ``kernel`` of a module's text, to be launched by :func:`run`.

    Triton compiles it when it is first launched, and keeps what it made in its own folder
    (``$TRITON_CACHE_DIR``), under a hash of the text, its version and the GPU.
    """
    import triton

    # Triton reads a function's text as debuggers do; nothing has to be written to a disk for that.
    name = f"<thalweg kernel {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space: dict[str, Any] = {"__name__": "thalweg.kernel"}
    exec(compile(text, name, "exec"), space)
    function = space["kernel"]
    if interpreted:
        from triton.runtime.interpreter import InterpretedFunction

        from thalweg.models.engine.fused.cuda import interpreted as stand_in

        space |= {"fma": stand_in.fma, "libdevice": stand_in}
        return InterpretedFunction(function)
    # One kernel for all sizes and addresses: all arguments but BLOCK.
    every = list(range(function.__code__.co_argcount - 1))
    return triton.JITFunction(function, do_not_specialize=every, do_not_specialize_on_alignment=every)


def run(function: Any, arguments: Sequence[Any], lanes: int, device: torch.device) -> None:
    """Launch a kernel over all lanes, on the device's current stream."""
    if device.type == "cpu":
        with _interpreter, np.errstate(all="ignore"):
            function[(-(-lanes // INTERPRETED_BLOCK),)](*arguments, BLOCK=INTERPRETED_BLOCK)
        return
    warps = warps_for(lanes, _multiprocessors(device))
    with torch.cuda.device(device):
        grid = (-(-lanes // (WARP * warps)),)
        function[grid](*arguments, BLOCK=WARP * warps, num_warps=warps, **OPTIONS)


def warps_for(lanes: int, multiprocessors: int) -> int:
    """Give the warps of a block: one while every scheduler has no more than one, to use them all."""
    return 1 if lanes <= WARP * SCHEDULERS * multiprocessors else 4


@functools.cache
def _multiprocessors(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
