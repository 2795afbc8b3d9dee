"""How far what is predicted lies from what was trained on, and whether a prediction can be relied on.

Distances are taken in the space of the attributes and of the climate of sites, and, day by day, in that of
the weather of the last days, months and year. All is scaled by the mean and the standard deviation of the
training part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from sklearn.covariance import ledoit_wolf

from thalweg.evaluation.intervals import LEVEL, SAMPLES
from thalweg.evaluation.moments import Array

SPANS = (1, 30, 365)  # days over which weather is averaged: the day, the month, the year up to it
MOST_POINTS = 20_000  # training days that a day is compared with
MOST_SITES = 2_000  # of which all distances between two are taken
CLASSES = 5


def site_distances(training: ArrayLike, tested: ArrayLike) -> xr.Dataset:
    """Give how far tested sites lie from the training sites.

    Parameters
    ----------
    training, tested : ``(site, attribute)``, in any units; NaN counts as the training mean.

    Returns
    -------
    Dataset over ``(site,)``, without coordinates:
        ``nearest``: the Euclidean distance (in standard deviations) to the nearest training site.
        ``mahalanobis``: the Mahalanobis distance from the mean training site, with the covariance shrunk
        towards a diagonal one (Ledoit and Wolf 2004), so that few sites and many attributes do.
        ``dissimilarity``: ``nearest`` over the mean distance between training sites (Meyer and Pebesma 2021,
        Methods Ecol. Evol., eq. 2, without weights).
        ``applicability``: see :func:`applicability`, from ``nearest``.

    Raises
    ------
    ValueError
        With fewer than 3 training sites.
    """
    known, asked = scaled(training, tested)
    if len(known) < 3:
        raise ValueError(f"{len(known)} training sites are too few to tell what is far from them: give 3")
    within = cKDTree(known).query(known, k=2)[0][:, 1]  # the nearest other one
    nearest = cKDTree(known).query(asked)[0]
    drawn = np.random.default_rng(0).permutation(len(known))[:MOST_SITES]
    mean = pdist(known[drawn]).mean() or np.nan
    inverse = np.linalg.pinv(ledoit_wolf(known)[0])
    off = asked - known.mean(0)
    values = {
        "nearest": nearest,
        "mahalanobis": np.sqrt(np.einsum("si,ij,sj->s", off, inverse, off).clip(min=0)),
        "dissimilarity": nearest / mean,
        "applicability": applicability(within, nearest),
    }
    return xr.Dataset({name: ("site", each) for name, each in values.items()})


def weather_distances(
    training: Sequence[xr.DataArray], tested: Sequence[xr.DataArray], counted: xr.DataArray | None = None
) -> xr.Dataset:
    """Give how far the weather of every tested day lies from that of the training days.

    Parameters
    ----------
    training, tested : one array ``(site, time)`` a forcing, in the same order, in any units. The first days,
        which lack the days before, are averaged over those that are there.
    counted : ``(site, time)`` of training days, which of them were trained on; all where absent.

    Returns
    -------
    Dataset over ``(site, time)`` of the tested days: ``nearest``, the distance to the nearest of at most
    20,000 training days, and ``applicability``. Training days are held against those of *other* sites, else
    the day before would always be near.
    """
    points = np.stack([part for each in training for part in _spans(each)], -1)
    sites = np.broadcast_to(np.arange(points.shape[0], dtype=np.int64)[:, None], points.shape[:2])
    there = np.isfinite(points).all(-1)
    if counted is not None:
        there &= counted.transpose("site", "time").values
    known, owner = points[there], sites[there]
    if len(known) < 3:
        raise ValueError("fewer than 3 training days have weather: nothing can be told to be far from them")
    if len(known) > MOST_POINTS:
        drawn = np.random.default_rng(0).choice(len(known), MOST_POINTS, replace=False)
        known, owner = known[drawn], owner[drawn]
    asked = np.stack([part for each in tested for part in _spans(each)], -1)
    flat, asked_flat = scaled(known, asked.reshape(-1, asked.shape[-1]))
    nearest = cKDTree(flat).query(asked_flat, workers=-1)[0].reshape(asked.shape[:2])
    within = _from_others(flat, owner)
    made = xr.Dataset(coords=tested[0].transpose("site", "time").coords)
    made["nearest"] = (("site", "time"), nearest.astype(np.float32))
    made["applicability"] = (("site", "time"), applicability(within, nearest).astype(np.float32))
    return made


def applicability(within: ArrayLike, distances: ArrayLike) -> Array:
    """Give the share of training points that lie at least as far from the other ones as a prediction does.

    1 lies as near as any, 0.5 as the middle one; below 0.05 it is farther out than 95 % of what was trained
    on: nothing there was ever learned. It is the p-value of a conformal test of novelty (Laxhammar and
    Falkman 2015), hence never 0.

    Parameters
    ----------
    within : ``(training point,)``, the distance of each to the nearest other.
    distances : of predictions to the nearest training point, any shape.
    """
    ordered = np.sort(np.asarray(within, dtype=float))
    asked = np.asarray(distances, dtype=float)
    farther = len(ordered) - np.searchsorted(ordered, asked, side="left")
    return np.asarray(np.where(np.isnan(asked), np.nan, (1 + farther) / (1 + len(ordered))))


def skill_by_distance(
    skill: ArrayLike,
    distance: ArrayLike,
    classes: int = CLASSES,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Give the skill of sites in classes of distance from the training support, as many sites in each.

    Parameters
    ----------
    skill, distance : ``(site,)``; sites with a NaN are left out.

    Returns
    -------
    Table with a row a class: ``from``, ``to``, ``sites``, ``median``. ``attrs``: ``rank_correlation`` of
    skill and distance, with its bootstrap interval ``low`` to ``high``, and ``sentence``.
    """
    values, far = np.asarray(skill, dtype=float), np.asarray(distance, dtype=float)
    there = ~np.isnan(values) & ~np.isnan(far)
    values, far = values[there], far[there]
    parts = np.array_split(np.argsort(far, kind="stable"), max(1, min(classes, len(far) // 3)))
    rows = [(far[p].min(), far[p].max(), p.size, float(np.median(values[p]))) for p in parts if p.size]
    made = pd.DataFrame(rows, columns=["from", "to", "sites", "median"])
    correlation = low = high = np.nan
    if len(far) >= 5 and np.ptp(far) > 0 and np.ptp(values) > 0:
        generator = np.random.default_rng(seed)
        correlation = float(stats.spearmanr(far, values).statistic)
        drawn = [_rank_correlation(far, values, generator) for _ in range(samples)]
        low, high = (float(each) for each in np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
    if np.isnan(low):
        sentence = f"too few sites ({len(far)}) to tell whether skill falls with distance"
    elif high < 0:
        sentence = "skill falls with distance from what was trained on"
    elif low > 0:
        sentence = "skill grows with distance from what was trained on: far sites are the easier ones here"
    else:
        sentence = "no clear change of skill with distance from what was trained on"
    made.attrs = {"rank_correlation": correlation, "low": low, "high": high, "sentence": sentence}
    return made


def scaled(training: ArrayLike, tested: ArrayLike) -> tuple[Array, Array]:
    """Scale ``(point, feature)`` by the training mean and deviation; unknown ones count 0."""
    known, asked = np.asarray(training, dtype=float), np.asarray(tested, dtype=float)
    with np.errstate(invalid="ignore"):
        there = np.isfinite(known)
        count = there.sum(0)
        mean = np.where(there, known, 0.0).sum(0) / np.maximum(count, 1)
        spread = np.sqrt(np.where(there, (known - mean) ** 2, 0.0).sum(0) / np.maximum(count, 1))
    # a feature that is constant in training tells nothing of how far a change of it leads
    width = np.where(spread > 1e-12 * np.abs(mean), spread, np.inf)
    return np.nan_to_num((known - mean) / width), np.nan_to_num((asked - mean) / width)


def _spans(series: xr.DataArray) -> list[Array]:
    frame = series.transpose("site", "time")
    rows = pd.DataFrame(frame.values.T)
    return [rows.rolling(span, min_periods=1).mean().to_numpy().T for span in SPANS]


def _from_others(points: Array, owner: NDArray[np.int64]) -> Array:
    """Give the distance of points to the nearest one of another owner, if there is another."""
    if np.all(owner == owner[0]):
        return np.asarray(cKDTree(points).query(points, k=2)[0][:, 1])
    drawn = np.random.default_rng(1).choice(len(points), min(len(points), 2000), replace=False)
    found = np.full(drawn.size, np.nan)
    for one in np.unique(owner[drawn]):
        own = drawn[owner[drawn] == one]
        others = points[owner != one]
        found[owner[drawn] == one] = cKDTree(others).query(points[own], workers=-1)[0]
    return found


def _rank_correlation(x: Array, y: Array, generator: np.random.Generator) -> float:
    rows = generator.integers(len(x), size=len(x))
    a, b = stats.rankdata(x[rows]), stats.rankdata(y[rows])
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    return float(np.corrcoef(a, b)[0, 1])
