"""Forcings that no store needs to have, since they follow from the dates."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thalweg.models.process import ProcessModel, names

DERIVED: dict[str, Callable[[pd.DatetimeIndex], NDArray[np.float32]]] = {
    "day_of_year": lambda days: days.day_of_year.to_numpy(np.float32),  # 1 to 366
}


def missing_forcings(process: ProcessModel, given: Collection[str]) -> list[str]:
    """Name what a process needs that is neither given nor follows from the dates."""
    return [name for name in names(process.forcings) if name not in given and name not in DERIVED]


def derived_forcings(process: ProcessModel, given: Collection[str]) -> list[str]:
    """Name what a process needs that is not given but follows from the dates."""
    return [name for name in names(process.forcings) if name not in given and name in DERIVED]
