"""Time axes of gridded files: CF calendars and bounds, and from their steps to days."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.coding.times import decode_cf_datetime

from thalweg.storage.errors import InputError

STANDARD = ("standard", "gregorian", "proleptic_gregorian")
NO_LEAP = ("noleap", "365_day")
DAY = 86400
# Whole months in seconds
MONTH = (27 * DAY, 32 * DAY)
LABELS = ("start", "middle", "end")
_UNITS = re.compile(
    r"\s*(\w+)\s+since\s+(-?\d+)-(\d+)-(\d+)(?:[T\s]+(\d+):(\d+)(?::(\d+(?:\.\d*)?))?)?\s*(?:Z|UTC)?\s*$"
)
_SECONDS = {
    "second": 1,
    "sec": 1,
    "s": 1,
    "minute": 60,
    "min": 60,
    "hour": 3600,
    "h": 3600,
    "hr": 3600,
    "day": DAY,
    "d": DAY,
}
# Days before each month of a year without 29 February
_BEFORE = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365])


def decode(values: NDArray[Any], attributes: Mapping[str, Any], where: str) -> NDArray[np.datetime64]:
    """Return CF times as datetime64[s].

    The calendar ``noleap`` has the dates of ours but 29 February.

    Parameters
    ----------
    values : array, any shape
    attributes : mapping
        ``units`` and ``calendar`` of the coordinate.
    where : str
        File and name, for errors.

    Raises
    ------
    InputError
        If there are no units, or the calendar's days are not days of ours.
    """
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]")
    units, calendar = str(attributes.get("units", "")), str(attributes.get("calendar", "standard")).lower()
    if calendar in NO_LEAP:
        return _decode_no_leap(values, units, where)
    if calendar not in STANDARD:
        raise InputError(
            f"{where}: calendar {calendar!r} has days that do not exist; convert the file first, "
            "such as with xarray's convert_calendar('standard', align_on='year')"
        )
    try:
        times = np.asarray(decode_cf_datetime(values, units, calendar, use_cftime=False))
    except Exception as problem:
        raise InputError(
            f"{where}: {units!r} cannot be read as times; 'days since 1990-01-01' is an example"
        ) from problem
    # Hours as fractions of days come out some nanoseconds off.
    rounded: NDArray[np.datetime64] = (times.astype("datetime64[ns]") + np.timedelta64(500, "ms")).astype(
        "datetime64[s]"
    )
    return rounded


def _decode_no_leap(values: NDArray[Any], units: str, where: str) -> NDArray[np.datetime64]:
    found = _UNITS.match(units)
    scale = _SECONDS.get(found[1].lower().rstrip("s") or "s") if found else None
    if found is None or scale is None:
        raise InputError(f"{where}: {units!r} cannot be read as times; 'days since 1990-01-01' is an example")
    year, month, day, hour, minute = (int(found[group] or 0) for group in range(2, 7))
    start = (year * 365 + int(_BEFORE[month - 1]) + day - 1) * DAY + hour * 3600 + minute * 60
    seconds = np.round(values.astype(np.float64) * scale + float(found[7] or 0)).astype(np.int64) + start
    days, rest = np.divmod(seconds, DAY)
    years, of_year = np.divmod(days, 365)
    months = np.searchsorted(_BEFORE, of_year, side="right") - 1
    dates = ((years - 1970) * 12 + months).astype("datetime64[M]").astype("datetime64[D]")
    result: NDArray[np.datetime64] = (dates + (of_year - _BEFORE[months])).astype("datetime64[s]") + rest
    return result


@dataclass(frozen=True)
class Steps:
    """Which day or month each step of a series belongs to.

    Attributes
    ----------
    days : array, shape (step,) (datetime64[D])
        The day, or the first day of the month.
    per_day : int
        Steps of a whole day; 0 where steps are months.
    """

    days: NDArray[np.datetime64]
    per_day: int

    @property
    def first(self) -> np.datetime64:
        """The first whole day."""
        first: np.datetime64 = self._whole()[0]
        return first

    @property
    def last(self) -> np.datetime64:
        """The last whole day."""
        last: np.datetime64 = self._whole()[-1]
        if self.per_day == 0:
            last = (last.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
        return last

    def _whole(self) -> NDArray[np.datetime64]:
        days, counts = np.unique(self.days, return_counts=True)
        whole: NDArray[np.datetime64] = days[counts >= max(self.per_day, 1)]
        return whole if whole.size else days

    def of(self, first: np.datetime64, last: np.datetime64) -> slice:
        """Return the steps that the days from `first` to `last` need."""
        if self.per_day == 0:
            first = first.astype("datetime64[M]").astype("datetime64[D]")
        return slice(
            int(np.searchsorted(self.days, first, "left")), int(np.searchsorted(self.days, last, "right"))
        )


def find_steps(
    instants: NDArray[np.datetime64], label: str, bounded: bool, widths: NDArray[np.int64] | None, where: str
) -> Steps:
    """Return the steps of a time axis.

    Parameters
    ----------
    instants : array, shape (step,) (datetime64[s])
        Middles of the bounds, where there are bounds, else the coordinate. Increasing.
    label : str
        Where in its interval a time without bounds stands: ``start``, ``middle`` or ``end``.
    bounded : bool
        Whether `instants` are middles of bounds.
    widths : array (s), optional
        Of the bounds.
    where : str
        For errors.

    Raises
    ------
    InputError
        If times are not increasing, or steps are neither a whole part of a day nor a month.
    """
    gaps = np.diff(instants).astype(np.int64)
    if (gaps <= 0).any():
        row = int(np.argmax(gaps <= 0)) + 1
        word = "occurs twice" if gaps[row - 1] == 0 else f"stands after {instants[row - 1]}"
        raise InputError(f"{where}: time is not increasing: {instants[row]} {word}")
    known = gaps if widths is None else widths
    if known.size == 0:
        raise InputError(f"{where}: one time step without bounds; at least two are needed to tell its length")
    step = int(known.min())
    monthly = MONTH[0] <= step <= MONTH[1]
    if not monthly and DAY % step:
        raise InputError(
            f"{where}: time steps of {step / 3600:g} hours; days, whole parts of a day or months are needed"
        )
    if not bounded and label == "end":
        instants = instants - np.timedelta64(15 * DAY if monthly else step // 2, "s")
    days = instants.astype("datetime64[M]" if monthly else "datetime64[D]").astype("datetime64[D]")
    if monthly and (np.diff(days).astype(int) == 0).any():
        raise InputError(f"{where}: two time steps in {days[1:][np.diff(days).astype(int) == 0][0]!s:.7}")
    return Steps(days, 0 if monthly else DAY // step)


_REDUCE = {"mean": np.add, "sum": np.add, "min": np.minimum, "max": np.maximum}


def to_days(
    values: NDArray[np.float64],
    steps: Steps,
    chosen: slice,
    aggregation: str,
    days: NDArray[np.datetime64],
    leap_days: str = "missing",
) -> NDArray[np.float64]:
    """Return values of steps as values of days.

    A day lacks a value unless all its steps have one. A month's value is that of each of its days; of an
    amount (`aggregation` ``sum``) each day has its share.

    Parameters
    ----------
    values : array, shape (step, site)
        Of the steps `chosen`.
    steps : Steps
    chosen : slice
    aggregation : str
        One of :data:`thalweg.storage.sources.mapping.AGGREGATIONS`.
    days : array, shape (time,) (datetime64[D])
        The days to give, without gaps.
    leap_days : str
        ``previous``: a 29 February without values has those of the 28th.

    Returns
    -------
    array, shape (time, site)
    """
    result = np.full((days.size, values.shape[1]), np.nan)
    given = steps.days[chosen]
    if given.size:
        if steps.per_day == 0:
            _spread(values, given, aggregation, days, result)
        else:
            _aggregate(values, given, steps.per_day, aggregation, days, result)
    if leap_days == "previous":
        months = days.astype("datetime64[M]")
        leap = (months.astype(int) % 12 == 1) & ((days - months.astype("datetime64[D]")).astype(int) == 28)
        for row in np.flatnonzero(leap)[np.flatnonzero(leap) > 0]:
            if np.isnan(result[row]).all():
                result[row] = result[row - 1]
    return result


def _spread(
    values: NDArray[np.float64],
    given: NDArray[np.datetime64],
    aggregation: str,
    days: NDArray[np.datetime64],
    result: NDArray[np.float64],
) -> None:
    months = days.astype("datetime64[M]")
    row = np.searchsorted(given, months.astype("datetime64[D]"))
    found = row < given.size
    found[found] = given[row[found]].astype("datetime64[M]") == months[found]
    result[found] = values[row[found]]
    if aggregation in ("sum", "last"):
        length = (months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")
        result /= length.astype(np.float64)[:, None]


def _aggregate(
    values: NDArray[np.float64],
    given: NDArray[np.datetime64],
    per_day: int,
    aggregation: str,
    days: NDArray[np.datetime64],
    result: NDArray[np.float64],
) -> None:
    begins = np.flatnonzero(np.concatenate([[True], given[1:] != given[:-1]]))
    counts = np.diff(np.append(begins, given.size))
    if aggregation == "last":
        daily = values[begins + counts - 1]
    else:
        daily = _REDUCE[aggregation].reduceat(values, begins, axis=0)
        if aggregation == "mean":
            daily = daily / per_day
    position = (given[begins] - days[0]).astype(np.int64)
    inside = (position >= 0) & (position < days.size) & (counts == per_day)
    result[position[inside]] = daily[inside]
