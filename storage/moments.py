"""Statistics that merge: count, mean, deviation, extremes and quantiles of each site and calendar year.

A store keeps them in its group ``statistics``, dims ``(variable, site, year)``, so that those of any sites
and any days are pooled from the whole years in between and a read of the days at both ends:

===================== =====================================================================================
``count``             days with a value
``mean``              their mean, 0 where there is none
``m2``                sum of squared differences from the mean
``minimum, maximum``  NaN where there is no value
``sketch``            ``(variable, site, year, bin)``: how many values lie in each bin
===================== =====================================================================================

Means and deviations merge as in Chan, Golub and LeVeque (1983), doi:10.1080/00031305.1983.10483115: equal to
those of all values together up to rounding. The sketch is one of relative accuracy, as DDSketch (Masson, Rim
and Lee 2019, doi:10.14778/3352063.3352135), with 16 bins between one power of two and the next: counts are
added, so that merging is exact in any order. A quantile is off by at most 1/16 of its value, or 0.001 in the
variable's units where it is nearer to zero than that; values beyond a million share the outermost bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

import numpy as np
import xarray as xr
from numpy.typing import NDArray

DIMS = ("variable", "site", "year")
NAMES = ("count", "mean", "m2", "minimum", "maximum", "sketch")

_SITES_AT_ONCE = 16  # their values stay in the processor's cache
# The first bits of a 32-bit floating-point number: 8 of the exponent, then 4 of the fraction, are its bin.
_FRACTION_BITS, _SMALLEST, _OCTAVES = 4, -10, 30
_EACH_SIGN = _OCTAVES << _FRACTION_BITS
BINS = 2 * _EACH_SIGN + 1
_EMPTY = {"count": 0, "mean": 0.0, "m2": 0.0, "minimum": np.nan, "maximum": np.nan, "sketch": 0}


def block_statistics(dataset: xr.Dataset, *, sketch: bool = True) -> xr.Dataset:
    """Return the statistics of a block of sites and days.

    A site's numbers depend on nothing but that site's values in that year, to the last bit: not on which
    other sites and years are in the block. Blocks should therefore hold whole calendar years.

    Parameters
    ----------
    dataset : xarray.Dataset
        Every floating-point variable over ``(site, time)`` counts; times ascend.
    sketch : bool
        Whether quantiles will be asked for.

    Returns
    -------
    xarray.Dataset
        Dims ``(variable, site, year)``, as in the table above.
    """
    names = sorted(
        str(name)
        for name, values in dataset.data_vars.items()
        if set(values.dims) == {"site", "time"} and values.dtype.kind == "f"
    )
    years, starts = _years(dataset["time"].values)
    shape = (len(names), dataset.sizes["site"], len(years))
    found: dict[str, NDArray] = {
        "count": np.zeros(shape, np.int32),
        "mean": np.zeros(shape),
        "m2": np.zeros(shape),
        "minimum": np.full(shape, np.nan, np.float32),
        "maximum": np.full(shape, np.nan, np.float32),
    }
    if sketch:
        found["sketch"] = np.zeros((*shape, BINS), np.uint16)
    for place, name in enumerate(names):
        series = dataset[name].transpose("site", "time").values
        for first in range(0, shape[1], _SITES_AT_ONCE) if shape[2] else ():
            rows = slice(first, first + _SITES_AT_ONCE)
            for key, values in _of_rows(series[rows], starts, sketch).items():
                found[key][place, rows] = values
    return _dataset(found, {"variable": names, "site": dataset["site"].values, "year": years})


def merge(first: xr.Dataset, *others: xr.Dataset) -> xr.Dataset:
    """Return the statistics of all blocks together.

    Sites, years and variables are those of any block, in ascending order. Where two blocks know the same
    site and year they must be of different days of it.
    """
    return reduce(_merge_two, others, first)


def pool(statistics: xr.Dataset, over: Iterable[str] = ("site", "year")) -> xr.Dataset:
    """Return statistics of all sites, of all years, or of both together.

    Parameters
    ----------
    statistics : xarray.Dataset
        As :func:`block_statistics` returns.
    over : list of str
        The dims to pool over, ``site`` or ``year``. Sums are taken in the order of their labels, so that
        the order of sites in a store does not matter.
    """
    dims = [dim for dim in DIMS if dim in set(over)]
    ordered = statistics.sortby([dim for dim in dims if dim in statistics.indexes])
    axes = tuple(ordered["count"].dims.index(dim) for dim in dims)
    count = ordered["count"].values
    # A store fills what was never written with NaN.
    mean, m2 = (np.where(count > 0, ordered[name].values, 0.0) for name in ("mean", "m2"))
    total = count.sum(axes, dtype=np.int64, keepdims=True)
    known = np.maximum(total, 1)
    centre = (count * mean).sum(axes, keepdims=True) / known
    spread = (m2 + count * (mean - centre) ** 2).sum(axes, keepdims=True)
    kept = [dim for dim in DIMS if dim not in dims and dim in ordered.dims]
    pooled = {
        "count": total.squeeze(axes),
        "mean": centre.squeeze(axes),
        "m2": spread.squeeze(axes),
        "minimum": np.fmin.reduce(ordered["minimum"].values, axes),
        "maximum": np.fmax.reduce(ordered["maximum"].values, axes),
    }
    if "sketch" in ordered:
        pooled["sketch"] = ordered["sketch"].values.sum(axes, dtype=np.int64)
    return _dataset(pooled, {dim: ordered[dim].values for dim in kept}, tuple(kept))


def deviation(statistics: xr.Dataset) -> xr.DataArray:
    """Return the standard deviation of the population (ddof = 0), NaN where there is no value."""
    variance: xr.DataArray = statistics["m2"] / statistics["count"].where(statistics["count"] > 0)
    return variance**0.5


def quantiles(statistics: xr.Dataset, probabilities: Sequence[float]) -> xr.DataArray:
    """Return quantiles, dims those of the statistics and ``probability``; NaN where there is no value.

    Of `n` values in ascending order, that of probability `p` is the one at place ``floor(p * (n - 1))``;
    the module's head says how far off the sketch's answer can be.

    Raises
    ------
    ValueError
        If a probability is outside of 0 to 1.
    """
    wanted = np.asarray(probabilities, dtype=float)
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError(f"probabilities are {list(probabilities)}; each must be from 0 to 1")
    sketch = statistics["sketch"].values.astype(np.int64)
    below = sketch.cumsum(-1)
    count = below[..., -1:]
    place = np.floor(wanted * (count - 1)).astype(np.int64)
    at = (below[..., None, :] <= place[..., None]).sum(-1).clip(0, BINS - 1)
    inside = np.take_along_axis(sketch, at, -1)
    before = np.take_along_axis(below, at, -1) - inside
    lower, upper = _edges()
    share = (place - before + 0.5) / np.maximum(inside, 1)
    value = lower[at] + share * (upper[at] - lower[at])
    low, high = (statistics[name].values[..., None] for name in ("minimum", "maximum"))
    value = np.where(place <= 0, low, np.where(place == count - 1, high, np.clip(value, low, high)))
    dims = (*statistics["count"].dims, "probability")
    coordinates = {dim: statistics[dim].values for dim in statistics["count"].dims}
    return xr.DataArray(value, {**coordinates, "probability": wanted}, dims)


def _years(times: NDArray) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return the calendar years of ascending times, and where each begins."""
    year = times.astype("datetime64[Y]").astype(np.int64) + 1970
    starts = np.flatnonzero(np.diff(year, prepend=year[:1] - 1))
    return year[starts], starts


def _of_rows(values: NDArray, starts: NDArray[np.intp], sketch: bool) -> dict[str, NDArray]:
    """Return the statistics of some sites, arrays ``(site, year)``, from values ``(site, time)``."""
    known = np.isfinite(values)
    wide = np.ascontiguousarray(np.where(known, values, 0.0), dtype=np.float64)
    lengths = np.diff(starts, append=values.shape[1])
    # Along the contiguous axis every row is summed alike, however many rows there are.
    count = np.add.reduceat(known, starts, axis=1, dtype=np.int32)
    mean = np.add.reduceat(wide, starts, axis=1) / np.maximum(count, 1)
    wide -= np.repeat(mean, lengths, axis=1)
    wide[~known] = 0.0
    np.square(wide, out=wide)
    plain = np.where(known, values, np.nan)
    found: dict[str, NDArray] = {
        "count": count,
        "mean": mean,
        "m2": np.add.reduceat(wide, starts, axis=1),
        "minimum": np.fmin.reduceat(plain, starts, axis=1),
        "maximum": np.fmax.reduceat(plain, starts, axis=1),
    }
    if sketch:
        sites, years = count.shape
        cell = np.arange(sites)[:, None] * years + np.repeat(np.arange(years), lengths)
        places = _bins(values)
        places += (cell * BINS).astype(np.int32)
        counts = np.bincount(places.ravel() if known.all() else places[known], minlength=sites * years * BINS)
        found["sketch"] = counts.reshape(sites, years, BINS).astype(np.uint16)
    return found


def _bins(values: NDArray) -> NDArray[np.int32]:
    """Return each value's bin: the first bits of its magnitude, mirrored for negative ones."""
    places: NDArray[np.int32] = np.abs(values, dtype=np.float32).view(np.int32)
    places >>= 23 - _FRACTION_BITS
    places -= ((127 + _SMALLEST) << _FRACTION_BITS) - 1
    np.clip(places, 0, _EACH_SIGN, out=places)
    np.negative(places, out=places, where=values < 0)
    places += _EACH_SIGN
    return places


def _edges() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper edge of every bin."""
    step = np.arange(_EACH_SIGN + 1)
    octave, part = np.divmod(step, 1 << _FRACTION_BITS)
    positive = 2.0 ** (octave + _SMALLEST) * (1 + part / (1 << _FRACTION_BITS))
    smallest = positive[0]
    lower = np.concatenate([-positive[:0:-1], [-smallest], positive[:-1]])
    upper = np.concatenate([-positive[-2::-1], [smallest], positive[1:]])
    return lower, upper


def _merge_two(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    labels = {dim: np.union1d(first[dim].values, second[dim].values) for dim in DIMS}
    a, b = (part.reindex(labels, fill_value=_EMPTY) for part in (first, second))
    n, m = a["count"].values.astype(np.int64), b["count"].values.astype(np.int64)
    total = np.maximum(n + m, 1)
    apart = b["mean"].values - a["mean"].values
    merged = {
        "count": n + m,
        # n a + m b rather than a + m (b - a): the same whichever comes first
        "mean": (n * a["mean"].values + m * b["mean"].values) / total,
        "m2": a["m2"].values + b["m2"].values + apart**2 * (n * m / total),
        "minimum": np.fmin(a["minimum"].values, b["minimum"].values),
        "maximum": np.fmax(a["maximum"].values, b["maximum"].values),
    }
    # Nothing is rounded where one of them knows nothing: blocks of other sites and years only move.
    for name in ("mean", "m2"):
        merged[name] = np.where(m == 0, a[name], np.where(n == 0, b[name], merged[name]))
    if "sketch" in a and "sketch" in b:
        merged["sketch"] = a["sketch"].values.astype(np.int64) + b["sketch"].values.astype(np.int64)
    return _dataset(merged, labels)


def _dataset(
    found: dict[str, NDArray], coordinates: Mapping[str, NDArray | list[str]], dims: tuple[str, ...] = DIMS
) -> xr.Dataset:
    text = {
        dim: np.array([str(label) for label in values], dtype=object) if dim != "year" else values
        for dim, values in coordinates.items()
    }
    variables = {
        name: ((*dims, "bin") if name == "sketch" else dims, found[name]) for name in NAMES if name in found
    }
    return xr.Dataset(variables, text)
