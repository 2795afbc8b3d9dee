"""Conformal prediction: intervals that hold what they promise, whatever model they are put around.

How wrong a model is where it was not trained (the calibration part) says how wide its intervals must be.
Nothing is assumed of model or errors but that calibration and test are exchangeable: with n calibration
errors and ``k = ⌈(n + 1) level⌉``, an interval as wide as the k-th smallest error holds a new observation
with probability ``k / (n + 1)`` or more. A region, a climate or a river regime that was not calibrated on
is not exchangeable: :func:`thalweg.evaluation.uncertainty.coverage.coverage` shows each group apart.

Vovk et al. (2005), Algorithmic Learning in a Random World, 10.1007/b106715; Lei et al. (2018),
10.1080/01621459.2017.1307116.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import check_aligned
from thalweg.storage.errors import InputError

LEVEL = 0.9
Pooling = Literal["days", "each_site", "new_site"]
POOLINGS: tuple[Pooling, ...] = ("days", "each_site", "new_site")


def errors_around(
    observed: xr.DataArray, predicted: xr.DataArray, scale: xr.DataArray | None = None
) -> xr.DataArray:
    """Give how far each day lies from its prediction, ``|y - ŷ|``, or in units of a scale, ``|y - ŷ| / σ``.

    Parameters
    ----------
    observed, predicted : discharge (mm/day), ``(site, time)``.
    scale : how wrong the model expects to be (mm/day), ``(site, time)``, above 0: intervals are wide where
        it is large (locally scaled: Papadopoulos et al. 2008; Lei et al. 2018, section 5.2).

    Returns
    -------
    DataArray ``(site, time)``; NaN where nothing was observed, infinite where the prediction is missing,
    which is as wrong as can be.

    Raises
    ------
    InputError
        When sites or days differ, or the scale is not above 0.
    """
    check_aligned(predicted, observed)
    error = abs(predicted - observed)
    if scale is not None:
        check_aligned(scale, observed)
        if bool((scale <= 0.0).any()):
            raise InputError(f"the scale is as low as {float(scale.min()):g}; it must be above 0")
        error = error / scale
    return _errors(error, observed)


def errors_beyond(
    observed: xr.DataArray, lower: xr.DataArray, upper: xr.DataArray, floor: float | None = 0.0
) -> xr.DataArray:
    """Give how far each day lies outside an interval (mm/day), negative inside: ``max(l - y, y - u)``.

    Romano et al. (2019), Conformalized quantile regression, 10.48550/arXiv.1905.03222, eq. 6.

    Parameters
    ----------
    observed, lower, upper : (mm/day), ``(site, time)``; the bounds of any interval forecast.
    floor : no observation is lower (mm/day), so that a bound on it cannot be missed: otherwise dry days
        would lie on their bound, however wide the interval. None for none.

    Returns
    -------
    DataArray ``(site, time)``; NaN and infinite as for :func:`errors_around`.

    Raises
    ------
    InputError
        When sites or days differ.
    """
    check_aligned(lower, observed)
    check_aligned(upper, observed)
    below = _unbounded(lower, floor) - observed
    return _errors(xr.apply_ufunc(np.maximum, below, observed - upper), observed)


def margin(errors: xr.DataArray, level: float = LEVEL, pooling: Pooling = "days") -> xr.DataArray:
    """Give how far intervals must reach so that they hold a share of ``level``.

    Parameters
    ----------
    errors : of the calibration part, ``(site, time)``, from :func:`errors_around` or :func:`errors_beyond`;
        NaN is left out.
    level : share of new observations that the intervals must hold, in (0, 1).
    pooling : what is exchangeable.

        - ``days``: all days of all sites alike: a new day at one of these sites.
        - ``each_site``: the days of each site apart: every site has a margin of its own.
        - ``new_site``: whole sites: a new day at a *new* site, for regions without a gauge. A site counts as
          one, with its days as its spread, so that many days at few sites do not pass for much knowledge
          (Lee et al. 2023, 10.48550/arXiv.2306.06342, section 3.1; Dunn et al. 2023,
          10.1080/01621459.2022.2060112).

    Returns
    -------
    DataArray, a scalar or ``(site,)``: infinite where the calibration part is too small for the level (fewer
    than ``level / (1 - level)`` days, or sites).

    Raises
    ------
    InputError
        When the level or the pooling is none, or nothing was observed.
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"level {level} must be between 0 and 1")
    if pooling not in POOLINGS:
        raise InputError(f"unknown pooling {pooling!r}; there are {', '.join(POOLINGS)}")
    values = errors.transpose("site", "time").values.astype(np.float64)
    if np.isnan(values).all():
        raise InputError("the calibration part has no observed day")
    attrs = {"long_name": "conformal margin", "level": level, "pooling": pooling}
    if pooling == "each_site":
        coords = {name: coord for name, coord in errors.coords.items() if coord.dims == ("site",)}
        return xr.DataArray(_order_statistic(values, level), coords, ("site",), attrs=attrs)
    if pooling == "days":
        return xr.DataArray(_order_statistic(values.reshape(1, -1), level)[0], attrs=attrs)
    return xr.DataArray(_of_new_site(values, level), attrs=attrs)


def interval_around(
    predicted: xr.DataArray,
    margin: xr.DataArray,
    scale: xr.DataArray | None = None,
    floor: float | None = 0.0,
) -> xr.Dataset:
    """Give the interval ``ŷ ± q``, or ``ŷ ± q σ``.

    Parameters
    ----------
    predicted, scale : (mm/day), ``(site, time)``, as for :func:`errors_around` but of new days.
    margin : q, from :func:`margin`.
    floor : no bound is lower (mm/day); None for none.

    Returns
    -------
    Dataset with ``lower`` and ``upper`` (mm/day), ``(site, time)``.

    Raises
    ------
    InputError
        When margin or scale are of other sites or days than the prediction.
    """
    reach = margin if scale is None else margin * scale
    return _interval(predicted - reach, predicted + reach, predicted, floor)


def interval_beyond(
    lower: xr.DataArray, upper: xr.DataArray, margin: xr.DataArray, floor: float | None = 0.0
) -> xr.Dataset:
    """Give the interval ``[l - q, u + q]``; a negative margin narrows it, at most to its middle.

    Parameters
    ----------
    lower, upper : (mm/day), ``(site, time)``, as for :func:`errors_beyond` but of new days.
    margin, floor : as for :func:`interval_around`.

    Raises
    ------
    InputError
        As for :func:`interval_around`.
    """
    middle = 0.5 * (lower + upper)
    moved = (_unbounded(lower, floor) - margin).clip(max=middle), (upper + margin).clip(min=middle)
    return _interval(*moved, lower, floor)


def _unbounded(lower: xr.DataArray, floor: float | None) -> xr.DataArray:
    """Take away lower bounds that lie on the floor; NaN stays."""
    return lower if floor is None else lower.where(~(lower <= floor), -np.inf)


def _errors(error: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
    return error.fillna(np.inf).where(observed.notnull())


def _order_statistic(values: Array, level: float) -> Array:
    """Give the ⌈(n + 1) level⌉-th smallest of each row's n numbers; infinite where n is too small."""
    count = (~np.isnan(values)).sum(axis=-1)
    # rounded, because 0.9 times 10 must not become 10 through the last bit
    place = np.ceil(np.round((count + 1) * level, 9)).astype(int)
    ordered = np.sort(values, axis=-1)
    found = np.take_along_axis(ordered, np.minimum(place - 1, values.shape[-1] - 1)[:, None], axis=-1)[:, 0]
    return np.where(place > count, np.inf, found)


def _of_new_site(values: Array, level: float) -> float:
    """Give the quantile of all errors where each of the K sites weighs 1 / (K + 1), and infinity the rest."""
    count = (~np.isnan(values)).sum(axis=-1, keepdims=True)
    sites = int((count > 0).sum())
    there = ~np.isnan(values)
    weight = (there / np.maximum(count, 1))[there] / (sites + 1)
    errors = values[there]
    order = np.argsort(errors, kind="stable")
    reached = np.flatnonzero(np.round(np.cumsum(weight[order]), 9) >= np.round(level, 9))
    return float(errors[order[reached[0]]]) if reached.size else np.inf


def _interval(
    lower: xr.DataArray, upper: xr.DataArray, like: xr.DataArray, floor: float | None
) -> xr.Dataset:
    bounds = {"lower": lower, "upper": upper}
    if floor is not None:
        bounds = {name: bound.clip(min=floor) for name, bound in bounds.items()}
    if any(dict(bound.sizes) != dict(like.sizes) for bound in bounds.values()):
        raise InputError("margin, scale or bounds are of other sites or days than the prediction")
    interval = xr.Dataset({name: bound.transpose(*like.dims) for name, bound in bounds.items()})
    for name, bound in interval.items():
        bound.attrs = {"long_name": f"{name} bound", "units": "mm/day"}
    return interval
