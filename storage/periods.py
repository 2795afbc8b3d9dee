"""Days and periods of a store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import xarray as xr

from thalweg.storage.errors import InputError

Period = tuple[date, date]
"""First and last day, both included."""

DAY = timedelta(days=1)


def as_date(value: object, where: str) -> date:
    """Return a day given as a date, a datetime or text such as ``1999-10-01``.

    Raises
    ------
    InputError
        Naming `where`, if it is none of these.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise InputError(f"{where}: {value!r} is not a day; write it as 1999-10-01") from None


def period_of(dataset: xr.Dataset) -> tuple[date, date]:
    """Return the first and the last day of a store."""
    first, last = dataset["time"].values[[0, -1]].astype("datetime64[D]").tolist()
    return first, last


def check_period(dataset: xr.Dataset, start: date, end: date, where: str) -> None:
    """Refuse a period that is empty or leaves the store, saying what the store has.

    Raises
    ------
    InputError
    """
    first, last = period_of(dataset)
    if start > end:
        raise InputError(f"{where}: empty, {start} is after {end}")
    if start < first or end > last:
        outside = start if start < first else end
        raise InputError(f"{where}: {outside} is outside the store, which has {first}..{last}")


def join(periods: Iterable[Period]) -> tuple[Period, ...]:
    """Return the same days in order, as few periods as can be: those that touch or overlap become one."""
    joined: list[Period] = []
    for start, end in sorted(periods):
        if joined and start <= joined[-1][1] + DAY:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def without(periods: Iterable[Period], removed: Iterable[Period], gap: int = 0) -> tuple[Period, ...]:
    """Return the days of `periods` that are neither in `removed` nor within `gap` days of it."""
    left = list(join(periods))
    for first, last in removed:
        before, after = first - (gap + 1) * DAY, last + (gap + 1) * DAY
        left = [
            part
            for start, end in left
            for part in ((start, min(end, before)), (max(start, after), end))
            if part[0] <= part[1]
        ]
    return join(left)


def shared_day(first: Iterable[Period], second: Iterable[Period]) -> date | None:
    """Return a day that is in both, if there is one."""
    second = list(second)
    for start, end in first:
        for other_start, other_end in second:
            if start <= other_end and other_start <= end:
                return max(start, other_start)
    return None
