"""Values over time, read from a store's chunks without the detours of a general reader.

A chunk is fetched, decompressed into a buffer that is used again, and put in its place, all in one go.
zarr-python hands every chunk from thread to thread at each of these steps and takes new memory for it: the
same takes it about twice as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numcodecs.blosc import decompress  # type: ignore[import-untyped]
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.core.buffer import default_buffer_prototype

from thalweg.storage.chunks import run

AT_ONCE = 6  # chunks that are being fetched while others are decompressed
CHECKSUM = 4  # bytes at the end of a chunk, which thalweg.storage.checked compares

Places = slice | NDArray[np.intp]


class SeriesArray(BackendArray):
    """A variable over ``(site, time)`` as xarray reads it, when it is used.

    Parameters
    ----------
    store : zarr store
    name : str
    shape : (int, int)
    dtype : dtype
    chunks : (int, int)
        Of chunks as :func:`thalweg.storage.layout.allocate` makes them: Blosc, then a checksum.
    """

    def __init__(
        self, store: Any, name: str, shape: Sequence[int], dtype: np.dtype, chunks: Sequence[int]
    ) -> None:
        self.store, self.name = store, name
        self.shape, self.dtype, self.chunks = tuple(shape), dtype, tuple(chunks)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        """Read some sites and days."""
        found: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return found

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        wanted = [np.arange(size)[each] for size, each in zip(self.shape, key, strict=True)]
        found = np.empty([each.size for each in wanted], self.dtype)
        rows, columns = map(_pieces, map(np.atleast_1d, wanted), self.chunks)
        run(self._fetch(product(rows, columns), found))
        return found.reshape([each.size for each in wanted if each.ndim])

    async def _fetch(self, pieces: Iterator[tuple[_Piece, _Piece]], found: NDArray[Any]) -> None:
        # One thread alone: several would wait for each other's turn in Python more than they gain.
        buffer, prototype = np.empty(self.chunks, self.dtype), default_buffer_prototype()

        async def some() -> None:
            for row, column in pieces:
                into = _outer(row.into, column.into)
                packed = await self.store.get(f"{self.name}/c/{row.chunk}/{column.chunk}", prototype)
                if packed is None:  # never written
                    found[into] = np.nan
                    continue
                decompress(packed.as_numpy_array()[:-CHECKSUM], buffer)
                found[into] = buffer[_outer(row.within, column.within)]

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def read_when_used(store: Any, dataset: xr.Dataset) -> xr.Dataset:
    """Let the variables over ``(site, time)`` of an opened store be read by :class:`SeriesArray`."""
    faster = {}
    for name, values in dataset.variables.items():
        if values.dims == ("site", "time"):
            array = SeriesArray(store, str(name), values.shape, values.dtype, values.encoding["chunks"])
            lazy = indexing.LazilyIndexedArray(array)
            faster[name] = xr.Variable(values.dims, lazy, values.attrs, values.encoding)
    return dataset.assign(faster)


class _Piece(NamedTuple):
    """What is asked for of one row or column of chunks: its number, where in it, and where that goes."""

    chunk: int
    within: Places
    into: Places


def _pieces(wanted: NDArray[np.intp], length: int) -> Iterator[_Piece]:
    """Divide places along one axis by the chunks of `length` that they lie in."""
    order = np.argsort(wanted // length, kind="stable")
    chunks, within = np.divmod(wanted[order], length)
    ends = np.flatnonzero(np.diff(chunks, prepend=-1, append=-1))
    for first, last in pairwise(ends):
        yield _Piece(int(chunks[first]), as_slice(within[first:last]), as_slice(order[first:last]))


def as_slice(places: NDArray[np.intp]) -> Places:
    """Give places that follow one another as a slice: what it takes is copied as a whole, or not at all."""
    gapless = places.size > 0 and bool((np.diff(places) == 1).all())
    return slice(int(places[0]), int(places[-1]) + 1) if gapless else places


def _outer(rows: Places, columns: Places) -> Any:
    if isinstance(rows, slice) or isinstance(columns, slice):
        return rows, columns
    return np.ix_(rows, columns)
