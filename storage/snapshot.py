"""The hash of a dataset's content."""

from __future__ import annotations

import hashlib

import numpy as np
import xarray as xr

DESCRIBING = ("units", "role")


def content_hash(dataset: xr.Dataset) -> str:
    """Return the SHA-256 of names, dims, units, roles and values, as 64 hexadecimal digits.

    It depends neither on chunks, compression and byte order, nor on the order of variables, nor on how
    a NaN is encoded; long names and other attributes do not count.

    Parameters
    ----------
    dataset : xarray.Dataset
        Its values are read.
    """
    total = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset.variables[name]
        values = np.asarray(variable.values)
        head = [name, *map(str, variable.dims), *map(str, variable.shape)]
        head += [str(variable.attrs.get(key, "")) for key in DESCRIBING]
        total.update("\x1f".join(head).encode())
        total.update(_bytes(values))
    return total.hexdigest()


def _bytes(values: np.ndarray) -> bytes:
    if values.dtype.kind == "f":
        plain = values.astype(f"<f{values.dtype.itemsize}")
        plain[np.isnan(plain)] = np.nan
        return plain.dtype.str.encode() + plain.tobytes()
    if values.dtype.kind == "M":
        return b"M8[ns]" + values.astype("datetime64[ns]").astype("<i8").tobytes()
    if values.dtype.kind in "iub":
        return b"i8" + values.astype("<i8").tobytes()
    return b"text" + "\x1f".join(str(item) for item in values.ravel()).encode()
