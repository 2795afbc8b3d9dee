"""What is wrong with single sites of a source: noted while reading, so that the others can go on.

Checks of a whole series (:mod:`thalweg.storage.quality`) see days in order and each once. What a file did
to that order is found here, and handed on in the attribute ``problems`` of a dataset.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.errors import InputError

PROBLEMS = "problems"


@dataclass(frozen=True)
class Problem:
    """One site's defect: `check` is ``unreadable``, ``duplicates``, ``unsorted`` or ``unfinished``.

    Attributes
    ----------
    check, site, variable : str
        `variable` is empty where it is all of them.
    first_day : str
        ISO date, or empty.
    count : int
        Number of rows.
    message : str
        One line that names the file.
    """

    check: str
    site: str
    variable: str
    first_day: str
    count: int
    message: str


def noted(dataset: xr.Dataset, problems: Iterable[Problem]) -> xr.Dataset:
    """Return the dataset with problems in its attribute."""
    found = [asdict(problem) for problem in problems]
    if found:
        dataset.attrs[PROBLEMS] = [*dataset.attrs.get(PROBLEMS, []), *found]
    return dataset


def problems_of(dataset: xr.Dataset) -> list[Problem]:
    """Return the problems that a source noted."""
    return [Problem(**each) for each in dataset.attrs.get(PROBLEMS, [])]


def refuse_problems(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset without the attribute.

    Raises
    ------
    InputError
        For the first problem that leaves a value in doubt: unsorted days and an unfinished line do not.
    """
    for problem in problems_of(dataset):
        if problem.check not in ("unsorted", "unfinished"):
            raise InputError(problem.message)
    dataset.attrs.pop(PROBLEMS, None)
    return dataset


def order_problems(days: NDArray[np.datetime64], site: str, where: Any) -> list[Problem]:
    """Return what is wrong with the order of a site's days (datetime64[D]): ``duplicates``, ``unsorted``."""
    steps = np.diff(days.astype("datetime64[D]").astype(np.int64))
    if (steps > 0).all():
        return []
    found = []
    unique, counts = np.unique(days, return_counts=True)
    if unique.size < days.size:
        day = str(unique[counts > 1][0])
        text = f"{where}: {day} occurs twice; a day occurs twice on {days.size - unique.size} rows"
        found.append(Problem("duplicates", site, "", day, int(days.size - unique.size), text))
    if (steps < 0).any():
        rows = np.flatnonzero(steps < 0)
        day = str(days[rows[0] + 1])
        text = f"{where}: {day} stands after {days[rows[0]]}; rows were sorted by day"
        found.append(Problem("unsorted", site, "", day, int(rows.size), text))
    return found
