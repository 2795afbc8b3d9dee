"""Chunks of numbers: how they are packed, and whole ones written without the detours of a general writer.

A chunk is packed with Blosc and ends in a checksum, which :mod:`thalweg.storage.checked` compares.
zarr-python hands every chunk from thread to thread at each step of packing and writing it: the same takes it
three to four times the processor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.blosc import SHUFFLE, compress  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import default_buffer_prototype

AT_ONCE = 8  # chunks that are being written while others are packed
LEVEL = 5
PACKED = (BloscCodec(cname="lz4", clevel=LEVEL, shuffle="shuffle"), Crc32cCodec())


def write_chunks(array: zarr.Array, first: Sequence[int], values: NDArray[Any]) -> None:
    """Write values into an array whose chunks are :data:`PACKED`, fast where they fill whole chunks.

    Parameters
    ----------
    array : zarr.Array
        Of numbers.
    first : sequence of int
        Where the values begin, along each axis.
    values : array
        They lie within the array, and have its type.
    """
    last = [begin + length for begin, length in zip(first, values.shape, strict=True)]
    sides = list(zip(first, last, array.chunks, array.shape, strict=True))
    if all(begin % chunk == 0 and (end % chunk == 0 or end == size) for begin, end, chunk, size in sides):
        starts = product(*(range(begin, end, chunk) for begin, end, chunk, _ in sides))
        run(_write(array, starts, first, values))
    else:
        array[tuple(map(slice, first, last))] = values


def run(task: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, also where an event loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(task)
    else:  # as in a notebook: there can be only one in a thread
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, task).result()


async def _write(
    array: zarr.Array, starts: Iterator[tuple[int, ...]], first: Sequence[int], values: NDArray[Any]
) -> None:
    store, buffer = array.store, default_buffer_prototype().buffer

    async def some() -> None:
        for start in starts:
            within = (slice(a - b, a - b + c) for a, b, c in zip(start, first, array.chunks, strict=True))
            numbers = "/".join(str(a // c) for a, c in zip(start, array.chunks, strict=True))
            content = _packed(array, values[tuple(within)])
            key = f"{array.path}/c/{numbers}"
            if content is None:
                await store.delete(key)
            else:
                await store.set(key, buffer.from_bytes(content))

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def _packed(array: zarr.Array, piece: NDArray[Any]) -> bytes | None:
    """Give the content of a chunk; None for one that holds nothing, which is not stored."""
    fill = array.fill_value
    if bool((np.isnan(piece) if fill != fill else piece == fill).all()):
        return None
    if piece.shape != array.chunks:  # at the end of the array
        whole = np.full(array.chunks, fill, array.dtype)
        whole[tuple(map(slice, piece.shape))] = piece
        piece = whole
    packed: bytes = compress(np.ascontiguousarray(piece, array.dtype), b"lz4", LEVEL, SHUFFLE)
    return packed + int(google_crc32c.value(packed)).to_bytes(4, "little")
