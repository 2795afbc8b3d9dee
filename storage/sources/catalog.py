"""What every source offers: a catalog, static attributes, and blocks of its daily series.

A source is a plain object that can be pickled: what :meth:`Source.catalog` found goes along, so that a
process that reads one block does not look at every file again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol, runtime_checkable

import xarray as xr

from thalweg.storage.errors import InputError

FIRST_DAY, LAST_DAY = date(1678, 1, 1), date(2261, 12, 31)  # whole years that times in ns can hold


class SourceChanged(InputError):  # noqa: N818
    """A file was replaced, cut off or removed after the source had been looked at."""


@dataclass(frozen=True)
class Catalog:
    """What a source holds, found from names, sizes and headers.

    Attributes
    ----------
    sites : tuple of str
        Sorted.
    first, last : date
        The days that all sites together cover.
    bytes : int
        Size of the files, or of the arrays where there are none.
    stamps : mapping
        Site to what its data are read from: path, size and time of change of each file. Equal stamps
        mean equal data.
    periods : mapping
        Site to the first and last day of its own record, where that is cheap to find; else empty.
    """

    sites: tuple[str, ...]
    first: date
    last: date
    bytes: int
    stamps: Mapping[str, str]
    periods: Mapping[str, tuple[date, date]] = field(default_factory=dict)


@runtime_checkable
class Source(Protocol):
    """A reader of one data set."""

    def catalog(self) -> Catalog:
        """Return what there is, without reading it."""
        ...

    def attributes(self) -> xr.Dataset:
        """Return coordinates (`latitude`, `longitude`, ...) and static variables over ``(site,)``.

        All sites of the catalog, in its order. ``attrs`` are those of the store: title, references.
        """
        ...

    def read(self, sites: Sequence[str], first: date, last: date) -> xr.Dataset:
        """Return series over ``(site, time)``: the sites and every day from `first` to `last`.

        Names and units are canonical, or units are given. Every block has the same variables; a day
        that the source does not have is NaN. What is wrong with single sites is in
        ``attrs["problems"]``, as :mod:`thalweg.storage.sources.problems` describes.

        Raises
        ------
        SourceChanged
            If a file is not the one that the catalog saw.
        InputError
            If a file cannot be read.
        """
        ...


def refuse_far(first: date, last: date, where: object) -> None:
    """Refuse days beyond what the time axis of a store can hold.

    Raises
    ------
    InputError
    """
    for day in (first, last):
        if not FIRST_DAY <= day <= LAST_DAY:
            raise InputError(f"{where}: the day {day} is none from {FIRST_DAY} to {LAST_DAY}")


def stamp(*files: Path) -> str:
    """Return path, size and time of change (ns) of files, as one text.

    Raises
    ------
    SourceChanged
        If a file is not there.
    """
    parts = []
    for file in files:
        try:
            found = file.stat()
        except OSError as problem:
            raise SourceChanged(f"{file}: no longer there ({problem.strerror}); ingest again") from problem
        parts.append(f"{file} {found.st_size} {found.st_mtime_ns}")
    return "; ".join(parts)


@contextmanager
def unchanged(files: Sequence[Path], before: str) -> Iterator[None]:
    """Refuse what is read from files that are not, before and after, those of the stamp `before`.

    Raises
    ------
    SourceChanged
        Naming the first file that differs. It takes the place of errors of reading such a file.
    """
    _compare(files, before)
    try:
        yield
    except Exception:
        _compare(files, before)
        raise
    _compare(files, before)


def _compare(files: Sequence[Path], before: str) -> None:
    for file in files:
        now = stamp(file)
        if f"; {now}; " not in f"; {before}; ":
            size = now.rsplit(" ", 2)[1]
            raise SourceChanged(
                f"{file}: changed while it was read (now {size} bytes); ingest again when it is complete"
            )
