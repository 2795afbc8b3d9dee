"""Compare two models on the sites that both were tested at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from thalweg.evaluation.intervals import LEVEL, SAMPLES, Difference, paired_difference
from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import METRICS, Metric
from thalweg.evaluation.tables import FEWEST_SITES, need, site_values
from thalweg.storage.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """Two models, or runs, on the sites that both were tested at.

    Attributes
    ----------
    a, b, metric, split : what was compared.
    difference : of the metric, a - b; where its best value lies in the middle (bias, variance ratio), of
        the distances from it.
    share_better : share of sites where a is better.
    only_a, only_b : sites with a value for one of them alone, left out.
    verdict : ``a``, ``b``, ``none`` (no clear difference) or ``unknown`` (too few sites).
    sentence : the result in words.
    """

    a: str
    b: str
    metric: str
    split: str
    difference: Difference
    share_better: float
    only_a: int
    only_b: int
    verdict: str
    sentence: str


def compare(
    metrics: pd.DataFrame,
    metric: str,
    a: str,
    b: str,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> list[Comparison]:
    """Compare two models in every experiment and split where both have results.

    Parameters
    ----------
    metrics : the table of :func:`thalweg.storage.results.collect_metrics`.
    metric : a name in ``METRICS``.
    a, b : names of models; or ids of two runs, which give one comparison, whatever their splits.
    samples, seed, level : see :func:`thalweg.evaluation.intervals.median_interval`.

    Raises
    ------
    InputError
        When a model or run has no results, or two models share no split.
    """
    by = "run" if "/" in a and "/" in b else "model"
    first, second = _rows(metrics, by, a), _rows(metrics, by, b)
    parts = {}
    if by == "run":
        label = " against ".join(dict.fromkeys([*first["split"].unique(), *second["split"].unique()]))
        parts[label] = first, second
    else:
        several = metrics["experiment"].nunique() > 1
        others = dict(iter(second.groupby(["experiment", "split"], sort=False)))
        for key, rows in first.groupby(["experiment", "split"], sort=False):
            if key in others:
                parts[f"{key[0]}, {key[1]}" if several else str(key[1])] = rows, others[key]
    if not parts:
        raise InputError(f"{a} and {b} have results of no common split")
    comparisons = []
    for label, (rows_a, rows_b) in parts.items():
        x, y = site_values(rows_a, metric), site_values(rows_b, metric)
        comparisons.append(
            compare_sites(x, y, metric, a, b, split=label, samples=samples, seed=seed, level=level)
        )
    return comparisons


def compare_sites(
    first: pd.Series,
    second: pd.Series,
    metric: str,
    a: str,
    b: str,
    *,
    split: str = "",
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Comparison:
    """Compare two series of a metric indexed by site, over the sites where both have a value."""
    about = _metric(metric)
    first, second = first.dropna(), second.dropna()
    sites = first.index.intersection(second.index)
    x, y = first[sites].to_numpy(dtype=float), second[sites].to_numpy(dtype=float)
    lost = len(first.index.difference(second.index)), len(second.index.difference(first.index))
    difference = paired_difference(*comparable(about, x, y), samples, seed, level)
    return conclude(x, y, metric, a, b, difference, split=split, only=lost, level=level)


def comparable(about: Metric, x: Array, y: Array) -> tuple[Array, Array]:
    """Give values whose difference tells which is better: distances, where the best lies in the middle."""
    return (about.error(x), about.error(y)) if about.better in ("zero", "one") else (x, y)


def conclude(
    x: Array,
    y: Array,
    metric: str,
    a: str,
    b: str,
    difference: Difference,
    *,
    split: str = "",
    only: tuple[int, int] = (0, 0),
    level: float = LEVEL,
) -> Comparison:
    """Say what a difference and its interval mean.

    Parameters
    ----------
    x, y : the metric of ``a`` and ``b`` at the sites that both have a value for, ``(site,)``.
    difference : between what :func:`comparable` gives of them, with its interval.
    only : sites with a value for one of them alone.
    """
    about = _metric(metric)
    x, y = comparable(about, x, y)
    higher_wins = about.better == "high"
    wins = (x > y, y > x) if higher_wins else (x < y, y < x)
    shares = [float(won.mean()) if len(x) else np.nan for won in wins]
    if difference.sites < FEWEST_SITES:
        verdict = "unknown"
    elif not (difference.low > 0.0 or difference.high < 0.0):
        verdict = "none"
    else:
        verdict = "a" if (difference.low > 0.0) == higher_wins else "b"
    return Comparison(
        a=a,
        b=b,
        metric=metric,
        split=split,
        difference=difference,
        share_better=shares[0],
        only_a=only[0],
        only_b=only[1],
        verdict=verdict,
        sentence=(f"{split}: " if split else "") + _sentence(verdict, a, b, about, difference, shares, level),
    )


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise InputError(f"cannot compare {name!r}: it is no metric; there are {', '.join(METRICS)}")
    return METRICS[name]


def _rows(metrics: pd.DataFrame, by: str, name: str) -> pd.DataFrame:
    need(metrics, "experiment", "split", by)
    rows = metrics[metrics[by] == name]
    if rows.empty:
        there = ", ".join(str(other) for other in metrics[by].unique()) or "none"
        raise InputError(f"no metrics of {by} {name!r}; there are those of {there}")
    return rows


def _sentence(
    verdict: str, a: str, b: str, about: Metric, difference: Difference, shares: list[float], level: float
) -> str:
    """Say it with the better one first, and the difference as that one minus the other."""
    if verdict == "unknown":
        return f"too few common sites ({difference.sites}) to tell {a} and {b} apart"
    median, low, high = difference[:3]
    share = shares[0]
    if verdict == "b":
        a, b, median, low, high, share = b, a, -median, -high, -low, shares[1]
    what = about.long_name
    if about.better in ("zero", "one"):
        what = f"distance of the {what} from {about.perfect:g}"
    unit = "" if about.units == "1" else f" {about.units}"
    decimals = _decimals(about, low, high)
    told = [f"{round(value, decimals) + 0.0:+.{decimals}f}" for value in (median, low, high)]  # never -0
    numbers = (
        f"median difference {told[0]}{unit}, {level:.0%} interval {told[1]} to {told[2]}; "
        f"{a} better at {share:.0%} of {difference.sites} sites"
    )
    if verdict == "none":
        return f"no clear difference between {a} and {b} in {what} ({numbers})"
    return f"{a} is better than {b} in {what} ({numbers})"


def _decimals(about: Metric, *ends: float) -> int:
    """Give the same decimals to all differences of a metric, and more where an end would show but zeros."""
    least = 2 if about.units == "%" else 3
    for size in sorted(abs(end) for end in ends):
        for places in range(least, 9):
            if round(size, places) > 0.0:
                return places
    return least
