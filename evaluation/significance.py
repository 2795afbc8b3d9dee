"""Whether one model is better than another, or the difference is no larger than chance.

A paired bootstrap over blocks of time and over sites, for every metric: it takes neither neighbouring days
nor, with clusters, neighbouring rivers for independent. :mod:`thalweg.evaluation.diebold_mariano` tests
daily errors.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from thalweg.evaluation.comparison import Comparison, comparable, conclude
from thalweg.evaluation.intervals import LEVEL, SAMPLES, Difference
from thalweg.evaluation.moments import Array
from thalweg.evaluation.resampling import draw_blocks, resample_scores
from thalweg.evaluation.skill import METRICS, known_metrics, skill
from thalweg.evaluation.tables import FEWEST_SITES
from thalweg.storage.errors import InputError

OVER = ("time", "site")


def compare_series(
    simulated: Mapping[str, xr.DataArray | Sequence[xr.DataArray]],
    observed: xr.DataArray,
    *,
    metrics: Iterable[str] | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    over: Sequence[str] = OVER,
    blocks: int | str = "water_year",
    clusters: ArrayLike | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    split: str = "",
) -> list[Comparison]:
    """Compare models by a paired bootstrap over blocks of time, over sites, or over both.

    Every sample draws blocks of days and sites with replacement, the same for all models, scores
    the models on them, and takes the median over sites of the difference. Over both, the interval holds for
    other years and other sites of the same kind; it is then rather too wide than too narrow (Owen 2007, Ann.
    Appl. Stat. 1, 386-411, 10.1214/07-AOAS122).

    Parameters
    ----------
    simulated : discharge (mm/day) by model, ``(site, time)``, aligned with ``observed``; or several of one
        model, such as those of its seeds, whose scores are averaged at each site.
    observed : discharge (mm/day), ``(site, time)``; NaN is left out.
    metrics : names in ``METRICS``; all of them if absent.
    pairs : models to compare; every two if absent.
    over : ``("time",)``, ``("site",)`` or both. Over sites alone, days are those of the record.
    blocks : see :func:`thalweg.evaluation.resampling.draw_blocks`.
    clusters : label of each site, such as its region: sites of one label are drawn together, because
        neighbours are not independent.
    samples, seed, level : of the bootstrap.

    Returns
    -------
    One comparison a metric and pair. The difference is the median over the sites where both have a score.

    Raises
    ------
    InputError
        When a model is unknown, ``over`` is neither, or there are fewer than 5 blocks or clusters.
    """
    names = known_metrics(metrics)
    chosen = list(combinations(simulated, 2)) if pairs is None else list(pairs)
    unknown = sorted({model for pair in chosen for model in pair if model not in simulated})
    if unknown:
        raise InputError(f"no series of model {', '.join(unknown)}; there are {', '.join(simulated)}")
    if not over or not set(over) <= set(OVER):
        raise InputError(f"over {list(over)}: give 'time', 'site' or both")
    series = {
        f"{model}/{place}": one
        for model, several in simulated.items()
        for place, one in enumerate([several] if isinstance(several, xr.DataArray) else several)
    }
    scored = {key: skill(one, observed, metrics=names) for key, one in series.items()}
    whole = _averaged({key: {name: found[name].values for name in names} for key, found in scored.items()})
    resampled = None
    if "time" in over:
        draws = draw_blocks(observed["time"], blocks, samples, seed)
        resampled = _averaged(resample_scores(series, observed, draws, metrics=names))
    sites = None
    if "site" in over:
        sites = draw_sites(observed.sizes["site"], clusters, samples, seed)
    comparisons = []
    for name in names:
        for a, b in chosen:
            x, y = whole[a][name], whole[b][name]
            both = ~(np.isnan(x) | np.isnan(y))
            drawn = (x, y) if resampled is None else (resampled[a][name], resampled[b][name])
            gain = np.subtract(*comparable(METRICS[name], *(np.where(both, v, np.nan) for v in drawn)))
            difference = _difference(name, x[both], y[both], _medians(gain, sites), level)
            lost = int((~np.isnan(x) & ~both).sum()), int((~np.isnan(y) & ~both).sum())
            comparisons.append(
                conclude(x[both], y[both], name, a, b, difference, split=split, only=lost, level=level)
            )
    return comparisons


def draw_sites(
    sites: int, clusters: ArrayLike | None = None, samples: int = SAMPLES, seed: int = 0
) -> NDArray[np.int64]:
    """Draw sites, or whole clusters of them, with replacement.

    Returns
    -------
    Places of sites, ``(sample, place)``; -1 fills up where a sample has fewer sites than the largest.
    """
    generator = np.random.default_rng([seed, 1])  # apart from the draws of blocks
    if clusters is None:
        return generator.integers(sites, size=(samples, sites)) if sites else np.zeros((samples, 0), np.int64)
    labels = np.asarray(clusters)
    if labels.shape != (sites,):
        raise InputError(f"clusters of shape {labels.shape}; one label for each of {sites} sites is needed")
    found, of = np.unique(labels, return_inverse=True)
    if len(found) < FEWEST_SITES:
        raise InputError(f"{len(found)} clusters of sites; at least {FEWEST_SITES} are needed")
    members = [np.flatnonzero(of == number) for number in range(len(found))]
    rows = [
        np.concatenate([members[number] for number in generator.integers(len(found), size=len(found))])
        for _ in range(samples)
    ]
    drawn = np.full((samples, max(len(row) for row in rows)), -1, np.int64)
    for row, places in zip(drawn, rows, strict=True):
        row[: len(places)] = places
    return drawn


def _averaged(scores: Mapping[str, Mapping[str, NDArray]]) -> dict[str, dict[str, Array]]:
    """Give the mean of what is named ``model/0``, ``model/1`` and so on, by model; NaN is left out."""
    of_model: dict[str, list[Mapping[str, NDArray]]] = {}
    for key, found in scores.items():
        of_model.setdefault(key.rpartition("/")[0], []).append(found)
    averaged: dict[str, dict[str, Array]] = {}
    for model, several in of_model.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Mean of empty slice")
            averaged[model] = {
                name: first if len(several) == 1 else np.nanmean([one[name] for one in several], axis=0)
                for name, first in several[0].items()
            }
    return averaged


def _difference(name: str, x: Array, y: Array, medians: Array, level: float) -> Difference:
    first, second = comparable(METRICS[name], x, y)
    if not len(x):
        return Difference(np.nan, np.nan, np.nan, np.nan, 0)
    known = medians[~np.isnan(medians)]
    ends = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    low, high = np.quantile(known, ends) if len(known) and len(x) > 1 else (np.nan, np.nan)
    gain = first - second
    return Difference(float(np.median(gain)), float(low), float(high), float((gain > 0).mean()), len(x))


def _medians(gain: Array, sites: NDArray[np.int64] | None) -> Array:
    """Give the median over drawn sites of each sample; ``gain`` is ``(sample, site)`` or ``(site,)``."""
    if sites is not None:
        # the last column stands for no site
        rows = np.broadcast_to(gain, (len(sites), gain.shape[-1]))
        gain = np.take_along_axis(np.pad(rows, ((0, 0), (0, 1)), constant_values=np.nan), sites, axis=1)
    ordered = np.sort(gain.astype(np.float64), axis=-1)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=-1)
    if not ordered.size:
        return np.full(len(ordered), np.nan)
    last = ordered.shape[-1] - 1
    middle = [np.minimum(np.maximum(place, 0), last)[:, None] for place in ((count - 1) // 2, count // 2)]
    values = [np.take_along_axis(ordered, place, axis=-1)[:, 0] for place in middle]
    return np.where(count > 0, (values[0] + values[1]) / 2.0, np.nan)
