"""The hash of a dataset's content: the same on every machine and for every order of arrival.

Values over time are hashed by site and calendar year, and these hashes are kept in the store: an update
hashes the years that it changed, and the whole is the hash of the hashes.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

DESCRIBING = ("units", "role")
DIGEST = 16  # bytes of SHA-256 kept for a site's year; zeros where there is no value in it


def content_hash(dataset: xr.Dataset) -> str:
    """Return the SHA-256 of names, units, roles, sites, days and values, as 64 hexadecimal digits.

    It depends neither on chunks, compression and byte order, nor on the order of variables and sites, nor
    on how a NaN is encoded; long names and other attributes do not count.

    Parameters
    ----------
    dataset : xarray.Dataset
        Dims ``(site, time)``; its values are read.
    """
    return combined_hash(dataset, year_hashes(dataset))


def year_hashes(dataset: xr.Dataset) -> xr.Dataset:
    """Return the hash of each site's values in each calendar year.

    Days without any value at either end of a year do not count: a year's hash stays as it is when the
    time axis grows into it.

    Parameters
    ----------
    dataset : xarray.Dataset
        Dims ``(site, time)``, whole years of daily values except at the ends of the store.

    Returns
    -------
    xarray.Dataset
        ``hash`` over ``(site, year, byte)``, 16 bytes each, zeros where a year has no value.
    """
    names = sorted(str(name) for name, values in dataset.data_vars.items() if values.ndim == 2)
    days = pd.DatetimeIndex(dataset["time"].values)
    years = np.unique(days.year.to_numpy())
    hashes = np.zeros((dataset.sizes["site"], len(years), DIGEST), dtype=np.uint8)
    series = [dataset[name].transpose("site", "time").values for name in names]
    for place, year in enumerate(years):
        inside = slice(*np.searchsorted(days.year, [year, year + 1]))
        values = np.stack([each[:, inside].astype("<f4", copy=False) for each in series], axis=1)
        hashes[:, place] = _year(values, days.day_of_year[inside].to_numpy())
    coordinates: dict[str, Any] = {"site": dataset["site"].values, "year": years.astype(np.int64)}
    return xr.Dataset({"hash": (("site", "year", "byte"), hashes)}, coords=coordinates)


def _year(values: NDArray[np.float32], day_of_year: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Hash a year of all sites; `values` has shape (site, variable, day)."""
    absent = np.isnan(values)
    values[absent] = np.nan  # one of the many bit patterns of NaN
    known: NDArray[np.bool_] = ~np.all(absent, axis=1)
    first, last = known.argmax(axis=1), known.shape[1] - known[:, ::-1].argmax(axis=1)
    result = np.zeros((len(values), DIGEST), dtype=np.uint8)
    for row in np.flatnonzero(known.any(axis=1)):
        total = hashlib.sha256(int(day_of_year[first[row]]).to_bytes(2, "little"))
        total.update(values[row, :, first[row] : last[row]].tobytes())
        result[row] = np.frombuffer(total.digest()[:DIGEST], dtype=np.uint8)
    return result


def combined_hash(dataset: xr.Dataset, hashes: xr.Dataset) -> str:
    """Return the content's hash from the hashes of all years; values over time are not read.

    Parameters
    ----------
    dataset : xarray.Dataset
        The whole store.
    hashes : xarray.Dataset
        As :func:`year_hashes` gives it, for all sites and years.
    """
    total = hashlib.sha256(b"thalweg content 2")
    order = np.argsort(dataset["site"].values.astype(str), kind="stable")
    days = dataset["time"].values[[0, -1]].astype("datetime64[D]").astype("<i8")
    total.update(days.tobytes())
    for name in sorted(map(str, dataset.variables)):
        variable = dataset.variables[name]
        head = [name, *sorted(map(str, variable.dims))]
        head += [str(variable.attrs.get(key, "")) for key in DESCRIBING]
        total.update(("\x1e" + "\x1f".join(head)).encode())
        if variable.dims == ("site",):
            total.update(_bytes(np.asarray(variable.values)[order]))
    total.update(_hash_rows(hashes, dataset["site"].values[order]))
    return total.hexdigest()


def _hash_rows(hashes: xr.Dataset, sites: NDArray[Any]) -> bytes:
    """Give the hashes as bytes, sites and years in order, without the years that hold nothing."""
    index = pd.Index(hashes["site"].values.astype(str)).get_indexer(pd.Index(sites.astype(str)))
    if (index < 0).any():
        raise ValueError(f"no hash of site {sites[index < 0][0]}")
    years = np.argsort(hashes["year"].values, kind="stable")
    values = hashes["hash"].transpose("site", "year", "byte").values[index][:, years]
    rows, columns = np.nonzero(values.any(axis=2))
    labels = np.stack([rows, hashes["year"].values[years][columns]], axis=1).astype("<i8")
    result: bytes = labels.tobytes() + values[rows, columns].tobytes()
    return result


def _bytes(values: NDArray[Any]) -> bytes:
    if values.dtype.kind == "f":
        plain = values.astype(f"<f{values.dtype.itemsize}")
        plain[np.isnan(plain)] = np.nan
        return plain.dtype.str.encode() + plain.tobytes()
    if values.dtype.kind in "iub":
        return b"i8" + values.astype("<i8").tobytes()
    return b"text" + "\x1f".join(str(item) for item in values.ravel()).encode()
