"""From one file a site to a block ``(site, time)``: what the readers of station files share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from dask.base import compute
from dask.delayed import delayed
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.sources.catalog import SourceChanged
from thalweg.storage.sources.problems import Problem, noted, order_problems
from thalweg.storage.variables import VARIABLES


class Series(NamedTuple):
    """One site's daily series: increasing days (datetime64[D]) and columns by name, all of one length."""

    days: NDArray[np.datetime64]
    columns: dict[str, NDArray[np.floating]]
    problems: list[Problem]


def ordered(
    days: NDArray[np.datetime64], columns: dict[str, NDArray[np.floating]], site: str, where: Any
) -> Series:
    """Return a series in order of days; of a day that occurs twice the first row is kept, and noted."""
    problems = order_problems(days, site, where)
    if problems:
        days, rows = np.unique(days, return_index=True)
        columns = {name: values[rows] for name, values in columns.items()}
    return Series(days, columns, problems)


def in_parallel(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Call a function with each of many arguments on a pool of threads; results in the same order."""
    tasks = [delayed(function, pure=False)(*each) for each in arguments]
    results: list[Any] = list(compute(*tasks, scheduler="threads"))  # type: ignore[no-untyped-call]
    return results


def day_axis(first: date, last: date) -> pd.DatetimeIndex:
    """Return all days from `first` to `last`, both included (ns)."""
    return pd.date_range(pd.Timestamp(first), pd.Timestamp(last), freq="D", unit="ns")


def read_block(
    sites: Sequence[str],
    first: date,
    last: date,
    names: Mapping[str, Mapping[str, str]],
    read_site: Callable[[str], Series],
) -> xr.Dataset:
    """Read sites in parallel into one block.

    Parameters
    ----------
    sites : list of str
    first, last : date
        Both included; what a site has outside is left out.
    names : mapping
        Variables of the block with their attributes; NaN where a site does not have one.
    read_site : function
        Gives a site's series in canonical units. An InputError becomes the problem ``unreadable`` of
        that site.

    Raises
    ------
    SourceChanged
        If a file changed while it was read.
    """
    days = day_axis(first, last)
    start = np.datetime64(first, "D")
    data = {name: np.full((len(sites), days.size), np.nan, dtype=np.float32) for name in names}

    def fill(row: int, site: str) -> list[Problem]:
        try:
            series = read_site(site)
        except SourceChanged:
            raise
        except InputError as problem:
            return [Problem("unreadable", site, "", "", days.size, str(problem))]
        _place(series, row, data, start, days.size)
        return series.problems

    problems = in_parallel(fill, enumerate(sites))
    dataset = xr.Dataset(
        {name: (("site", "time"), values, dict(names[name])) for name, values in data.items()},
        coords={"site": np.array(list(sites), dtype=object), "time": days},
    )
    return noted(dataset, (each for found in problems for each in found))


def _place(
    series: Series, row: int, data: dict[str, NDArray[np.float32]], start: np.datetime64, length: int
) -> None:
    """Write a site's series into its row of the block."""
    position = (series.days - start).astype(np.int64)
    begin, end = np.searchsorted(position, (0, length))
    if begin == end:
        return
    inside = position[begin:end]
    gapless = inside[-1] - inside[0] + 1 == inside.size
    target: Any = slice(inside[0], inside[-1] + 1) if gapless else inside
    for name, values in series.columns.items():
        if name in data:
            data[name][row, target] = values[begin:end]


def canonical(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return canonical variables with their attributes."""
    return {name: VARIABLES[name].attributes for name in names}
