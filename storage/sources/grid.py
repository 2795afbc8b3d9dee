"""Reader of gridded fields (netCDF, Zarr; CF conventions): daily, of several hours, or monthly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.sources.blocks import day_axis
from thalweg.storage.sources.catalog import Catalog, stamp
from thalweg.storage.sources.grid_files import (
    Piece,
    check_stamp,
    digest,
    file_stamp,
    find_files,
    look_into,
    read_cells,
)
from thalweg.storage.sources.grid_space import METHODS, Grid2d, Weights, site_weights, table_weights
from thalweg.storage.sources.grid_time import LABELS, Steps, find_steps, to_days
from thalweg.storage.sources.mapping import Wanted, wanted_variables
from thalweg.storage.sources.options import add_evapotranspiration, site_list, usual_evapotranspiration
from thalweg.storage.sources.stations import Stations, read_stations
from thalweg.storage.suggestions import refuse_unknown, suggest
from thalweg.storage.units import convert

LEAP_DAYS = ("missing", "previous")
BLOCK_BYTES = 64 * 2**20  # of cells read at once


class _Field(NamedTuple):
    """A field over all files: its parts in order of time, their steps, and the grid."""

    pieces: list[Piece]
    begins: NDArray[np.int64]  # first step of each piece
    steps: Steps
    units: str
    grid: Grid2d


class Grid:
    """Gridded fields, sampled or averaged to sites.

    Parameters
    ----------
    path : path, or list of paths
        A netCDF file, a Zarr store, a folder of them, or a pattern such as ``era5/*.nc``. Fields may be
        in different files; files follow each other in time.
    variables : mapping
        Canonical name to field, or to ``{field, units, aggregation}``. Units of a rate or state (mm/day,
        kg m-2 s-1, K) are averaged over the steps of a day, those of an amount (m, J m-2) are summed;
        ``aggregation: min``, ``max`` and ``last`` (an amount that grows over the day) can be asked for.
    stations : path or mapping
        The table of sites; see :func:`thalweg.storage.sources.stations.read_stations`.
    method : str
        ``nearest``, ``bilinear`` or ``area``; see :func:`thalweg.storage.sources.grid_space.site_weights`.
    weights : path, optional
        A CSV table ``site, latitude, longitude, weight`` of cells, in place of `method`.
    sites : list of str or path, optional
        Those of the stations to take; by default all.
    time_label : str
        Where in its interval a time stands that has no bounds: ``start``, ``middle`` or ``end``.
    leap_days : str
        For the calendar ``noleap``: ``missing``, or ``previous`` to repeat 28 February.
    potential_evapotranspiration : str
        ``oudin``, ``hargreaves``, ``none``, or ``auto``: where there is a temperature.

    Raises
    ------
    InputError
        If a file, field, unit, calendar or site does not fit; by the methods, not when it is made.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str],
        variables: Mapping[str, Any],
        stations: str | Path | Mapping[str, str],
        method: str = "nearest",
        weights: str | Path | None = None,
        sites: Sequence[str] | str | Path | None = None,
        time_label: str = "start",
        leap_days: str = "missing",
        potential_evapotranspiration: str = "auto",
    ) -> None:
        refuse_unknown([method], METHODS, "method of source grid")
        refuse_unknown([time_label], LABELS, "time_label of source grid")
        refuse_unknown([leap_days], LEAP_DAYS, "leap_days of source grid")
        self.path, self.stations, self.method, self.sites = path, stations, method, sites
        self.weights = None if weights is None else Path(weights).expanduser()
        self.time_label, self.leap_days = time_label, leap_days
        self.wanted = wanted_variables(variables, "grid", "field")
        self.potential_evapotranspiration = potential_evapotranspiration

    @cached_property
    def _stations(self) -> Stations:
        return read_stations(self.stations, "grid", site_list(self.sites))

    @cached_property
    def _files(self) -> dict[Path, str]:
        """Return the files with their stamps, taken before anything is read."""
        return {file: file_stamp(file) for file in find_files(self.path)}

    @cached_property
    def _fields(self) -> dict[str, _Field]:
        names = list(dict.fromkeys(wanted.column for wanted in self.wanted))
        pieces: dict[str, list[Piece]] = {name: [] for name in names}
        grids: dict[str, Grid2d] = {}
        there: set[str] = set()
        for file in self._files:
            found, grid, all_names = look_into(file, names)
            there.update(all_names)
            for name, piece in found.items():
                assert grid is not None
                if not grids.setdefault(name, grid).same(grid):
                    raise InputError(f"{file}: field {name!r} has other cells than in {pieces[name][0].file}")
                pieces[name].append(piece)
        for name in names:
            if not pieces[name]:
                raise InputError(f"{self.path}: no field {name!r}; {suggest(name, there)}")
        return {name: _joined(pieces[name], name, grids[name], self.time_label) for name in names}

    @cached_property
    def _conversions(self) -> dict[str, tuple[str, str, str, str]]:
        """Return of each variable its aggregation, unit, target unit, and where it comes from."""
        result = {}
        for wanted in self.wanted:
            field = self._fields[wanted.column]
            units = wanted.units or field.units
            where = f"{field.pieces[0].file}: field {wanted.column!r}"
            if not units:
                raise InputError(
                    f"{where} has no units; give them as {{field: {wanted.column}, units: mm/day}}"
                )
            result[wanted.name] = (*wanted.conversion(units, where), where)
        return result

    @cached_property
    def _method(self) -> str:
        return usual_evapotranspiration(
            self.potential_evapotranspiration, {wanted.name for wanted in self.wanted}
        )

    def catalog(self) -> Catalog:
        """Return sites, the days that any field covers, and one stamp of all files."""
        _ = self._conversions, self._method  # refused here, before anything is read
        sites = tuple(str(site) for site in self._stations.table.index)
        self._weights_of(sites, next(iter(self._fields.values())))
        steps = [field.steps for field in self._fields.values()]
        tables = [self._stations.file] + ([self.weights] if self.weights else [])
        one = digest([*self._files.values(), stamp(*tables)])
        return Catalog(
            sites=sites,
            first=min(each.first for each in steps).astype(object),
            last=max(each.last for each in steps).astype(object),
            bytes=sum(int(each[len(str(file)) + 1 :].split(" ")[0]) for file, each in self._files.items()),
            stamps=dict.fromkeys(sites, one),
        )

    def attributes(self) -> xr.Dataset:
        """Return coordinates and static attributes of the stations."""
        return self._stations.attributes("grid").assign_attrs(title=f"Gridded fields of {self.path}")

    def read(self, sites: Sequence[str], first: date, last: date) -> xr.Dataset:
        """Return series of sites and days."""
        axis = day_axis(first, last)
        days = axis.values.astype("datetime64[D]")
        data: dict[str, Any] = {}
        for name, field in self._fields.items():
            chosen = field.steps.of(days[0], days[-1])
            values = self._averages(name, field, chosen, self._weights_of(sites, field))
            for wanted in self.wanted:
                if wanted.column == name:
                    daily, attributes = self._daily(wanted, field, values, chosen, days)
                    data[wanted.name] = (("site", "time"), daily, attributes)
        dataset = xr.Dataset(data, coords={"site": np.array(list(sites), dtype=object), "time": axis})
        if not self._method:
            return dataset
        latitude = self._stations.table.loc[list(sites), "latitude"].to_numpy(dtype=float)
        return add_evapotranspiration(dataset, self._method, latitude)

    def _weights_of(self, sites: Sequence[str], field: _Field) -> Weights:
        table, where = self._stations.table.loc[list(sites)], str(field.pieces[0].file)
        if self.weights is not None:
            return table_weights(field.grid, self.weights, table, where)
        return site_weights(field.grid, self.method, table, where)

    def _averages(self, name: str, field: _Field, chosen: slice, weights: Weights) -> NDArray[np.float64]:
        """Return a field over sites at chosen steps; shape (step, site)."""
        parts = [np.empty((0, weights.starts.size))]
        columns = field.grid.shape[1]
        rows, places = np.divmod(weights.cells, columns)
        box = (np.ptp(rows) + 1) * (np.ptp(places) + 1)
        length = max(int(BLOCK_BYTES // (8 * box)), 1)
        for piece, begin in zip(field.pieces, field.begins, strict=True):
            start = max(chosen.start - int(begin), 0)
            stop = min(chosen.stop - int(begin), piece.instants.size)
            if start >= stop:
                continue
            before = self._files[piece.file]
            check_stamp(piece.file, before)
            for low in range(start, stop, length):
                steps = slice(low, min(low + length, stop))
                parts.append(weights.average(read_cells(piece, name, steps, weights.cells, columns)))
            check_stamp(piece.file, before)
        return np.concatenate(parts)

    def _daily(
        self, wanted: Wanted, field: _Field, values: NDArray[np.float64], chosen: slice, days: Any
    ) -> tuple[NDArray[np.float32], dict[str, str]]:
        """Return a variable over ``(site, time)`` in its target unit, and its attributes."""
        aggregation, units, target, where = self._conversions[wanted.name]
        daily = to_days(values, field.steps, chosen, aggregation, days, self.leap_days)
        attributes = dict(wanted.attributes(target))
        if field.steps.per_day == 0:
            attributes["comment"] = "monthly values, the same on each day of a month"
        converted = convert(daily, units, target, where)
        return np.ascontiguousarray(converted.T, dtype=np.float32), attributes


def _joined(pieces: list[Piece], name: str, grid: Grid2d, label: str) -> _Field:
    """Return the parts of a field in order of time."""
    pieces = sorted(pieces, key=lambda piece: piece.instants[0])
    for before, after in pairwise(pieces):
        if after.instants[0] <= before.instants[-1]:
            raise InputError(
                f"{after.file}: field {name!r} at {after.instants[0]} is also in {before.file}; "
                "files must follow each other in time"
            )
        if after.units != before.units:
            raise InputError(
                f"{after.file}: field {name!r} is in {after.units!r}, in {before.file} in {before.units!r}"
            )
    widths = None
    if all(piece.widths is not None for piece in pieces):
        widths = np.concatenate([piece.widths for piece in pieces if piece.widths is not None])
    instants = np.concatenate([piece.instants for piece in pieces])
    steps = find_steps(instants, label, widths is not None, widths, f"{pieces[0].file}: field {name!r}")
    begins = np.cumsum([0, *(piece.instants.size for piece in pieces[:-1])])
    return _Field(pieces, begins, steps, pieces[0].units, grid)
