"""The two kinds of text files that CAMELS-US keeps of every gauge: forcing and streamflow.

Both are read by their fixed layout (3 to 5 times as fast as with `pandas.read_csv`); what does not fit it is
read word by word, which also names the line and column that is wrong.
"""

from __future__ import annotations

import os
import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from thalweg.storage.errors import InputError
from thalweg.storage.sources.blocks import Series, ordered
from thalweg.storage.sources.catalog import SourceChanged
from thalweg.storage.units import convert
from thalweg.storage.variables import VARIABLES

MISSING_FLOW = -999.0
HEAD, TAIL = 2048, 1024  # bytes; a row has about 60

# Columns of the forcing files in lower case, without their units.
FORCING_COLUMNS = {
    "prcp": "precipitation",
    "tmin": "temperature_min",
    "tmax": "temperature_max",
    "srad": "shortwave_radiation",
    "vp": "vapor_pressure",
    "dayl": "day_length",
}
REQUIRED = ("prcp", "tmin", "tmax")
DATE = ("year", "mnth", "day")


class Header(NamedTuple):
    """First lines of a forcing file: area (m2), names of the columns, and their units."""

    area: float
    names: list[str]
    units: dict[str, str]


class Outline(NamedTuple):
    """What the two ends of a forcing file tell: header, period, and whether its daily extremes differ."""

    header: Header
    first: date
    last: date
    extremes: bool


def read_header(text: bytes, file: Path) -> Header:
    """Return what the first four lines of a forcing file say."""
    try:
        lines = text.decode("ascii").splitlines()[:4]
        area = float(lines[2])
        words = lines[3].split()
    except (ValueError, IndexError) as problem:
        raise InputError(f"{file}: cannot be read as CAMELS-US forcing: {problem}") from problem
    names = [re.sub(r"\(.*\)", "", word).lower() for word in words]
    for name in (*REQUIRED, *DATE):
        if name not in names:
            raise InputError(f"{file}: no column {name!r}; it has {', '.join(names)}")
    if not area > 0.0:
        raise InputError(f"{file}: area in line 3 is {area}; m2 are needed")
    units = {name: word[len(name) + 1 : -1] for name, word in zip(names, words, strict=True) if "(" in word}
    return Header(area, names, units)


def outline(file: Path) -> Outline:
    """Return header, first and last day of a forcing file from its two ends.

    Raises
    ------
    InputError
        If one of them cannot be read.
    """
    with file.open("rb", buffering=0) as stream:
        head = stream.read(HEAD)
        stream.seek(max(os.fstat(stream.fileno()).st_size - TAIL, 0))
        tail = stream.read(TAIL)
    header = read_header(head, file)
    ends, extremes = [], False
    rows = [line for line in head.splitlines()[4:5] + tail.splitlines()[-1:] if line.strip()]
    for line in rows:
        words = dict(zip(header.names, line.split(), strict=False))
        try:
            ends.append(date(*(int(words[name]) for name in DATE)))
            extremes |= float(words["tmax"]) > float(words["tmin"])
        except (ValueError, KeyError) as problem:
            raise InputError(
                f"{file}: cannot be read as CAMELS-US forcing: {line.decode(errors='replace')!r}"
            ) from problem
    if len(ends) < 2:
        raise InputError(f"{file}: no days")
    return Outline(header, min(ends), max(ends), extremes)


def read_forcing(file: Path, site: str) -> Series:
    """Return the forcing of one basin in canonical units, with the mean of the extremes.

    Raises
    ------
    InputError
        Naming line and column of what is not a number.
    """
    content = _content(file)
    header = read_header(content[:HEAD], file)
    names = [name for name in FORCING_COLUMNS if name in header.names]
    types = {name: pa.int16() for name in DATE} | {name: pa.float64() for name in names}
    start = _after_lines(content, 4)
    if start == len(content):
        raise InputError(f"{file}: no days")
    try:
        table = _parse(content, start, header.names, types)
    except pa.ArrowInvalid as problem:
        _explain(content[start:], header.names, list(types), 5, file)
        raise InputError(f"{file}: cannot be read as CAMELS-US forcing: {problem}") from problem
    year, month, day = (table[name].to_numpy() for name in DATE)
    days = days_of(year, month, day, file, 5)
    columns = {}
    for name in names:
        target = FORCING_COLUMNS[name]
        unit = header.units.get(name, VARIABLES[target].units)
        where = f"{file}: column {name!r}"
        columns[target] = convert(table[name].to_numpy(), unit, VARIABLES[target].units, where)
    columns["temperature"] = 0.5 * (columns["temperature_min"] + columns["temperature_max"])
    return ordered(days, columns, site, file)


def read_flow(file: Path, site: str) -> Series:
    """Return the discharge (ft3/s) of one gauge; NaN where it is flagged ``M`` or -999.

    Raises
    ------
    InputError
        Naming line and column of what is not a number.
    """
    content = _content(file)
    days, flow = _fixed_flow(content) or _free_flow(content, file)
    return ordered(days, {"discharge": flow}, site, file)


def days_of(
    year: NDArray[np.integer], month: NDArray[np.integer], day: NDArray[np.integer], file: Path, line: int
) -> NDArray[np.datetime64]:
    """Return dates (datetime64[D]) of columns of numbers; the first row is that line of the file."""
    if year.size == 0:
        raise InputError(f"{file}: no days")
    if (axis := _gapless(year, month, day)) is not None:
        return axis
    start: NDArray[Any] = ((year.astype(np.int64) - 1970) * 12 + month - 1).astype("datetime64[M]")
    days: NDArray[Any] = start.astype("datetime64[D]") + (day.astype(np.int64) - 1)
    wrong = (month < 1) | (month > 12) | (days.astype("datetime64[M]") != start)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{file}: line {line + row}: {year[row]}-{month[row]}-{day[row]} is no date")
    return days


def _gapless(
    year: NDArray[np.integer], month: NDArray[np.integer], day: NDArray[np.integer]
) -> NDArray[np.datetime64] | None:
    """Return days that follow one another, as they mostly do, else None."""
    calendar, numbers = _calendar()
    place = np.flatnonzero((numbers == [[year[0]], [month[0]], [day[0]]]).all(axis=0))
    days = slice(place[0], place[0] + year.size) if place.size else slice(0)
    same = all(map(np.array_equal, numbers[:, days], (year, month, day)))
    return calendar[days] if same else None


@cache
def _calendar() -> tuple[NDArray[np.datetime64], NDArray[np.int16]]:
    """Return all days from 1850 to 2099, and their years, months and days of the month."""
    days = np.arange("1850-01-01", "2100-01-01", dtype="datetime64[D]")
    months = days.astype("datetime64[M]")
    days.flags.writeable = False
    number = months.astype(np.int64)
    parts = [number // 12 + 1970, number % 12 + 1, (days - months).astype(np.int64) + 1]
    return days, np.array(parts, dtype=np.int16)


def _content(file: Path) -> bytes:
    content = file.read_bytes()
    if not content.endswith(b"\n"):
        raise SourceChanged(
            f"{file}: the last line has no end, so the file is cut off ({len(content)} bytes); copy it again"
        )
    return content.replace(b"\r\n", b"\n") if content.endswith(b"\r\n") else content


def _after_lines(content: bytes, lines: int) -> int:
    position = 0
    for _ in range(lines):
        position = content.index(b"\n", position) + 1
    return position


def _parse(content: bytes, start: int, names: list[str], types: dict[str, pa.DataType]) -> pa.Table:
    """Return columns of the rows from `start` on; what is between words may be tabs, blanks or both."""

    def parse(rows: pa.Buffer) -> pa.Table:
        return csv.read_csv(
            pa.BufferReader(rows),
            read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=1 << 26),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(include_columns=list(types), column_types=types),
        )

    if content.find(b" ", start) < 0:
        try:
            return parse(pa.py_buffer(content).slice(start))
        except pa.ArrowInvalid:
            pass  # two tabs, or one at the end of rows
    body = content[start:].translate(bytes.maketrans(b" ", b"\t"))
    while b"\t\t" in body:
        body = body.replace(b"\t\t", b"\t")
    return parse(pa.py_buffer(body.replace(b"\t\n", b"\n").replace(b"\n\t", b"\n").lstrip(b"\t")))


def _explain(body: bytes, names: list[str], wanted: list[str], line: int, file: Path) -> None:
    """Raise for the first row that has too few or too many words, or a word that is not a number."""
    for number, row in enumerate(body.decode("ascii", errors="replace").splitlines(), line):
        words = row.split()
        if words and len(words) != len(names):
            raise InputError(
                f"{file}: cannot be read: line {number} has {len(words)} values, {len(names)} are needed "
                f"({', '.join(names)})"
            )
        for name, word in zip(names, words, strict=True) if words else ():
            kind = int if name in DATE else float
            try:
                if name in wanted:
                    kind(word)
            except ValueError:
                raise InputError(
                    f"{file}: cannot be read: line {number}, column {name!r}: {word!r} is not a number"
                ) from None


@cache
def _day_table() -> tuple[np.datetime64, NDArray[np.uint8]]:
    """Return the first day and the characters ``YYYY MM DD`` of all days from 1850 to 2099."""
    days = np.arange("1850-01-01", "2100-01-01", dtype="datetime64[D]")
    text = np.datetime_as_string(days).astype("S10")
    table = np.frombuffer(text.tobytes(), dtype=np.uint8).reshape(-1, 10).copy()
    table[:, [4, 7]] = ord(" ")
    return days[0], table


# Of a row such as "01031500 1980 01 01   170.00 A": where date, flow and flag begin, and its least length.
DAY_AT, FLOW_AT, FLAG_AT, ROW_LENGTH = 9, 19, 29, 30
HUNDREDTHS = np.array([0, 1e6, 1e5, 1e4, 1e3, 1e2, 0, 1e1, 1])  # weights of the digits of " 12345.67"
NO_FLOW = np.frombuffer(b"  -999.00", dtype=np.uint8)
BLANK, POINT, ZERO = ord(" "), ord("."), ord("0")


def _fixed_flow(content: bytes) -> tuple[NDArray[np.datetime64], NDArray[np.float64]] | None:
    """Return days and flow of a file in the official fixed columns without gaps, else None."""
    text = np.frombuffer(content, dtype=np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    if starts.size == 0 or (ends - starts < ROW_LENGTH).any():
        return None
    rows = np.lib.stride_tricks.sliding_window_view(text, ROW_LENGTH)[starts]
    try:
        first = np.datetime64(bytes(rows[0, DAY_AT:FLOW_AT]).decode().replace(" ", "-"), "D")
    except ValueError:
        return None
    begin, table = _day_table()
    offset = int((first - begin).astype(int))
    if offset < 0 or not np.array_equal(rows[:, DAY_AT:FLOW_AT], table[offset : offset + starts.size]):
        return None
    columns = np.ascontiguousarray(rows.T)  # operations along the rows of a file are then fast
    flow = _hundredths(columns[FLOW_AT : FLAG_AT - 1])
    if flow is None or (columns[[DAY_AT - 1, FLOW_AT, FLAG_AT - 1]] != BLANK).any():
        return None
    flow[columns[FLAG_AT] == ord("M")] = np.nan
    return first + np.arange(starts.size), flow


def _hundredths(text: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Return numbers of characters such as ``"   170.00"``, NaN for -999, or None for any other form.

    `text` has shape (9, row).
    """
    missing = (text == NO_FLOW[:, None]).all(axis=0)
    digits, blank = text - np.uint8(ZERO), text == BLANK
    known = (digits <= 9) | blank
    known[6] = text[6] == POINT
    late = blank[1:] & ~blank[:-1]  # a blank after a digit
    wrong = ~known.all(axis=0) | late.any(axis=0) | blank[5] | blank[7] | blank[8]
    if (wrong & ~missing).any():
        return None
    digits[blank] = 0
    result: NDArray[np.float64] = HUNDREDTHS @ digits / 100.0
    result[missing] = np.nan
    return result


def _free_flow(content: bytes, file: Path) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return days and flow of a file with any blanks and gaps."""
    names = ["gauge", *DATE, "flow", "flag"]
    words = content.decode("ascii", errors="replace").split()
    if len(words) % len(names) or not words:
        _explain(content, names, [], 1, file)
        raise InputError(f"{file}: no days")
    columns = {name: words[position :: len(names)] for position, name in enumerate(names)}
    try:
        year, month, day = (np.array(columns[name], dtype=np.int64) for name in DATE)
        flow = np.array(columns["flow"], dtype=np.float64)
    except ValueError as problem:
        _explain(content, names, [*DATE, "flow"], 1, file)
        raise InputError(f"{file}: cannot be read as USGS streamflow: {problem}") from problem
    flow[(flow == MISSING_FLOW) | (np.array(columns["flag"]) == "M")] = np.nan
    return days_of(year, month, day, file, 1), flow
