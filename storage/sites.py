"""Names of sites, and where they are in a store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

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
