"""The three ways that tables of stations are laid out, each read to one record a site.

========================  =============================================================================
``path``                  what a file holds
========================  =============================================================================
``obs/{site}.csv``        one station: a column a variable, or (long) a row a variable and time
``obs.csv``, ``obs/*``    all stations, told apart by a column; likewise a column or a row a variable
``obs/{variable}.csv``    one variable of all stations, a column a station
========================  =============================================================================
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.sources.catalog import stamp, unchanged
from thalweg.storage.sources.tables import Form, first_and_last_rows, header, parse_times, read_table
from thalweg.storage.suggestions import suggest

# By column (or name in a long table): times (datetime64[s]) and values.
Record = dict[str, tuple[NDArray[np.datetime64], NDArray[np.float64]]]
Period = tuple[date, date]

NAME = re.compile(r"(?!\.)[^/\\\0]+\Z")
"""What may take the place of ``{site}`` or ``{variable}``: a path then stays in its folder."""


@dataclass(frozen=True)
class Layout:
    """How the files of a source are written.

    Attributes
    ----------
    path : str
    form : Form
    time : tuple of str
        The column of times, or those of year, month and day.
    names : tuple of str
        Wanted columns, or names in a long table.
    site : str
        Column that names the station, where a file has several.
    variable, value : str
        Columns of a long table; empty where a variable has its own column.
    missing : tuple of float
        Numbers that stand for a missing value.
    """

    path: str
    form: Form
    time: tuple[str, ...]
    names: tuple[str, ...]
    site: str = ""
    variable: str = ""
    value: str = ""
    missing: tuple[float, ...] = ()

    def rows(
        self, file: Path, numbers: Sequence[str], texts: Sequence[str] = ()
    ) -> tuple[NDArray[np.datetime64], dict[str, NDArray[Any]]]:
        """Return times and columns of a file."""
        if len(self.time) == 1:
            table = read_table(file, self.time, numbers, texts, self.form)
            times = table.pop(self.time[0])
        else:
            table = read_table(file, (), [*self.time, *numbers], texts, self.form)
            times = _dates([table.pop(name) for name in self.time], file, self.form)
        for name in numbers:
            if self.missing:
                table[name] = np.where(np.isin(table[name], self.missing), np.nan, table[name])
        return times, table

    def record(self, file: Path, times: NDArray[np.datetime64], table: Mapping[str, NDArray[Any]]) -> Record:
        """Return the record of rows of one site."""
        if not self.variable:
            return {name: (times, table[name]) for name in self.names}
        result = {}
        for name in self.names:
            rows = table[self.variable] == name
            result[name] = times[rows], table[self.value][rows]
        return result

    @property
    def columns(self) -> tuple[list[str], list[str]]:
        """Return the columns of numbers and of text that a file has, but for the column of sites."""
        if self.variable:
            return [self.value], [self.variable]
        return list(self.names), []


def _dates(parts: list[NDArray[Any]], file: Path, form: Form) -> NDArray[np.datetime64]:
    year, month, day = parts
    limits = ("year", year, 1, 9999), ("month", month, 1, 12), ("day", day, 1, 31)
    for name, values, low, high in limits:
        wrong = ~((values >= low) & (values <= high))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{file}: line {form.skip_rows + 2 + row}: {values[row]:g} is no {name}")
    months = (year.astype(np.int64) - 1970) * 12 + month.astype(np.int64) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]")
    days = first + (day.astype(np.int64) - 1)
    wrong = days.astype("datetime64[M]") != months.astype("datetime64[M]")
    if wrong.any():
        row = int(np.argmax(wrong))
        text = f"{year[row]:g}-{month[row]:g}-{day[row]:g}"
        raise InputError(f"{file}: line {form.skip_rows + 2 + row}: {text} is no date")
    result: NDArray[np.datetime64] = days.astype("datetime64[s]")
    return result


def _named(path: str, mark: str, name: str) -> Path:
    """Return the path of the file with a name.

    Raises
    ------
    InputError
        If it is no name of a file.
    """
    if not NAME.match(name):
        raise InputError(
            f"{path}: {mark} cannot become {name!r}; a name that begins with no dot and has no slash"
        )
    return Path(os.path.expanduser(path).replace(mark, name))  # a name is no way to another's home


class SiteFiles:
    """One file a station."""

    def __init__(self, layout: Layout, sites: Sequence[str]) -> None:
        self.layout = layout
        self.files = {site: _named(layout.path, "{site}", site) for site in sites}
        for site, file in self.files.items():
            if not file.is_file():
                raise InputError(f"{file}: no such file; it should hold the series of site {site!r}")
        self.stamps = {site: stamp(file) for site, file in self.files.items()}

    def bytes(self) -> int:
        """Return the size of all files."""
        return sum(file.stat().st_size for file in self.files.values())

    def where(self, site: str) -> Path:
        """Return the file of a station, for errors."""
        return self.files[site]

    def period(self, site: str) -> Period:
        """Return first and last day, from the first and last row."""
        file, form, time = self.files[site], self.layout.form, self.layout.time
        names = header(file, form)
        for name in time:
            if name not in names:
                raise InputError(f"{file}: no column {name!r}; it has {', '.join(names)}")
        rows = first_and_last_rows(file, form)
        if len(time) == 1:
            times = parse_times(file, [row[names.index(time[0])] for row in rows], form)
        else:
            numbers = np.array([[float(row[names.index(name)]) for name in time] for row in rows])
            times = _dates(list(numbers.T), file, form)
        days = times.astype("datetime64[D]")
        return days.min().astype(object), days.max().astype(object)

    def read(self, site: str) -> tuple[Path, Record]:
        """Return the file and record of a station."""
        file = self.files[site]
        with unchanged([file], self.stamps[site]):
            times, table = self.layout.rows(file, *self.layout.columns)
        return file, self.layout.record(file, times, table)


class SharedFiles:
    """Files with many stations each: told apart by a column, or a column a station."""

    def __init__(self, layout: Layout, sites: Sequence[str]) -> None:
        self.layout, self.sites = layout, list(sites)
        self.by_variable = "{variable}" in layout.path
        if self.by_variable:
            named = {name: _named(layout.path, "{variable}", name) for name in layout.names}
        else:
            found = sorted(Path(each) for each in glob(str(Path(layout.path).expanduser()), recursive=True))
            named = {str(file): file for file in found if file.is_file()}
        for file in named.values():
            if not file.is_file():
                raise InputError(f"{file}: no such file")
        if not named:
            raise InputError(f"{layout.path}: no such file")
        self.named = named
        self.file_stamps = {name: stamp(file) for name, file in named.items()}

    def __getstate__(self) -> dict[str, Any]:
        # What was read is not sent to other processes: they read it again.
        return {key: value for key, value in self.__dict__.items() if key != "_records"}

    @cached_property
    def _records(self) -> dict[str, tuple[Path, Record]]:
        parts: dict[str, list[tuple[Path, Record]]] = {}
        for name, file in self.named.items():
            with unchanged([file], self.file_stamps[name]):
                found = self._columns(file, name) if self.by_variable else self._grouped(file)
            for site, record in found.items():
                parts.setdefault(site, []).append((file, record))
        return {
            site: (found[0][0], _together([record for _, record in found])) for site, found in parts.items()
        }

    def _columns(self, file: Path, name: str) -> dict[str, Record]:
        there = set(header(file, self.layout.form))
        sites = [site for site in self.sites if site in there]
        times, table = self.layout.rows(file, sites)
        return {site: {name: (times, table[site])} for site in sites}

    def _grouped(self, file: Path) -> dict[str, Record]:
        numbers, texts = self.layout.columns
        times, table = self.layout.rows(file, numbers, [self.layout.site, *texts])
        spelled, group = np.unique(table[self.layout.site].astype(str), return_inverse=True)
        names, same = np.unique(np.char.strip(spelled), return_inverse=True)
        group = same[group]
        if "" in names:
            line = self.layout.form.skip_rows + 2 + int(np.argmax(group == 0))
            raise InputError(f"{file}: line {line}, column {self.layout.site!r}: no name of a site")
        order = np.argsort(group, kind="stable")
        ends = np.searchsorted(group[order], np.arange(names.size + 1))
        result = {}
        for number, name in enumerate(names):
            rows = order[ends[number] : ends[number + 1]]
            part = {column: values[rows] for column, values in table.items()}
            result[str(name)] = self.layout.record(file, times[rows], part)
        return result

    def _found(self, site: str) -> tuple[Path, Record]:
        if site not in self._records:
            raise InputError(
                f"{self.layout.path}: no rows or column of site {site!r}; {suggest(site, self._records)}"
            )
        return self._records[site]

    @property
    def stamps(self) -> dict[str, str]:
        """Return a hash of each site's values: a file that grows for one site is not new for the others."""
        result = {}
        for site in self.sites:
            total = hashlib.sha256()
            for name, (times, values) in sorted(self._records.get(site, (None, {}))[1].items()):
                total.update(name.encode() + times.tobytes() + values.tobytes())
            result[site] = total.hexdigest()
        return result

    def bytes(self) -> int:
        """Return the size of all files."""
        return sum(file.stat().st_size for file in self.named.values())

    def where(self, site: str) -> Path:
        """Return the first file of a station, for errors."""
        return self._found(site)[0]

    def period(self, site: str) -> Period:
        """Return first and last day."""
        _, record = self._found(site)
        ends = [time for times, _ in record.values() if times.size for time in (times.min(), times.max())]
        if not ends:
            raise InputError(f"{self.layout.path}: no values of site {site!r}")
        days = np.array(ends).astype("datetime64[D]")
        return days.min().astype(object), days.max().astype(object)

    def read(self, site: str) -> tuple[Path, Record]:
        """Return the file and record of a station."""
        return self._found(site)


def _together(records: list[Record]) -> Record:
    """Join records of one site from several files."""
    if len(records) == 1:
        return records[0]
    return {
        name: (
            np.concatenate([record[name][0] for record in records if name in record]),
            np.concatenate([record[name][1] for record in records if name in record]),
        )
        for name in dict.fromkeys(name for record in records for name in record)
    }
