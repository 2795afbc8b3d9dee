"""Days and periods of a store."""

from __future__ import annotations

from datetime import date, datetime

import xarray as xr

from thalweg.storage.errors import InputError


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
