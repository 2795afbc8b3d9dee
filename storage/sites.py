"""Names of sites, and where they are in a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.layout import CHUNK_SITES
from thalweg.storage.suggestions import refuse_unknown


def site_names(dataset: xr.Dataset) -> list[str]:
    """Return the names of all sites, in the store's order."""
    return [str(site) for site in dataset["site"].values.tolist()]


def site_rows(dataset: xr.Dataset, sites: Sequence[str]) -> NDArray[np.intp]:
    """Return the positions of sites along ``site``, shape (len(sites),).

    Raises
    ------
    InputError
        For an unknown site, naming the nearest.
    """
    names = site_names(dataset)
    rows = pd.Index(names).get_indexer(pd.Index(list(sites)))
    if (rows < 0).any():
        refuse_unknown(sites, names, "site")
    return rows


def neighbours(
    rows: NDArray[np.intp], most: int = 8 * CHUNK_SITES
) -> Iterator[tuple[NDArray[np.intp], slice]]:
    """Yield places in `rows` whose rows lie close together, and the slice of the store that has them.

    Neighbours are read as a whole, some chunks at a time: picking rows out of chunks is slower, and
    reading all sites takes memory.

    Parameters
    ----------
    rows : array of int
        Positions along ``site``, in any order.
    most : int
        Rows of a slice at most.
    """
    order = np.argsort(rows, kind="stable")
    chunk = rows[order] // CHUNK_SITES
    first = 0
    for place in range(1, len(order) + 1):
        if (
            place == len(order)
            or chunk[place] > chunk[place - 1] + 1
            or (chunk[place] - chunk[first] + 1) * CHUNK_SITES > most
        ):
            places = order[first:place]
            yield places, slice(int(rows[places[0]]), int(rows[places[-1]]) + 1)
            first = place
