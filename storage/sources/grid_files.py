"""Files of gridded data: netCDF-3 and 4, and Zarr 2 and 3, each with its fields, times and cells."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.sources.catalog import SourceChanged, stamp
from thalweg.storage.sources.grid_space import Grid2d
from thalweg.storage.sources.grid_time import decode

AXES = {
    "latitude": ("degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"),
    "longitude": ("degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"),
}
NAMES = {"latitude": ("latitude", "lat", "nav_lat"), "longitude": ("longitude", "lon", "nav_lon")}
NETCDF = (".nc", ".nc4", ".cdf", ".netcdf")


class Piece(NamedTuple):
    """One file's part of a field.

    Attributes
    ----------
    file : path
    instants : array, shape (step,) (datetime64[s])
        Middles of time bounds, or times.
    widths : array, shape (step,) (s), or None
        Of the bounds.
    units : str
        Of the field.
    dims : tuple of str
        Names of its dims of time, rows and columns.
    """

    file: Path
    instants: NDArray[np.datetime64]
    widths: NDArray[np.int64] | None
    units: str
    dims: tuple[str, str, str]


def find_files(path: str | Path | Iterable[str]) -> list[Path]:
    """Return the files that a spec names: a file, a Zarr store, a folder of netCDF, a pattern, or a list."""
    if not isinstance(path, str | Path):
        return sorted({file for each in path for file in find_files(each)})
    place = Path(path).expanduser()
    if place.is_file() or _is_zarr(place):
        return [place]
    if place.is_dir():
        found = sorted(file for file in place.iterdir() if file.suffix in NETCDF or _is_zarr(file))
        if not found:
            raise InputError(f"{place}: neither a Zarr store nor a folder with netCDF files (*.nc)")
        return found
    found = sorted(Path(each) for each in glob(str(place), recursive=True))
    if not found:
        raise InputError(f"{place}: no such file")
    return found


def file_stamp(file: Path) -> str:
    """Return a text that changes with a file, or with any file of a Zarr store."""
    if not file.is_dir():
        return stamp(file)
    size, newest, count = 0, 0, 0
    for top, _, names in os.walk(file):
        for name in names:
            found = os.stat(os.path.join(top, name))
            size, newest, count = size + found.st_size, max(newest, found.st_mtime_ns), count + 1
    return f"{file} {size} {newest} {count}"


def check_stamp(file: Path, before: str) -> None:
    """Refuse a file that is not the one of the stamp `before`.

    Raises
    ------
    SourceChanged
        Naming it.
    """
    if file_stamp(file) != before:
        raise SourceChanged(f"{file}: changed while it was read; ingest again when it is complete")


def digest(stamps: Iterable[str]) -> str:
    """Return one short text for many stamps."""
    return hashlib.sha256("; ".join(stamps).encode()).hexdigest()


def open_grid(file: Path) -> AbstractContextManager[xr.Dataset]:
    """Open a file; times are left as numbers."""
    try:
        if file.is_dir():
            return xr.open_zarr(file, decode_times=False, chunks=None)  # type: ignore[no-any-return]
        with file.open("rb") as stream:
            classic = stream.read(3) == b"CDF"
        engine: Any = "scipy" if classic else "h5netcdf"
        return xr.open_dataset(file, engine=engine, decode_times=False, cache=False)
    except InputError:
        raise
    except Exception as problem:
        raise InputError(f"{file}: cannot be read as netCDF or Zarr: {problem}") from problem


def look_into(file: Path, fields: Iterable[str]) -> tuple[dict[str, Piece], Grid2d | None, list[str]]:
    """Return the wanted fields of a file, its cells, and the names of all its fields.

    Raises
    ------
    InputError
        If the file cannot be read, or a field is not over time, latitude and longitude.
    """
    with open_grid(file) as dataset:
        there = [str(name) for name in dataset.data_vars]
        pieces, grid = {}, None
        for name in fields:
            if name in dataset.data_vars:
                grid, dims = _cells(dataset, name, file)
                instants, widths = _times(dataset, dims[0], file)
                units = str(dataset[name].attrs.get("units", ""))
                pieces[name] = Piece(file, instants, widths, units, dims)
        return pieces, grid, there


def read_cells(
    piece: Piece, field: str, steps: slice, cells: NDArray[np.int64], columns: int
) -> NDArray[np.float64]:
    """Return a field at cells of the flattened grid; shape (step, cell)."""
    rows, places = np.divmod(cells, columns)
    box = {
        piece.dims[0]: steps,
        piece.dims[1]: slice(int(rows.min()), int(rows.max()) + 1),
        piece.dims[2]: slice(int(places.min()), int(places.max()) + 1),
    }
    try:
        with open_grid(piece.file) as dataset:
            block = dataset[field].isel(box).squeeze()
            extra = [dim for dim in piece.dims if dim not in block.dims]
            values = block.expand_dims(extra).transpose(*piece.dims).values
    except InputError:
        raise
    except Exception as problem:
        raise InputError(f"{piece.file}: field {field!r} cannot be read: {problem}") from problem
    result: NDArray[np.float64] = values[:, rows - rows.min(), places - places.min()].astype(np.float64)
    return result


def _is_zarr(place: Path) -> bool:
    return any((place / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def _axis(dataset: xr.Dataset, kind: str, file: Path) -> xr.DataArray:
    """Return the coordinate of latitude or longitude, found as CF says: by units, standard name, or name."""
    for name, values in dataset.variables.items():
        words = str(values.attrs.get("units", "")).lower(), str(values.attrs.get("standard_name", ""))
        if words[0] in AXES[kind] or words[1] == kind:
            return dataset[name]
    for name in dataset.variables:
        if str(name).lower() in NAMES[kind]:
            return dataset[name]
    raise InputError(f"{file}: no coordinate of {kind}; it has {', '.join(map(str, dataset.variables))}")


def _cells(dataset: xr.Dataset, field: str, file: Path) -> tuple[Grid2d, tuple[str, str, str]]:
    latitude, longitude = _axis(dataset, "latitude", file), _axis(dataset, "longitude", file)
    space = (*latitude.dims, *longitude.dims) if latitude.ndim == 1 else latitude.dims
    variable = dataset[field]
    others = [dim for dim in variable.dims if dim not in space and variable.sizes[dim] > 1]
    times = [dim for dim in variable.dims if dim not in space and _is_time(dataset, dim)]
    if len(times) != 1 or len(space) != 2 or not set(space) <= set(variable.dims) or set(others) - set(times):
        raise InputError(
            f"{file}: field {field!r} has dims {', '.join(map(str, variable.dims))}; time, latitude and "
            "longitude are needed, others of length 1"
        )
    grid = Grid2d(latitude.values.astype(np.float64), longitude.values.astype(np.float64))
    return grid, (str(times[0]), str(space[0]), str(space[1]))


def _is_time(dataset: xr.Dataset, dim: Any) -> bool:
    if dim not in dataset.variables:
        return False
    attributes = dataset[dim].attrs
    return (
        " since " in str(attributes.get("units", ""))
        or attributes.get("standard_name") == "time"
        or dim == "time"
    )


def _times(
    dataset: xr.Dataset, dim: str, file: Path
) -> tuple[NDArray[np.datetime64], NDArray[np.int64] | None]:
    time, where = dataset[dim], f"{file}: {dim}"
    bounds = str(time.attrs.get("bounds", ""))
    if bounds not in dataset.variables:
        return decode(np.atleast_1d(time.values), time.attrs, where), None
    edges = decode(dataset[bounds].values, {**time.attrs, **dataset[bounds].attrs}, f"{file}: {bounds}")
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise InputError(f"{file}: {bounds} has shape {edges.shape}; two bounds of each time are needed")
    widths = (edges[:, 1] - edges[:, 0]).astype(np.int64)
    if (widths <= 0).any():
        raise InputError(f"{file}: {bounds}: an interval of time ends before it begins")
    return edges[:, 0] + widths // 2, widths
