"""Whole chunks written at once: the same bytes as zarr-python writes."""

import asyncio

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from thalweg.storage.chunks import PACKED, run, write_chunks


def array(shape=(7, 10), chunks=(3, 4), dtype="f4", fill=np.nan):
    return zarr.create_array(
        MemoryStore(), name="a", shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, compressors=PACKED
    )


def content(array):
    return {key: value.to_bytes() for key, value in array.store._store_dict.items() if "/c/" in key}


def values(shape, dtype="f4"):
    return np.random.default_rng(1).integers(1, 99, shape).astype(dtype)


@pytest.mark.parametrize(
    ("first", "shape"),
    [
        ((0, 0), (7, 10)),  # everything, with chunks that the end of the array cuts off
        ((3, 4), (3, 4)),  # one chunk
        ((3, 4), (4, 6)),  # to both ends
        ((0, 8), (7, 2)),
        ((1, 0), (2, 10)),  # parts of chunks
        ((0, 0), (3, 5)),
    ],
)
def test_the_bytes_are_those_of_zarr(first, shape):
    ours, theirs, new = array(), array(), values(shape)
    for each in (ours, theirs):
        each[:] = 1000.0
    write_chunks(ours, first, new)
    theirs[first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]] = new
    assert content(ours) == content(theirs)
    np.testing.assert_array_equal(ours[:], theirs[:])


@pytest.mark.parametrize(("dtype", "fill"), [("f4", np.nan), ("f8", 0), ("u2", 0)])
def test_chunks_that_hold_nothing_are_removed(dtype, fill):
    ours, new = array(dtype=dtype, fill=fill), values((7, 10), dtype)
    write_chunks(ours, (0, 0), new)
    assert len(content(ours)) == 9
    new[:3, :4] = fill
    write_chunks(ours, (0, 0), new)
    assert len(content(ours)) == 8
    np.testing.assert_array_equal(ours[:], new)


def test_values_need_not_lie_together():
    ours, new = array((4, 6, 5), (2, 3, 5)), values((6, 4, 5)).transpose(1, 0, 2)
    write_chunks(ours, (0, 0, 0), new)
    np.testing.assert_array_equal(ours[:], new)


def test_within_a_running_loop():
    """As in a notebook."""
    ours, new = array(), values((7, 10))

    async def notebook():
        write_chunks(ours, (0, 0), new)

    run(notebook())
    np.testing.assert_array_equal(ours[:], new)


def test_an_error_of_the_store_comes_through():
    class Full(MemoryStore):
        async def set(self, key, value, byte_range=None):
            if "/c/" in key:
                raise OSError(28, "no space")
            await super().set(key, value)

    full = zarr.create_array(Full(), name="a", shape=(4, 4), chunks=(2, 2), dtype="f4", compressors=PACKED)
    with pytest.raises(OSError, match="no space"):
        write_chunks(full, (0, 0), values((4, 4)))
    assert asyncio.run(full.store.get("a/c/0/0", zarr.core.buffer.default_buffer_prototype())) is None
