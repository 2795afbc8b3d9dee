"""From grid cells to sites: weights of cells by sampling, interpolation, areas, or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thalweg.storage.errors import InputError

METHODS = ("nearest", "bilinear", "area")
BOX = ("south", "north", "west", "east")
KM_PER_DEGREE = 111.195  # of latitude, on a sphere of 6,371 km
LEAST_SHARE = 0.5  # of a site's weight that must have values


@dataclass(frozen=True)
class Grid2d:
    """Centres of the cells of a grid (degrees).

    Attributes
    ----------
    latitude, longitude : array
        Shapes ``(row,)`` and ``(column,)``, or both ``(row, column)`` of a curvilinear grid.
    """

    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        if self.latitude.ndim == 2:
            return self.latitude.shape[0], self.latitude.shape[1]
        return self.latitude.size, self.longitude.size

    def same(self, other: Grid2d) -> bool:
        """Whether two files have the same cells."""
        return (
            self.shape == other.shape
            and np.allclose(self.latitude, other.latitude, atol=1e-5)
            and np.allclose(self.longitude, other.longitude, atol=1e-5)
        )

    def spacing(self) -> float:
        """Return the distance of neighbouring cells (degrees), the largest there is."""
        parts = [
            np.abs(np.diff(axis, axis=number)).max()
            for axis, number in ((self.latitude, 0), (self.longitude, self.longitude.ndim - 1))
            if axis.shape[number] > 1
        ]
        return float(max(parts, default=1.0))


@dataclass(frozen=True)
class Weights:
    """Weights of cells for sites.

    Attributes
    ----------
    cells : array, shape (cell,)
        Indices into the flattened grid, sorted.
    places : array, shape (entry,)
        Of every site's cells one after the other: positions in `cells`.
    weights : array, shape (entry,)
        Those of a site add up to 1.
    starts : array, shape (site,)
        Where the entries of each site begin.
    """

    cells: NDArray[np.int64]
    places: NDArray[np.int64]
    weights: NDArray[np.float64]
    starts: NDArray[np.int64]

    def average(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return averages over sites.

        Cells without a value (such as sea) are left out and the others count for them, unless less than
        half of a site's weight is left.

        Parameters
        ----------
        values : array, shape (time, cell)

        Returns
        -------
        array, shape (time, site)
        """
        entries = values[:, self.places]
        known = np.isfinite(entries)
        result: NDArray[np.float64]
        if known.all():
            result = np.add.reduceat(entries * self.weights, self.starts, axis=1)
            return result
        total = np.add.reduceat(np.where(known, entries, 0.0) * self.weights, self.starts, axis=1)
        share = np.add.reduceat(known * self.weights, self.starts, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            result = np.where(share >= LEAST_SHARE - 1e-9, total / share, np.nan)
        return result


def _weights(rows: Sequence[Mapping[int, float]]) -> Weights:
    """Return the weights of sites given as cell to weight, each scaled to add up to 1."""
    cells = np.array([cell for row in rows for cell in row], dtype=np.int64)
    lengths = [len(row) for row in rows]
    given = np.array([weight for row in rows for weight in row.values()], dtype=np.float64)
    totals = np.repeat([sum(row.values()) for row in rows], lengths)
    unique, places = np.unique(cells, return_inverse=True)
    return Weights(unique, places, given / totals, np.cumsum([0, *lengths[:-1]]))


def site_weights(grid: Grid2d, method: str, table: pd.DataFrame, where: str) -> Weights:
    """Return the weights for sites at coordinates.

    Parameters
    ----------
    grid : Grid2d
    method : str
        ``nearest``: the cell whose centre is nearest. ``bilinear``: between the four centres around the
        site. ``area``: the overlap of cells with the site's box (columns ``south, north, west, east``,
        degrees), or with a square of the site's ``area`` (km2) around it.
    table : pandas.DataFrame
        Rows are sites, with ``latitude`` and ``longitude``.
    where : str
        The grid, for errors.

    Raises
    ------
    InputError
        If a site is not on the grid, or the table lacks what the method needs.
    """
    if method == "nearest":
        return _nearest(grid, table, where)
    if grid.latitude.ndim == 2:
        raise InputError(
            f"{where}: coordinates have two dimensions; use method nearest, or a table of weights"
        )
    if method == "bilinear":
        return _weights([_bilinear(grid, site, row, where) for site, row in _rows(table)])
    boxes = all(name in table for name in BOX)
    if not boxes and "area" not in table:
        raise InputError(
            "method area: the table of stations needs columns south, north, west and east (degrees), "
            "or area (km2)"
        )
    return _weights([_overlaps(grid, site, row, boxes, where) for site, row in _rows(table)])


def table_weights(grid: Grid2d, file: Path, table: pd.DataFrame, where: str) -> Weights:
    """Return the weights that a CSV file gives: columns ``site, latitude, longitude, weight``, a row a cell.

    Raises
    ------
    InputError
        If a column is missing, a cell is not one of the grid, or a site has no weights.
    """
    given = read_weights(file)
    cells = _nearest_cells(grid, given["latitude"].to_numpy(), given["longitude"].to_numpy())
    flat_latitude, flat_longitude = _flat(grid)
    tolerance = 0.5 * grid.spacing()
    off = np.maximum(
        np.abs(flat_latitude[cells] - given["latitude"]),
        np.abs(_around(flat_longitude[cells] - given["longitude"])),
    )
    if (off > tolerance).any():
        row = int(np.argmax(off > tolerance))
        raise InputError(
            f"{file}: line {row + 2}: {given['latitude'][row]:g}, {given['longitude'][row]:g} "
            f"is no cell of {where}"
        )
    rows: dict[str, dict[int, float]] = {str(site): {} for site in table.index}
    for site, cell, weight in zip(given["site"], cells, given["weight"], strict=True):
        if site in rows and weight > 0.0:
            rows[site][int(cell)] = rows[site].get(int(cell), 0.0) + float(weight)
    for site, cells_of_site in rows.items():
        if not cells_of_site:
            raise InputError(f"{file}: no weights above 0 for site {site!r}")
    return _weights(list(rows.values()))


def read_weights(file: Path) -> pd.DataFrame:
    """Return a table of weights."""
    if not file.is_file():
        raise InputError(f"{file}: no such file; it should be a CSV table: site, latitude, longitude, weight")
    try:
        given = pd.read_csv(file, dtype={"site": str})
    except ValueError as problem:  # not UTF-8, empty, or rows of different length
        raise InputError(f"{file}: cannot be read as a table: {problem}") from problem
    for name in ("site", "latitude", "longitude", "weight"):
        if name not in given:
            raise InputError(f"{file}: no column {name!r}; it has {', '.join(map(str, given.columns))}")
    for name in ("latitude", "longitude", "weight"):
        numbers = pd.to_numeric(given[name], errors="coerce").to_numpy(dtype=float)
        wrong = ~np.isfinite(numbers) | ((numbers < 0.0) if name == "weight" else False)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{file}: line {row + 2}, column {name!r}: {given[name].iloc[row]} is no {name}")
        given[name] = numbers
    given["site"] = given["site"].str.strip()
    return given


def _rows(table: pd.DataFrame) -> list[tuple[str, Any]]:
    return [(str(site), row) for site, row in table.iterrows()]


def _around(difference: Any) -> Any:
    """Return differences of longitude (degrees) between -180 and 180."""
    return (difference + 180.0) % 360.0 - 180.0


def _flat(grid: Grid2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if grid.latitude.ndim == 2:
        return grid.latitude.ravel(), grid.longitude.ravel()
    latitude, longitude = np.meshgrid(grid.latitude, grid.longitude, indexing="ij")
    return latitude.ravel(), longitude.ravel()


def _nearest_cells(
    grid: Grid2d, latitude: NDArray[np.float64], longitude: NDArray[np.float64]
) -> NDArray[np.int64]:
    if grid.latitude.ndim == 1:
        row = np.abs(grid.latitude[None, :] - latitude[:, None]).argmin(axis=1)
        column = np.abs(_around(grid.longitude[None, :] - longitude[:, None])).argmin(axis=1)
        return np.asarray(row * grid.longitude.size + column, dtype=np.int64)
    from scipy.spatial import cKDTree

    _, cells = cKDTree(_on_sphere(*_flat(grid))).query(_on_sphere(latitude, longitude))
    return np.asarray(cells, dtype=np.int64)


def _on_sphere(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def _nearest(grid: Grid2d, table: pd.DataFrame, where: str) -> Weights:
    latitude, longitude = (table[name].to_numpy(dtype=float) for name in ("latitude", "longitude"))
    cells = _nearest_cells(grid, latitude, longitude)
    flat_latitude, flat_longitude = _flat(grid)
    spacing = grid.spacing()
    off = np.maximum(
        np.abs(flat_latitude[cells] - latitude), np.abs(_around(flat_longitude[cells] - longitude))
    )
    if (off > spacing).any():
        _refuse_outside(str(table.index[int(np.argmax(off > spacing))]), table, where)
    return _weights([{int(cell): 1.0} for cell in cells])


def _refuse_outside(site: str, table: Any, where: str) -> None:
    row = table.loc[site] if isinstance(table, pd.DataFrame) else table
    raise InputError(
        f"site {site!r} at {row['latitude']:g}, {row['longitude']:g} is not on the grid of {where}"
    )


def _bilinear(grid: Grid2d, site: str, row: Any, where: str) -> dict[int, float]:
    latitudes = _between(grid.latitude, float(row["latitude"]), wrap=False)
    longitudes = _between(grid.longitude, float(row["longitude"]), wrap=True)
    if latitudes is None or longitudes is None:
        _refuse_outside(site, row, where)
        return {}
    return {
        i * grid.longitude.size + j: p * q
        for i, p in latitudes.items()
        for j, q in longitudes.items()
        if p * q > 0.0
    }


def _between(axis: NDArray[np.float64], value: float, wrap: bool) -> dict[int, float] | None:
    """Return the two places of an axis around a value with their weights; half a cell outside is the edge."""
    offset = _around(axis - value) if wrap else axis - value
    order = np.argsort(offset)
    right = int(np.searchsorted(offset[order], 0.0))
    step = float(np.abs(np.diff(np.sort(axis))).max()) if axis.size > 1 else 1.0
    if right in (0, axis.size):
        edge = int(order[0] if right == 0 else order[-1])
        across = int(order[-1] if right == 0 else order[0])
        if wrap and abs(_around(axis[across] - axis[edge])) <= 1.5 * step and axis.size > 2:
            gap = abs(float(_around(axis[across] - axis[edge])))
            share = abs(float(offset[edge])) / gap
            return {edge: 1.0 - share, across: share}
        return {edge: 1.0} if abs(float(offset[edge])) <= 0.5 * step + 1e-9 else None
    low, high = int(order[right - 1]), int(order[right])
    gap = float(offset[high] - offset[low])
    if gap > 1.5 * step:
        return None
    share = -float(offset[low]) / gap
    return {low: 1.0 - share, high: share}


def _edges(axis: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and upper edges of cells: halfway between the centres."""
    if axis.size == 1:
        return axis - 0.5, axis + 0.5
    half = np.abs(np.diff(axis)) / 2.0
    before, after = np.append(half[:1], half), np.append(half, half[-1:])
    if axis[1] < axis[0]:
        return axis - after, axis + before
    return axis - before, axis + after


def _overlaps(grid: Grid2d, site: str, row: Any, boxes: bool, where: str) -> dict[int, float]:
    """Return areas (of a unit sphere) that the cells share with a site's box."""
    if boxes:
        south, north, west, east = (float(row[name]) for name in BOX)
    else:
        height = np.sqrt(float(row["area"])) / KM_PER_DEGREE
        width = height / max(np.cos(np.radians(float(row["latitude"]))), 1e-6)
        south, north = (float(row["latitude"]) + sign * height / 2 for sign in (-1, 1))
        west, east = (float(row["longitude"]) + sign * width / 2 for sign in (-1, 1))
    if not (south < north and np.isfinite([south, north, west, east]).all()):
        raise InputError(f"site {site!r}: its box from {south:g} to {north:g} degrees north is empty")
    low, high = (np.clip(edge, -90.0, 90.0) for edge in _edges(grid.latitude))
    heights = np.maximum(
        np.sin(np.radians(np.minimum(high, north))) - np.sin(np.radians(np.maximum(low, south))), 0.0
    )
    left, right = _edges(grid.longitude)
    width = (east - west) % 360.0 or 360.0
    start = (left - west) % 360.0
    size = right - left
    # A cell that begins before the box's western edge reaches into it from the other side of the circle.
    widths = np.maximum(np.minimum(start + size, width) - start, 0.0)
    widths += np.maximum(np.minimum(start + size - 360.0, width), 0.0)
    rows, columns = np.flatnonzero(heights > 0.0), np.flatnonzero(widths > 1e-12)
    box = (np.sin(np.radians(north)) - np.sin(np.radians(south))) * width
    if heights.sum() * widths.sum() < LEAST_SHARE * box:
        _refuse_outside(site, row, where)
    return {
        int(i) * grid.longitude.size + int(j): float(heights[i] * np.radians(widths[j]))
        for i in rows
        for j in columns
    }
