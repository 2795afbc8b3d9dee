"""The Diebold-Mariano test: are one model's daily errors smaller than another's, by more than chance?

Diebold and Mariano (1995), J. Bus. Econ. Stat. 13, 253-263, 10.1080/07350015.1995.10524599, with the
correction for short records and Student's t of Harvey, Leybourne and Newbold (1997), Int. J. Forecast. 13,
281-291, 10.1016/S0169-2070(96)00719-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import false_discovery_control
from scipy.stats import t as student

from thalweg.evaluation.efficiency import ratio
from thalweg.evaluation.intervals import LEVEL
from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import check_aligned, site_coordinates
from thalweg.storage.errors import InputError

Loss = Literal["squared", "absolute"]
Series: TypeAlias = "xr.DataArray | Sequence[xr.DataArray]"

# Errors of daily discharge hang together over a recession, that is over weeks.
HORIZON = 30


@dataclass(frozen=True)
class ErrorComparison:
    """Two models' daily errors over all sites.

    Attributes
    ----------
    a, b, loss : what was compared.
    difference : mean loss of ``a`` minus that of ``b``, at each site divided by the loss of its mean
        observation and then averaged; for squared errors, the mean NSE of ``b`` minus that of ``a``.
    statistic, p_value : of the test on the daily means over sites; NaN where undefined.
    days, sites : in the test.
    clear_a, clear_b : sites where one of them is clearly better by a test of its own, at a false discovery
        rate of ``1 - level`` (Benjamini and Hochberg 1995; Wilks 2016, 10.1175/BAMS-D-15-00267.1).
    verdict : ``a``, ``b``, ``none`` (no clear difference) or ``unknown``.
    sentence : the result in words.
    """

    a: str
    b: str
    loss: Loss
    difference: float
    statistic: float
    p_value: float
    days: int
    sites: int
    clear_a: int
    clear_b: int
    verdict: str
    sentence: str


class _Test(NamedTuple):
    mean: Array
    statistic: Array
    p_value: Array
    days: NDArray[np.int64]


def diebold_mariano(
    a: Series,
    b: Series,
    observed: xr.DataArray,
    *,
    horizon: int = HORIZON,
    loss: Loss = "squared",
) -> xr.Dataset:
    """Test, site by site, whether the mean loss of two models differs.

    Parameters
    ----------
    a, b, observed : discharge (mm/day), ``(site, time)``, aligned. A day that is NaN in any is left out. Of a
        model with several seeds all may be given: their losses are averaged day by day.
    horizon : days after which errors no longer hang together; the variance of the mean takes in
        autocovariances of up to ``horizon - 1`` days. For forecasts, the days ahead.
    loss : of an error e, ``squared`` e² or ``absolute`` |e|.

    Returns
    -------
    Dataset over ``(site,)``: ``difference``, the mean loss of a minus that of b ((mm/day)² or mm/day;
    negative where a is better), ``statistic``, the two-sided ``p_value`` and ``days``. Statistic and p-value
    are NaN with at most ``horizon`` days, and where the difference is the same on every day; 0 and 1 where
    that is none.

    Raises
    ------
    InputError
        When the series are not aligned, or the horizon or the loss is none.

    Notes
    -----
    Where the sum of autocovariances is not positive, they are weighed as in Bartlett's window, with which it
    always is. The record is taken as daily; days left out of it count as missing.
    """
    gain = _gain(a, b, observed, loss)
    test = _test(gain.values, _whole(horizon))
    units = {"squared": "mm2 day-2", "absolute": "mm/day"}[loss]
    return xr.Dataset(
        {
            "difference": (
                "site",
                test.mean,
                {"long_name": f"mean {loss} error of a less b", "units": units},
            ),
            "statistic": ("site", test.statistic, {"long_name": "Diebold-Mariano statistic", "units": "1"}),
            "p_value": ("site", test.p_value, {"long_name": "two-sided p-value", "units": "1"}),
            "days": ("site", test.days, {"long_name": "days in the test", "units": "days"}),
        },
        site_coordinates(observed),
    )


def compare_errors(
    a: Series,
    b: Series,
    observed: xr.DataArray,
    names: tuple[str, str] = ("a", "b"),
    *,
    horizon: int = HORIZON,
    loss: Loss = "squared",
    level: float = LEVEL,
) -> ErrorComparison:
    """Test whether the mean loss of two models over all sites differs, and say it in words.

    Losses of a site are divided by the mean loss that its mean observation has, so that large rivers do not
    decide alone, and averaged over sites day by day: one series is tested, in which storms
    that reach many sites count once. Sites where the observations are constant are left out.

    Parameters
    ----------
    a, b, observed, horizon, loss : see :func:`diebold_mariano`.
    names : of the two models, for the sentence.
    level : below a p-value of ``1 - level`` the difference is clear.
    """
    gain = _gain(a, b, observed, loss)
    known = observed.transpose("site", "time").values.astype(np.float64)
    there = ~np.isnan(known)
    days = there.sum(axis=-1, keepdims=True).astype(np.float64)
    centre = ratio(np.where(there, known, 0.0).sum(axis=-1, keepdims=True), days)
    usual = ratio(np.where(there, _LOSSES[loss](known - centre), 0.0).sum(axis=-1), days[:, 0])
    scaled = gain.values / np.where(usual > 1e-12 * centre[:, 0] ** 2, usual, np.nan)[:, None]
    used = ~np.isnan(scaled).all(axis=-1)
    counts = (~np.isnan(scaled)).sum(axis=0).astype(np.float64)
    daily = ratio(np.nansum(scaled, axis=0), counts)
    overall = _test(daily[None], _whole(horizon))
    apart = _test(gain.values[used], horizon)
    decided = ~np.isnan(apart.p_value)
    clear = np.zeros(len(decided), bool)
    if decided.any():
        clear[decided] = false_discovery_control(apart.p_value[decided]) < 1.0 - level
    difference, statistic, p_value = (float(x[0]) for x in overall[:3])
    verdict = "unknown" if np.isnan(p_value) else "none" if p_value >= 1.0 - level else "ab"[statistic > 0]
    result = ErrorComparison(
        a=names[0],
        b=names[1],
        loss=loss,
        difference=difference,
        statistic=statistic,
        p_value=p_value,
        days=int(overall.days[0]),
        sites=int(used.sum()),
        clear_a=int((clear & (apart.mean < 0.0)).sum()),
        clear_b=int((clear & (apart.mean > 0.0)).sum()),
        verdict=verdict,
        sentence="",
    )
    return ErrorComparison(**{**vars(result), "sentence": _sentence(result)})


_LOSSES = {"squared": np.square, "absolute": np.abs}


def _gain(a: Series, b: Series, observed: xr.DataArray, loss: Loss) -> xr.DataArray:
    """Give the loss of a less that of b on every day from the first to the last, ``(site, time)``."""
    if loss not in _LOSSES:
        raise InputError(f"loss {loss!r}: give one of {', '.join(_LOSSES)}")
    o = observed.transpose("site", "time").astype(np.float64)
    gain = o.copy(data=_loss(a, o, loss) - _loss(b, o, loss))
    index = gain.indexes.get("time")
    if isinstance(index, pd.DatetimeIndex) and len(index) > 1:
        whole = pd.date_range(index[0], index[-1])
        if len(whole) != len(index):
            gain = gain.reindex(time=whole)
    return gain


def _loss(series: Series, observed: xr.DataArray, loss: Loss) -> Array:
    """Give the loss of every day, the mean of several series', ``(site, time)``."""
    several = [series] if isinstance(series, xr.DataArray) else list(series)
    total = np.zeros(observed.shape)
    for one in several:
        check_aligned(one, observed)
        values = one.transpose("site", "time").values.astype(np.float64)
        total += _LOSSES[loss](values - observed.values)
    return total / len(several)


def _whole(horizon: int) -> int:
    if horizon < 1 or horizon != int(horizon):
        raise InputError(f"horizon of {horizon} days; it must be a whole number of at least 1")
    return int(horizon)


def _test(gain: Array, horizon: int) -> _Test:
    """Test rows of loss differences for a mean of zero."""
    there = ~np.isnan(gain)
    days = there.sum(axis=-1)
    n = days.astype(np.float64)
    mean = ratio(np.where(there, gain, 0.0).sum(axis=-1), n)
    apart = np.where(there, gain - mean[:, None], 0.0)
    lags = range(min(horizon, gain.shape[-1]))
    covariances = np.zeros((len(lags), len(gain)))
    for lag in lags:
        products = np.einsum("st,st->s", apart[:, lag:], apart[:, : gain.shape[-1] - lag])
        covariances[lag] = ratio(products, n)
    twice = np.where(np.arange(len(covariances)) == 0, 1.0, 2.0)[:, None]
    bartlett = 1.0 - np.arange(len(covariances))[:, None] / horizon
    plain = (twice * covariances).sum(axis=0)
    variance = np.where(plain > 0.0, plain, (twice * bartlett * covariances).sum(axis=0))
    # a difference that is the same on every day has no spread but rounding
    variance = np.where(variance > (1e-9 * mean) ** 2, variance, np.nan)
    with np.errstate(invalid="ignore"):
        short = np.sqrt(
            np.maximum(n + 1.0 - 2.0 * horizon + ratio(np.array(horizon * (horizon - 1.0)), n), 0) / n
        )
        statistic = np.where(days > horizon, short * mean / np.sqrt(variance / n), np.nan)
    same = (days > horizon) & ~np.where(there, gain, 0.0).any(axis=-1)
    statistic = np.where(same, 0.0, statistic)
    p_value = 2.0 * student.sf(np.abs(statistic), np.maximum(n - 1.0, 1.0))
    return _Test(mean, statistic, np.where(np.isnan(statistic), np.nan, p_value), days.astype(np.int64))


def _sentence(result: ErrorComparison) -> str:
    """Say it with the better one first."""
    a, b, clear = result.a, result.b, (result.clear_a, result.clear_b)
    what = f"daily {result.loss} errors"
    if result.verdict == "unknown":
        return f"{what} of {a} and {b} cannot be told apart ({result.days} days, {result.sites} sites)"
    if result.verdict == "b":
        a, b, clear = b, a, clear[::-1]
    numbers = (
        f"Diebold-Mariano statistic {abs(result.statistic):.2f}, p = {result.p_value:.2g}, "
        f"{result.days} days; {a} clearly better at {clear[0]} and {b} at {clear[1]} of {result.sites} sites"
    )
    if result.verdict == "none":
        return f"no clear difference between {a} and {b} in {what} ({numbers})"
    return f"{a} has smaller {what} than {b} ({numbers})"
