"""Water years of a record: which there are, what each was like, and how rare its highest day was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gamma

from thalweg.storage.periods import DAY, Period
from thalweg.storage.sites import neighbours

FIRST_MONTH = 10  # October: snow that falls in one water year melts in it
COVERAGE = 0.9  # of the days of a year must be known to say what the year was like
LEAST_YEARS = 5  # below these a fitted distribution of annual maxima says nothing

Values = NDArray[np.float64]


def water_years(period: Period, first_month: int = FIRST_MONTH) -> list[Period]:
    """Return the water years that lie within a period as a whole.

    Parameters
    ----------
    period : first and last day.
    first_month : int
        1 to 12; the year begins with its first day.
    """
    start, end = period
    years = []
    for year in range(start.year, end.year + 1):
        first, last = date(year, first_month, 1), date(year + 1, first_month, 1) - DAY
        if start <= first and last <= end:
            years.append((first, last))
    return years


def annual(dataset: xr.Dataset, variable: str, years: Sequence[Period], statistic: str) -> Values:
    """Return each site's mean or maximum over each year, shape ``(site, year)``, in the variable's units.

    Parameters
    ----------
    dataset : xarray.Dataset
        A store, dims ``(site, time)``; read some hundred sites at a time.
    variable : str
    years : first and last days, in order and without overlap.
    statistic : ``mean`` or ``maximum``.

    Returns
    -------
    array
        NaN where fewer than nine tenths of the days are known.
    """
    days = dataset["time"].values.astype("datetime64[D]")
    bounds = np.searchsorted(
        days, [[np.datetime64(first), np.datetime64(last + DAY)] for first, last in years]
    )
    found = np.full((dataset.sizes["site"], len(years)), np.nan)
    series = dataset[variable].transpose("site", "time")
    for _, block in neighbours(np.arange(dataset.sizes["site"])):
        values = series[block].values
        for column, (low, high) in enumerate(bounds):
            year = values[:, low:high]
            enough = np.isfinite(year).mean(axis=1) >= COVERAGE
            of = np.nanmean if statistic == "mean" else np.nanmax
            found[block, column][enough] = of(year[enough].astype(np.float64), axis=1)
    return found


def standardise(values: Values) -> Values:
    """Return how far each year is from the site's mean, in its standard deviations, ``(site, year)``."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = values - np.where(known, values, 0.0).sum(axis=1, keepdims=True) / count
    spread = np.sqrt(np.where(known, centred**2, 0.0).sum(axis=1, keepdims=True) / count)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def return_level(maxima: Values, years: float) -> float:
    """Return what the highest day of a year exceeds once in so many years on average.

    A generalised extreme value distribution is fitted by L-moments (Hosking, Wallis and Wood 1985,
    doi:10.1080/00401706.1985.10488049, eq. 14: its shape is approximated within 9e-4).

    Parameters
    ----------
    maxima : array
        One value a year, such as discharge (mm/day); NaN left out.
    years : float
        The return period, above 1.

    Returns
    -------
    float
        NaN with fewer than five maxima, or when all are equal.
    """
    ordered = np.sort(maxima[np.isfinite(maxima)])
    n = ordered.size
    if n < LEAST_YEARS or ordered[0] == ordered[-1]:
        return float("nan")
    place = np.arange(n)
    b0 = ordered.mean()
    b1 = (place * ordered).sum() / (n * (n - 1))
    b2 = (place * (place - 1) * ordered).sum() / (n * (n - 1) * (n - 2))
    second, skewness = 2 * b1 - b0, (6 * b2 - 6 * b1 + b0) / (2 * b1 - b0)
    c = 2 / (3 + skewness) - np.log(2) / np.log(3)
    shape = 7.8590 * c + 2.9554 * c**2
    if abs(shape) < 1e-6:
        shape = 1e-6  # the limit, Gumbel's distribution, without dividing by zero
    scale = second * shape / ((1 - 2**-shape) * gamma(1 + shape))
    location = b0 - scale * (1 - gamma(1 + shape)) / shape
    return float(location + scale / shape * (1 - (-np.log1p(-1 / years)) ** shape))
