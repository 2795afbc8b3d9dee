"""Scores of resampled records: whole blocks of days drawn with replacement.

Days of a river follow one another, so that single days cannot be drawn: blocks, of a water year by default,
keep what hangs together within them (Carlstein 1986, Ann. Stat. 14, 1171-1179, 10.1214/aos/1176350057). One
draw serves all sites and models: what happens in many rivers on the same days, and to all models at once,
stays so.

No resampled record is ever made. Sums over days are kept by block and weighed with how often each block was
drawn; for the flow duration curve and for ranks, so are the counts of days above each value. This gives the
scores of the resampled records themselves, some hundred times faster, with three exceptions: the ε of
``log_nse`` is that of the whole record, the peaks of ``peak_timing`` and ``missed_peaks`` are those found
in the whole record, and the flow duration curves of ``kge_np`` are compared on a grid of 3 %, which is
within 0.002 of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from thalweg.evaluation.flow_regime import logarithms
from thalweg.evaluation.intervals import LEVEL, SAMPLES
from thalweg.evaluation.moments import Array, Moments
from thalweg.evaluation.resampled_curves import CURVES, SiteBlocks
from thalweg.evaluation.skill import (
    METRICS,
    MINIMUM_DAYS,
    check_aligned,
    known_metrics,
    metric_attributes,
    site_coordinates,
)
from thalweg.storage.errors import InputError

FEWEST_BLOCKS = 5
WATER_YEAR = 10  # the month in which it begins
_SITES_AT_ONCE = 32


@dataclass(frozen=True)
class Draws:
    """Blocks of days drawn with replacement, as many as there are.

    Attributes
    ----------
    block : block of each day, ``(time,)``, from 0.
    counts : how often each block is in each sample, ``(sample, block)``.
    """

    block: NDArray[np.int64]
    counts: NDArray[np.int64]


def draw_blocks(
    times: pd.DatetimeIndex | xr.DataArray,
    blocks: int | str = "water_year",
    samples: int = SAMPLES,
    seed: int = 0,
) -> Draws:
    """Draw blocks of days with replacement.

    Parameters
    ----------
    times : days of the record.
    blocks : ``water_year`` (from October), ``year``, or a number of days.
    samples, seed : of the bootstrap; the same seed gives the same draws.

    Raises
    ------
    InputError
        When the record has fewer than 5 blocks, whose spread would say nothing.
    """
    index = pd.DatetimeIndex(times.values if isinstance(times, xr.DataArray) else times)
    if blocks == "water_year":
        label = water_year(index)
    elif blocks == "year":
        label = np.asarray(index.year)
    elif isinstance(blocks, int) and blocks > 0:
        label = np.asarray((index - index.min()).days // blocks) if len(index) else np.zeros(0, int)
    else:
        raise InputError(f"blocks {blocks!r}: give 'water_year', 'year' or a number of days above 0")
    found, block = np.unique(label, return_inverse=True)
    if len(found) < FEWEST_BLOCKS:
        what = f"{blocks} days" if isinstance(blocks, int) else f"a {blocks.replace('_', ' ')}"
        raise InputError(
            f"the record has {len(found)} blocks of {what}; at least {FEWEST_BLOCKS} are needed: "
            "make them shorter, or resample sites alone"
        )
    equal = np.full(len(found), 1.0 / len(found))
    counts = np.random.default_rng(seed).multinomial(len(found), equal, size=samples)
    return Draws(block.astype(np.int64), counts.astype(np.int64))


def water_year(times: pd.DatetimeIndex) -> NDArray[np.int64]:
    """Give the water year of each day, from October, by the calendar year that it ends in."""
    return np.asarray(times.year + (times.month >= WATER_YEAR), dtype=np.int64)


def resample_scores(
    simulated: Mapping[str, xr.DataArray],
    observed: xr.DataArray,
    draws: Draws,
    *,
    metrics: Iterable[str] | None = None,
    minimum_days: int = MINIMUM_DAYS,
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Score models on every resampled record.

    Parameters
    ----------
    simulated : discharge (mm/day) by model, ``(site, time)``, aligned with the observations.
    observed : discharge (mm/day), ``(site, time)``; days that are NaN are left out.
    draws : of the same days.
    metrics : names in ``METRICS``; all of them if absent.
    minimum_days : with fewer observed days in a sample, its score is NaN.

    Returns
    -------
    By model and metric, ``(sample, site)``, in single precision.
    """
    names = known_metrics(metrics)
    for series in simulated.values():
        check_aligned(series, observed)
    if len(draws.block) != observed.sizes["time"]:
        raise InputError(f"draws are of {len(draws.block)} days, the record has {observed.sizes['time']}")
    order = np.argsort(draws.block, kind="stable")
    starts = np.searchsorted(draws.block[order], np.arange(draws.counts.shape[1] + 1))
    o = observed.transpose("site", "time")
    s = {model: series.transpose("site", "time") for model, series in simulated.items()}
    shape = (len(draws.counts), observed.sizes["site"])
    scores = {model: {name: np.full(shape, np.nan, np.float32) for name in names} for model in s}
    for first in range(0, shape[1], _SITES_AT_ONCE):
        some = slice(first, first + _SITES_AT_ONCE)
        known = o[some].values.astype(np.float64)
        of_models = {model: series[some].values.astype(np.float64) for model, series in s.items()}
        curves = [name for name in names if name in CURVES]
        found = _from_curves(of_models, known, draws, curves) if curves else {}
        for model, values in of_models.items():
            sums = _from_sums(values, known, draws, names, order, starts)
            found[model] = {**found.get(model, {}), **sums}
        enough = draws.counts @ _days(known[:, order], starts) >= minimum_days
        for model, of_model in found.items():
            for name, value in of_model.items():
                defined = enough & np.isfinite(value)
                scores[model][name][:, some] = np.where(defined, value, np.nan)
    for model in s:
        for name in names:
            if METRICS[name].of == "series" and name not in (*CURVES, "log_nse"):
                scores[model][name] = rebuilt(s[model].values, o.values, draws, name, minimum_days)
    return scores


def score_intervals(
    simulated: xr.DataArray,
    observed: xr.DataArray,
    draws: Draws | None = None,
    *,
    metrics: Iterable[str] | None = None,
    level: float = LEVEL,
) -> xr.Dataset:
    """Give the bootstrap interval of every site's score: what it owes to the years that were tested.

    NSE and KGE of ten years hang on a few floods, so that these intervals are wide (Clark et al. 2021, Water
    Resour. Res. 57, e2020WR029001, 10.1029/2020WR029001, who draw water years as is done here).

    Returns
    -------
    Dataset over ``(bound, site)`` with ``bound`` low and high; NaN where a site has no score.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level} must be in (0, 1)")
    draws = draw_blocks(observed["time"]) if draws is None else draws
    scores = resample_scores({"": simulated}, observed, draws, metrics=metrics)[""]
    result = xr.Dataset(coords={**site_coordinates(observed), "bound": ["low", "high"]})
    ends = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    for name, values in scores.items():
        bounds = np.full((2, values.shape[1]), np.nan)
        there = ~np.isnan(values).all(axis=0)
        bounds[:, there] = np.nanquantile(values[:, there].astype(np.float64), ends, axis=0)
        result[name] = (("bound", "site"), bounds, metric_attributes(name))
    return result


def rebuilt(
    simulated: Array, observed: Array, draws: Draws, name: str, minimum_days: int = MINIMUM_DAYS
) -> NDArray[np.float32]:
    """Score resampled records by making each of them: slow, for a metric that has no faster way.

    Parameters
    ----------
    simulated, observed : ``(site, time)`` (mm/day).

    Returns
    -------
    ``(sample, site)``.
    """
    days = [np.flatnonzero(draws.block == block) for block in range(draws.counts.shape[1])]
    rows = []
    for counts in draws.counts:
        there = np.concatenate([np.tile(days[block], count) for block, count in enumerate(counts)])
        values = METRICS[name](simulated[:, there].astype(float), observed[:, there].astype(float))
        enough = (~np.isnan(observed[:, there])).sum(axis=-1) >= minimum_days
        rows.append(np.where(enough & np.isfinite(values), values, np.nan))
    return np.array(rows, dtype=np.float32)


def _from_sums(
    simulated: Array, observed: Array, draws: Draws, names: list[str], order: NDArray, starts: NDArray
) -> dict[str, Array]:
    """Give metrics that follow from sums over days, ``(sample, site)``."""
    wanted = [name for name in names if METRICS[name].of == "moments"]
    scores = {}
    with np.errstate(over="ignore", invalid="ignore"):
        if wanted:
            moments = _resampled(simulated[:, order], observed[:, order], draws, starts)
            scores = {name: METRICS[name].function(moments) for name in wanted}
        if "log_nse" in names:
            s, o = logarithms(simulated, observed)
            scores["log_nse"] = METRICS["nse"].function(_resampled(s[:, order], o[:, order], draws, starts))
    return scores


def _resampled(simulated: Array, observed: Array, draws: Draws, starts: NDArray) -> Moments:
    """Give the moments of every sample, with arrays ``(sample, site)`` in place of ``(site,)``."""
    counts = draws.counts
    shape = (len(counts), len(observed))
    days, high = np.zeros(shape, np.int64), np.zeros((7, *shape))
    for block, (a, b) in enumerate(pairwise(starts)):
        part = Moments.of(simulated[:, a:b], observed[:, a:b])
        # one block after the other, and no matrix product, whose rounding depends on the number of sites
        times = counts[:, block, None]
        days += times * part.days
        high += times * part.high[:, None, :]
    unknown = np.full((2, 1, 1), np.nan)
    return Moments(days, high, np.zeros_like(high), unknown, unknown)


def _days(observed: Array, starts: NDArray) -> NDArray[np.int64]:
    there = ~np.isnan(observed)
    parts = [there[:, a:b].sum(axis=-1) for a, b in pairwise(starts)]
    return np.stack(parts).astype(np.int64)


def _from_curves(
    simulated: dict[str, Array], observed: Array, draws: Draws, names: list[str]
) -> dict[str, dict[str, Array]]:
    """Give metrics of the flow duration curve, of ranks and of peaks, site after site."""
    shape = (len(draws.counts), len(observed))
    scores = {model: {name: np.full(shape, np.nan) for name in names} for model in simulated}
    for site, known in enumerate(observed):
        if np.isnan(known).all():
            continue
        truth = SiteBlocks(known, known, draws.block, draws.counts)
        for model, series in simulated.items():
            if np.isnan(series[site][~np.isnan(known)]).any():
                continue
            guess = SiteBlocks(series[site], known, draws.block, draws.counts)
            for name in names:
                scores[model][name][:, site] = CURVES[name](guess, truth)
    return scores
