"""Lets a person choose a year or the whole record."""

import numpy as np
import pandas as pd

from thalweg.dashboard import choices

WHOLE = "all"
# A year with fewer observed days is not offered first.
_LEAST_DAYS = 180


def chosen_period(table: pd.DataFrame, most: int = 14) -> pd.DataFrame:
    """Lets a person choose a year from October to September or the whole period; first the flood year.

    More than `most` of them are a list to choose from.
    """
    index = pd.DatetimeIndex(table.index)
    year = pd.Series(np.where(index.month >= 10, index.year + 1, index.year), index=table.index)
    options = [WHOLE, *map(str, sorted(year.unique()))]
    known = table["observed"].groupby(year.to_numpy())
    peaks = known.max()[known.count() >= _LEAST_DAYS].dropna()
    default = str(peaks.idxmax()) if len(peaks) else WHOLE
    picked = choices.segments(
        "period",
        "Year from October to September",
        options,
        default,
        lambda p: "Whole period" if p == WHOLE else p,
        most,
    )
    return table if picked == WHOLE else table[(year == int(picked)).to_numpy()]
