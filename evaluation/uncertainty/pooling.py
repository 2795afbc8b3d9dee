"""One forecast from several that count alike, such as those of a deep ensemble over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from thalweg.evaluation.moments import Array
from thalweg.evaluation.uncertainty.probabilistic import pool
from thalweg.storage.errors import InputError

VALUES_AT_ONCE = 2_000_000  # of all forecasts: some 100 MB


def pool_forecasts(forecasts: Sequence[xr.DataArray | xr.Dataset]) -> xr.DataArray | xr.Dataset:
    """Give the mixture of forecasts of one kind: what is likely if each of them may be the right one.

    Parameters
    ----------
    forecasts : of the same sites and days, as
        :func:`thalweg.evaluation.uncertainty.probabilistic.probabilistic_skill` takes them: distributions,
        quantiles at the same levels, or members, which are put together.

    Lakshminarayanan et al. (2017), 10.48550/arXiv.1612.01474, section 2.4.

    Raises
    ------
    InputError
        When there are none, or they are of different kinds, levels, sites or days.
    """
    distributions = [one for one in forecasts if isinstance(one, xr.Dataset)]
    arrays = [one for one in forecasts if isinstance(one, xr.DataArray)]
    kinds = {next((dim for dim in ("member", "quantile") if dim in one.dims), "") for one in arrays}
    if distributions and not arrays:
        return pool(distributions)
    if distributions or len(kinds) != 1 or not kinds <= {"member", "quantile"}:
        raise InputError("only forecasts of one kind can be pooled: distributions, quantiles or members")
    try:
        if kinds == {"member"}:
            return xr.concat(
                [one.drop_vars("member", errors="ignore") for one in arrays], "member", join="exact"
            )
        return _pool_quantiles(xr.concat(arrays, "forecast", join="exact"))
    except ValueError as error:
        raise InputError(f"forecasts to pool must have the same levels, sites and days: {error}") from error


def _pool_quantiles(stacked: xr.DataArray) -> xr.DataArray:
    """Invert the mean of the distribution functions, each of straight lines between its quantiles."""
    ordered = stacked.transpose("forecast", "quantile", "site", "time")
    levels = ordered["quantile"].values.astype(np.float64)
    pooled = ordered.isel(forecast=0, drop=True).astype(np.float64).load().copy()
    step = max(1, VALUES_AT_ONCE // max(1, ordered.sizes["time"] * len(levels) * ordered.sizes["forecast"]))
    for first in range(0, ordered.sizes["site"], step):
        some = slice(first, first + step)
        pooled.values[:, some] = _mixture_quantiles(levels, ordered[:, :, some].values.astype(np.float64))
    return pooled


def _mixture_quantiles(levels: Array, values: Array) -> Array:
    """Give ``(level, ...)`` of the mixture of ``(forecast, level, ...)``; NaN where any forecast is."""
    knots = np.sort(values.reshape(-1, *values.shape[2:]), axis=0)
    # the mixture, too, is straight between the quantiles of all
    share = np.zeros(knots.shape)
    for forecast in values:
        for place, knot in enumerate(knots):
            share[place] += _probability(levels, forecast, knot)
    share /= len(values)
    found = np.empty(values.shape[1:])
    for place, level in enumerate(levels):
        above = np.clip((share < level - 1e-12).sum(axis=0), 1, len(knots) - 1)
        low, high = (np.take_along_axis(share, at[None], axis=0)[0] for at in (above - 1, above))
        before, after = (np.take_along_axis(knots, at[None], axis=0)[0] for at in (above - 1, above))
        rise = np.where(high > low, high - low, 1.0)
        found[place] = before + np.clip((level - low) / rise, 0.0, 1.0) * (after - before)
    return np.where(np.isnan(values).any(axis=(0, 1)), np.nan, found)


def _probability(levels: Array, forecast: Array, at: Array) -> Array:
    """Give F(at) of one forecast, ``(level, ...)``: 0 below its lowest quantile, 1 above its highest."""
    if len(levels) == 1:
        return np.where(at < forecast[0], 0.0, np.where(at > forecast[0], 1.0, levels[0]))
    upto = (forecast <= at).sum(axis=0)
    above = np.clip(upto, 1, len(levels) - 1)
    low, high = (np.take_along_axis(forecast, i[None], axis=0)[0] for i in (above - 1, above))
    width = np.where(high > low, high - low, 1.0)
    inside = levels[above - 1] + np.clip((at - low) / width, 0.0, 1.0) * (levels[above] - levels[above - 1])
    beyond = np.where(at > forecast[-1], 1.0, inside)
    return np.where(upto == 0, 0.0, beyond)
