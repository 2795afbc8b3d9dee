"""Reader of tables of stations: any columns and units, wide or long, one file a station or one for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.sources.blocks import Series, ordered, read_block
from thalweg.storage.sources.catalog import Catalog, SourceChanged, refuse_far, stamp
from thalweg.storage.sources.csv_layouts import Layout, Period, SharedFiles, SiteFiles
from thalweg.storage.sources.mapping import Wanted, wanted_variables
from thalweg.storage.sources.options import add_evapotranspiration, site_list, usual_evapotranspiration
from thalweg.storage.sources.problems import Problem
from thalweg.storage.sources.stations import Stations, read_stations
from thalweg.storage.sources.tables import MISSING, Form, is_finished
from thalweg.storage.suggestions import refuse_unknown
from thalweg.storage.units import convert, is_convertible
from thalweg.storage.variables import VARIABLES

VOLUME = "m3/s"
SQUARE_METRES_PER_KM2 = 1e6
_REDUCE = {"mean": np.add, "sum": np.add, "min": np.minimum, "max": np.maximum}


class CsvStations:
    """Tables of stations.

    Parameters
    ----------
    path : str
        ``obs/{site}.csv``: one file a station. ``obs.csv`` or a pattern such as ``obs/*.csv``: all
        stations, told apart by the column `site`. ``obs/{variable}.csv``: a file a variable (named as its
        `column`), a column a station.
    stations : path or mapping
        The table of sites; see :func:`thalweg.storage.sources.stations.read_stations`.
    variables : mapping
        Canonical name to ``{column, units}``, or to the column alone, in canonical units. Amounts (mm)
        count for the time from row to row, a day. A volume (m3/s, L/s) becomes a depth with the station's
        ``area``. ``aggregation`` (mean, sum, min, max, last) makes days of several rows a day.
    time : str or list of str
        The column of times, or the three of year, month and day.
    time_format : str
        As `strptime` has it, such as ``%d.%m.%Y``; by default ISO 8601.
    site : str
        Column that names the station, where a file has several.
    long : mapping, optional
        ``{variable: column, value: column}`` of tables with a row for each variable.
    missing : list, optional
        Numbers and words for a missing value besides empty, NA and NaN, such as ``[-999]``.
    delimiter, decimal, skip_rows :
        How files are written, by default ``,``, ``.`` and 0 lines before the header.
    sites : list of str or path, optional
        Those of the stations to take; by default all.
    potential_evapotranspiration : str
        ``oudin``, ``hargreaves``, ``none``, or ``auto``: where there is a temperature.

    Raises
    ------
    InputError
        If a file, column, unit or site is missing or wrong; by the methods, not when it is made.
    """

    def __init__(
        self,
        path: str | Path,
        stations: str | Path | Mapping[str, str],
        variables: Mapping[str, Any],
        time: str | Sequence[str] = "date",
        time_format: str = "",
        site: str = "site",
        long: Mapping[str, str] | None = None,
        missing: Sequence[Any] = (),
        delimiter: str = ",",
        decimal: str = ".",
        skip_rows: int = 0,
        sites: Sequence[str] | str | Path | None = None,
        potential_evapotranspiration: str = "auto",
    ) -> None:
        self.stations, self.sites = stations, sites
        self.wanted = wanted_variables(variables, "csv_stations", "column")
        self.potential_evapotranspiration = potential_evapotranspiration
        columns = (time,) if isinstance(time, str) else tuple(time)
        if len(columns) not in (1, 3):
            raise InputError(f"source csv_stations: 'time' is {time!r}; one column, or year, month and day")
        refuse_unknown(long or {}, ("variable", "value"), "key in 'long' of source csv_stations")
        if long is not None and len(long) < 2:
            raise InputError("source csv_stations: 'long' needs the columns variable and value")
        words = [missing] if isinstance(missing, str | int | float) else list(missing)
        numbers = tuple(float(word) for word in words if not isinstance(word, str))
        _refuse_form(delimiter, decimal, skip_rows, time_format)
        form = Form(delimiter, decimal, skip_rows, (*MISSING, *(str(each) for each in words)), time_format)
        names = tuple(dict.fromkeys(wanted.column for wanted in self.wanted))
        self.layout = Layout(str(path), form, columns, names, site, **(long or {}), missing=numbers)

    @cached_property
    def _stations(self) -> Stations:
        return read_stations(self.stations, "csv_stations", site_list(self.sites))

    @cached_property
    def _files(self) -> SiteFiles | SharedFiles:
        sites = [str(site) for site in self._stations.table.index]
        return (
            SiteFiles(self.layout, sites) if "{site}" in self.layout.path else SharedFiles(self.layout, sites)
        )

    @cached_property
    def _method(self) -> str:
        return usual_evapotranspiration(
            self.potential_evapotranspiration, {wanted.name for wanted in self.wanted}
        )

    @cached_property
    def _periods(self) -> dict[str, Period | str]:
        """Return the period of each site, or why there is none."""
        result: dict[str, Period | str] = {}
        for site in self._stations.table.index:
            try:
                first, last = self._files.period(str(site))
                refuse_far(first, last, self._files.where(str(site)))
                result[str(site)] = first, last
            except SourceChanged:
                raise
            except (InputError, ValueError, IndexError) as problem:
                result[str(site)] = str(problem)
        return result

    def catalog(self) -> Catalog:
        """Return the stations and the union of their periods."""
        _ = self._method  # refused here, before anything is read
        for wanted in self.wanted:
            self._units(wanted)
        periods = {site: found for site, found in self._periods.items() if not isinstance(found, str)}
        if not periods:
            raise InputError(next(str(found) for found in self._periods.values()))
        table, stamps = stamp(self._stations.file), self._files.stamps
        return Catalog(
            sites=tuple(self._periods),
            first=min(first for first, _ in periods.values()),
            last=max(last for _, last in periods.values()),
            bytes=self._files.bytes(),
            stamps={site: f"{stamps[site]}; {table}" for site in self._periods},
            periods=periods,
        )

    def attributes(self) -> xr.Dataset:
        """Return coordinates and static attributes of the stations."""
        return self._stations.attributes("csv_stations").assign_attrs(title=f"Stations of {self.layout.path}")

    def read(self, sites: Sequence[str], first: date, last: date) -> xr.Dataset:
        """Return series of sites and days."""
        names = {wanted.name: wanted.attributes(self._units(wanted)[2]) for wanted in self.wanted}
        dataset = read_block(sites, first, last, names, self._read_site)
        if not self._method:
            return dataset
        latitude = self._stations.table.loc[list(sites), "latitude"].to_numpy(dtype=float)
        return add_evapotranspiration(dataset, self._method, latitude)

    def _units(self, wanted: Wanted) -> tuple[str, str, str]:
        """Return the aggregation, the unit of its result, and the target unit of a variable."""
        where = f"{self.layout.path}: column {wanted.column!r}"
        canonical = VARIABLES[wanted.name].units if wanted.name in VARIABLES else ""
        units = wanted.units or canonical
        if not units:
            raise InputError(f"{where}: {wanted.name!r} is not canonical; give its units")
        if canonical == VARIABLES["discharge"].units and is_convertible(units, VOLUME):
            if "area" not in self._stations.table:
                raise InputError(
                    f"{where}: unit {units!r} needs the area (km2) of the stations to become {canonical}; "
                    f"{self._stations.file} has no column area"
                )
            return wanted.aggregation or "mean", units, canonical
        return wanted.conversion(units, where)

    def _read_site(self, site: str) -> Series:
        period = self._periods[site]
        if isinstance(period, str):
            raise InputError(period)
        file, record = self._files.read(site)
        columns: dict[str, NDArray[np.floating]] = {}
        first, last = (np.datetime64(day, "D") for day in period)
        length = int((last - first).astype(int)) + 1
        problems: dict[str, Problem] = {}
        for wanted in self.wanted:
            if wanted.column not in record:
                raise InputError(f"{file}: no {wanted.column!r} of site {site!r}")
            days, values = self._daily(wanted, *record[wanted.column])
            series = ordered(days, {wanted.name: self._converted(wanted, values, site, file)}, site, file)
            problems |= {
                problem.check: problem for problem in series.problems if problem.check not in problems
            }
            position = (series.days - first).astype(np.int64)
            if position.size and (position[0] < 0 or position[-1] >= length):
                day = series.days[0 if position[0] < 0 else -1]
                raise InputError(f"{file}: {day} lies outside of first and last row; sort the rows by time")
            columns[wanted.name] = np.full(length, np.nan)
            columns[wanted.name][position] = series.columns[wanted.name]
        if not is_finished(file):
            text = f"{file}: the last line has no end; if the file was cut off, its last value is wrong"
            problems["unfinished"] = Problem("unfinished", site, "", str(last), 1, text)
        return Series(first + np.arange(length), columns, list(problems.values()))

    def _daily(
        self, wanted: Wanted, times: NDArray[np.datetime64], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
        """Return days and values; where an aggregation is asked for, of days that have all their rows."""
        days = times.astype("datetime64[D]")
        if not wanted.aggregation or days.size == 0:
            return days, values
        order = np.argsort(times, kind="stable")
        days, values = days[order], values[order]
        begins = np.flatnonzero(np.concatenate([[True], days[1:] != days[:-1]]))
        counts = np.diff(np.append(begins, days.size))
        if wanted.aggregation == "last":
            daily = values[begins + counts - 1]
        else:
            daily = _REDUCE[wanted.aggregation].reduceat(values, begins)
            daily = daily / counts if wanted.aggregation == "mean" else daily
        usual = np.bincount(counts).argmax()
        return days[begins], np.where(counts == usual, daily, np.nan)

    def _converted(
        self, wanted: Wanted, values: NDArray[np.float64], site: str, file: Path
    ) -> NDArray[np.float64]:
        _, units, target = self._units(wanted)
        where = f"{file}: column {wanted.column!r}"
        if target == VARIABLES["discharge"].units and is_convertible(units, VOLUME):
            area = float(self._stations.table["area"].to_dict()[site]) * SQUARE_METRES_PER_KM2
            if not area > 0.0:
                raise InputError(f"{self._stations.file}: site {site!r}: area is {area:g}; km2 are needed")
            values, units = convert(values, units, VOLUME, where) / area, "m/s"
        return convert(values, units, target, where)


def _refuse_form(delimiter: object, decimal: object, skip_rows: object, time_format: object) -> None:
    """Refuse options that tell no way to write a table."""
    for name, mark in (("delimiter", delimiter), ("decimal", decimal)):
        if not isinstance(mark, str) or len(mark) != 1:
            raise InputError(f"source csv_stations: {name!r} is {mark!r}; one character is needed")
    if isinstance(skip_rows, bool) or not isinstance(skip_rows, int) or skip_rows < 0:
        raise InputError(f"source csv_stations: 'skip_rows' is {skip_rows!r}; a number of lines is needed")
    if not isinstance(time_format, str):
        raise InputError(f"source csv_stations: 'time_format' is {time_format!r}; write it as in '%d.%m.%Y'")
