"""The two kinds of text files that CAMELS-US keeps of every gauge: forcing and streamflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thalweg.storage.errors import InputError

MISSING_FLOW = -999.0

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


class Forcing(NamedTuple):
    """One basin's forcing file: area of its header (m2), first day, and columns by canonical name."""

    area: float
    first: np.datetime64
    columns: dict[str, NDArray[np.float64]]


def read_forcing(file: Path) -> Forcing:
    """Return the forcing of one basin, in the file's units, which are the canonical ones."""
    try:
        with file.open(encoding="ascii") as lines:
            header = [next(lines) for _ in range(4)]
        area = float(header[2])
        names = [re.sub(r"\(.*\)", "", word).lower() for word in header[3].split()]
        wanted = [name for name in FORCING_COLUMNS if name in names]
        for name in REQUIRED:
            if name not in names:
                raise InputError(f"{file}: no column {name!r}; it has {', '.join(names)}")
        # Names and widths by position: some releases spell the header differently from the rows.
        frame = pd.read_csv(
            file, skiprows=4, header=None, names=names, usecols=["year", "mnth", "day", *wanted], sep=r"\s+"
        )
    except InputError:
        raise
    except Exception as problem:
        raise InputError(f"{file}: cannot be read as CAMELS-US forcing: {problem}") from problem
    if not area > 0.0:
        raise InputError(f"{file}: area in line 3 is {area}; m2 are needed")
    days = _days(frame["year"], frame["mnth"], frame["day"], file)
    first, position = days.min(), (days - days.min()).astype(int)
    columns = {}
    for name in wanted:
        column = np.full(position.max() + 1, np.nan)
        column[position] = frame[name].to_numpy(dtype=np.float64)
        columns[FORCING_COLUMNS[name]] = column
    columns["temperature"] = 0.5 * (columns["temperature_min"] + columns["temperature_max"])
    return Forcing(area, first, columns)


def read_flow(file: Path, start: np.datetime64, length: int) -> NDArray[np.float64]:
    """Return discharge (ft3/s) over the days from `start`, shape (time,); NaN where missing."""
    try:
        frame = pd.read_csv(
            file,
            sep=r"\s+",
            header=None,
            names=["gauge", "year", "month", "day", "flow", "flag"],
            usecols=["year", "month", "day", "flow", "flag"],
            dtype={"flow": "float64", "flag": "category"},
        )
    except Exception as problem:
        raise InputError(f"{file}: cannot be read as USGS streamflow: {problem}") from problem
    position = (_days(frame["year"], frame["month"], frame["day"], file) - start).astype(int)
    flow = frame["flow"].to_numpy(copy=True)
    flow[(flow == MISSING_FLOW) | (frame["flag"] == "M").to_numpy()] = np.nan
    inside = (position >= 0) & (position < length)
    result = np.full(length, np.nan)
    result[position[inside]] = flow[inside]
    return result


def _days(year: pd.Series, month: pd.Series, day: pd.Series, file: Path) -> NDArray[np.datetime64]:
    """Return dates (datetime64[D]) of columns of year, month and day."""
    months = (year.to_numpy(dtype=np.int64) - 1970) * 12 + month.to_numpy(dtype=np.int64) - 1
    days: NDArray[np.datetime64] = months.astype("datetime64[M]").astype("datetime64[D]") + (
        day.to_numpy(dtype=np.int64) - 1
    )
    if days.size == 0:
        raise InputError(f"{file}: no days")
    if np.unique(days).size != days.size:
        raise InputError(f"{file}: a day occurs twice")
    return days
