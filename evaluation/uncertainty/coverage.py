"""Whether intervals hold what they promise, shown for each group of sites apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.intervals import SAMPLES
from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import check_aligned
from thalweg.evaluation.tables import FEWEST_SITES
from thalweg.evaluation.uncertainty.conformal import LEVEL
from thalweg.storage.errors import InputError

# The coverage of a single calibration is itself random: by a point or two with some hundred days.
TOLERANCE = 0.02


def coverage(
    observed: xr.DataArray,
    interval: xr.Dataset,
    group: xr.DataArray | None = None,
    *,
    level: float = LEVEL,
    samples: int = SAMPLES,
    seed: int = 0,
    confidence: float = 0.9,
) -> pd.DataFrame:
    """Give the share of days that intervals hold, for each group of sites apart.

    Parameters
    ----------
    observed : (mm/day), ``(site, time)``; NaN is left out. A missing bound on an observed day is a miss.
    interval : ``lower`` and ``upper`` (mm/day), ``(site, time)``.
    group : a label for each site, ``(site,)``: a region, or gauged and ungauged. One group if absent.
    level : what the intervals promise.
    samples, seed, confidence : of the bootstrap over sites, which shows how sure the coverage itself is.

    Returns
    -------
    Table with one row a group: ``group``, ``sites``, ``days``, ``coverage``, ``low``, ``high`` (its
    bootstrap interval; NaN for one site), ``width`` (mean, mm/day), ``level`` and ``verdict``: ``holds``,
    ``too low`` or ``too high`` where the level lies outside that interval by more than 0.02, ``unknown``
    with fewer than 5 sites.

    Raises
    ------
    InputError
        When sites or days differ.
    """
    check_aligned(interval["lower"], observed)
    check_aligned(interval["upper"], observed)
    y, low, high = (
        array.transpose("site", "time").values for array in (observed, interval["lower"], interval["upper"])
    )
    labels = np.full(len(y), "all") if group is None else np.asarray(group.values)
    if labels.shape != (len(y),):
        raise InputError(f"group has {labels.size} labels for {len(y)} sites")
    there = ~np.isnan(y)
    held, days = ((y >= low) & (y <= high)).sum(axis=-1), there.sum(axis=-1)
    width = np.where(there, high - low, 0.0).sum(axis=-1)
    rows = []
    for label in pd.unique(labels):
        chosen = (labels == label) & (days > 0)
        share = held[chosen].sum() / days[chosen].sum() if chosen.any() else np.nan
        bounds = _bootstrap(held[chosen], days[chosen], samples, seed, confidence)
        rows.append(
            {
                "group": label,
                "sites": int(chosen.sum()),
                "days": int(days[chosen].sum()),
                "coverage": share,
                "low": bounds[0],
                "high": bounds[1],
                "width": width[chosen].sum() / days[chosen].sum() if chosen.any() else np.nan,
                "level": level,
                "verdict": _verdict(level, *bounds) if chosen.sum() >= FEWEST_SITES else "unknown",
            }
        )
    return pd.DataFrame(rows)


def _bootstrap(held: Array, days: Array, samples: int, seed: int, confidence: float) -> tuple[float, float]:
    if len(days) < 2:
        return np.nan, np.nan
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(days), np.full(len(days), 1.0 / len(days)), size=samples)
    shares = (drawn @ held) / (drawn @ days)
    low, high = np.quantile(shares, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return float(low), float(high)


def _verdict(level: float, low: float, high: float) -> str:
    if high < level - TOLERANCE:
        return "too low"
    return "too high" if low > level + TOLERANCE else "holds"
