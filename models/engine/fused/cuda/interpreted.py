"""What Triton's interpreter lacks: a fused product and sum, and the functions of libdevice.

The names are libdevice's, so that this module can stand in its place in a kernel's text. Numbers are
numpy's and torch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import triton.language as tl
from triton.runtime.interpreter import TensorHandle

from thalweg.models.engine.fused.operations import LIBRARY

Block = Any  # a triton.language.tensor whose handle holds a numpy array


def _like(block: Block, data: Any) -> Block:
    array = np.asarray(data, block.handle.data.dtype)
    return tl.tensor(TensorHandle(array, block.handle.dtype), block.type)


def fma(x: Block, y: Block, z: Block) -> Block:
    """Give ``x * y + z``, the product with eleven more bits than double precision has."""
    a, b, c = (v.handle.data.astype(np.longdouble) for v in (x, y, z))
    return _like(x, a * b + c)


def rint(x: Block) -> Block:
    """Give the nearest whole number, the even one of two."""
    return _like(x, np.rint(x.handle.data))


def trunc(x: Block) -> Block:
    """Give the whole number next towards zero."""
    return _like(x, np.trunc(x.handle.data))


def copysign(x: Block, y: Block) -> Block:
    """Give x with the sign of y."""
    return _like(x, np.copysign(x.handle.data, y.handle.data))


def _from_torch(name: str) -> Callable[..., Block]:
    function = getattr(torch, name)

    def library(*blocks: Block) -> Block:
        inside = [torch.from_numpy(np.ascontiguousarray(block.handle.data)) for block in blocks]
        return _like(blocks[0], function(*inside).numpy())

    return library


globals().update({name: _from_torch(name) for name in LIBRARY})
