"""One site's daily series in a CSV file with a header, a column of dates, and one column a variable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.sources.catalog import SourceChanged
from thalweg.storage.sources.tables import (
    Form,
    first_and_last_rows,
    header,
    is_finished,
    parse_times,
    read_table,
)


def outline(
    file: Path,
    time: str,
    form: Form = Form(),  # noqa: B008
) -> tuple[list[str], np.datetime64, np.datetime64]:
    """Return the columns but that of time, and the first and last day, from the two ends of the file."""
    names = header(file, form)
    if time not in names:
        raise InputError(f"{file}: no column {time!r}; it has {', '.join(names)}")
    place = names.index(time)
    ends = parse_times(file, [row[place] for row in first_and_last_rows(file, form)], form)
    days = ends.astype("datetime64[D]")
    return [name for name in names if name != time], days.min(), days.max()


def read(
    file: Path,
    time: str,
    names: Sequence[str],
    form: Form = Form(),  # noqa: B008
) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """Return days (datetime64[D]) and columns by name."""
    if not is_finished(file):
        raise SourceChanged(f"{file}: the last line has no end, so the file is cut off; copy it again")
    table = read_table(file, [time], names, form=form)
    days: NDArray[np.datetime64] = table.pop(time).astype("datetime64[D]")
    return days, table
