"""Skill inside against skill outside of what a model was trained on.

Inside is a split in time: the sites were trained on, other years are tested. Outside is any other split but
one by shares of the data, which has a curve of its own (:mod:`thalweg.evaluation.extrapolation.shares`): a
share of the years tests known sites, too. Both are scored at the same sites where that can be, so that the
gap is the model's and not that of easier rivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from thalweg.evaluation.comparison import comparable
from thalweg.evaluation.extrapolation.shares import SHARES
from thalweg.evaluation.intervals import LEVEL, SAMPLES, Interval, paired_difference
from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import METRICS, Metric
from thalweg.evaluation.tables import FEWEST_SITES, need, site_values
from thalweg.storage.errors import InputError

INSIDE = "temporal"  # the kind of split that tests known sites in other years
GAP_COLUMNS = [
    "model", "kind", "split", "inside_split", "inside", "outside", "gap", "low", "high", "sites", "paired",
    "sentence",
]  # fmt: skip
LINE_COLUMNS = ["run", "model", "kind", "split", "inside", "outside", "expected", "above"]


def extrapolation_gaps(
    metrics: pd.DataFrame,
    kinds: Mapping[str, str],
    metric: str = "nse",
    validation: pd.DataFrame | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Give the gap between skill inside and outside, for every model and every split that extrapolates.

    Parameters
    ----------
    metrics : the table of :func:`thalweg.storage.results.collect_metrics`, of one experiment.
    kinds : split -> its kind, as :data:`thalweg.storage.splits.KINDS` names it.
    metric : a name in ``METRICS``.
    validation : the same table of the validation parts; inside where the experiment has no split in time.
    samples, seed, level : see :func:`thalweg.evaluation.intervals.median_interval`.

    Returns
    -------
    Table with the columns ``GAP_COLUMNS``: medians over sites ``inside`` and ``outside``, and the median
    ``gap`` inside - outside with its interval ``low`` to ``high``; where the best value of the metric lies in
    the middle, of the distances from it. ``paired``: the gap is of the same sites. No rows where nothing
    extrapolates or nothing is inside.

    Raises
    ------
    InputError
        When the metric is unknown.
    """
    about = _metric(metric)
    need(metrics, "model", "kind", "split", "site")
    rows = []
    inside_split = next((split for split in metrics["split"].unique() if kinds.get(split) == INSIDE), None)
    for (model, split), table in metrics.groupby(["model", "split"], sort=False):
        if kinds.get(str(split)) in (INSIDE, SHARES) or metric not in table.columns:
            continue
        outside = site_values(table, metric)
        inside, name, paired = _inside(metrics, validation, str(model), str(split), inside_split, metric)
        if inside is None:
            continue
        if paired:
            sites = inside.dropna().index.intersection(outside.dropna().index)
            inside, outside = inside[sites], outside[sites]
        x, y = comparable(about, inside.to_numpy(dtype=float), outside.to_numpy(dtype=float))
        gap = (
            Interval(*paired_difference(x, y, samples, seed, level)[:3])
            if paired
            else _unpaired(x, y, samples, seed, level)
        )
        count = int(np.isfinite(y).sum())
        row = {
            "model": model,
            "kind": table["kind"].iloc[0],
            "split": split,
            "inside_split": name,
            "inside": _median(inside),
            "outside": _median(outside),
            "gap": gap.median,
            "low": gap.low,
            "high": gap.high,
            "sites": count,
            "paired": paired,
        }
        rows.append({**row, "sentence": _sentence(row, about, level)})
    return pd.DataFrame(rows, columns=GAP_COLUMNS)


def accuracy_on_the_line(inside: pd.DataFrame, outside: pd.DataFrame, metric: str = "nse") -> pd.DataFrame:
    """Give skill outside against skill inside over all trained models, and how far each is off their line.

    Over many models skill outside mostly follows from skill inside; what lies above the line holds better
    outside than its skill inside lets expect ("effective robustness"; Miller et al. 2021, Accuracy on the
    Line, ICML). The line is Theil-Sen's (1968), through the bounded scores ``1 / (2 - efficiency)`` where the
    metric is an efficiency, so that a single failure does not turn it.

    Parameters
    ----------
    inside, outside : columns ``run``, ``model``, ``kind``, ``split`` and the metric's median over sites as
        ``value``; matched by ``run``. ``run`` may be any label of one trained configuration.
    metric : a name in ``METRICS``.

    Returns
    -------
    Table with the columns ``LINE_COLUMNS``; ``expected`` is the line's value at the skill inside, ``above``
    the difference to it. Both NaN with fewer than 3 models. ``attrs``: ``slope``, ``rank_correlation``.
    """
    about = _metric(metric)
    joined = outside.merge(inside[["run", "value"]], on="run", suffixes=("_outside", "_inside"))
    joined = joined.rename(columns={"value_inside": "inside", "value_outside": "outside"})
    x, y = (_straight(about, joined[name].to_numpy(dtype=float)) for name in ("inside", "outside"))
    there = np.isfinite(x) & np.isfinite(y)
    expected = np.full(len(joined), np.nan)
    slope, correlation = np.nan, np.nan
    if there.sum() >= 3 and np.ptp(x[there]) > 0:
        slope, intercept = stats.theilslopes(y[there], x[there], method="joint")[:2]
        expected = _back(about, intercept + slope * x)
        if np.ptp(y[there]) > 0:
            correlation = float(stats.spearmanr(x[there], y[there]).statistic)
    joined = joined.assign(expected=expected, above=_back(about, y) - expected)
    made = joined.reindex(columns=LINE_COLUMNS)
    made.attrs = {"slope": float(slope), "rank_correlation": correlation}
    return made


def lines_outside(
    metrics: pd.DataFrame, kinds: Mapping[str, str], metric: str = "nse"
) -> tuple[str, dict[str, pd.DataFrame]]:
    """Give :func:`accuracy_on_the_line` of every split that extrapolates, a row a model and seed.

    Parameters
    ----------
    metrics, kinds, metric : as of :func:`extrapolation_gaps`, of trained models.

    Returns
    -------
    The split inside and the tables by split outside; empty where the experiment has no split in time, or no
    model and seed has results on both sides.

    Raises
    ------
    InputError
        When the metric is unknown.
    """
    inside = next((split for split in metrics["split"].unique() if kinds.get(split) == INSIDE), None)
    if inside is None:
        return "", {}
    medians = {str(split): _seed_medians(own, metric) for split, own in metrics.groupby("split", sort=False)}
    outside = [split for split in medians if kinds.get(split) not in (INSIDE, SHARES)]
    lines = {split: accuracy_on_the_line(medians[inside], medians[split], metric) for split in outside}
    return str(inside), {split: line for split, line in lines.items() if len(line)}


def _seed_medians(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Give the median over sites of each model and seed on one split."""
    rows = [
        {
            "run": f"{model}/{seed}",
            "model": model,
            "kind": own["kind"].iloc[0],
            "split": own["split"].iloc[0],
            "value": float(site_values(own, metric).median()),
        }
        for (model, seed), own in metrics.groupby(["model", "seed"])
    ]
    return pd.DataFrame(rows, columns=["run", "model", "kind", "split", "value"])


def _inside(
    metrics: pd.DataFrame,
    validation: pd.DataFrame | None,
    model: str,
    split: str,
    inside_split: str | None,
    metric: str,
) -> tuple[pd.Series | None, str, bool]:
    """Give the metric inside by site, the name of what it is from, and whether sites can be paired."""
    if inside_split is not None:
        own = metrics[(metrics["model"] == model) & (metrics["split"] == inside_split)]
        if len(own) and own[metric].notna().any():
            return site_values(own, metric), inside_split, True
    if validation is not None and len(validation) and metric in validation.columns:
        own = validation[(validation["model"] == model) & (validation["split"] == split)]
        if own[metric].notna().any():
            return site_values(own, metric), "validation", False
    return None, "", False


def _unpaired(x: Array, y: Array, samples: int, seed: int, level: float) -> Interval:
    """Give the difference of two medians of different sites, with its bootstrap interval."""
    x, y = x[~np.isnan(x)], y[~np.isnan(y)]
    if min(x.size, y.size) < 2:
        return Interval(float(np.median(x) - np.median(y)) if min(x.size, y.size) else np.nan, np.nan, np.nan)
    generator = np.random.default_rng(seed)
    drawn = [
        np.median(values[generator.integers(values.size, size=(samples, values.size))], axis=1)
        for values in (x, y)
    ]
    low, high = np.quantile(drawn[0] - drawn[1], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.median(x) - np.median(y)), float(low), float(high))


def _sentence(row: Mapping[str, Any], about: Metric, level: float) -> str:
    numbers = f"{row['gap']:+.3g}, {level:.0%} interval {row['low']:+.3g} to {row['high']:+.3g}"
    where = f"{row['model']}, {row['split']} against {row['inside_split']}"
    if row["sites"] < FEWEST_SITES or not np.isfinite(row["low"]):
        return f"{where}: too few sites ({row['sites']}) to tell"
    worse = row["low"] > 0 if about.better == "high" else row["high"] < 0
    better = row["high"] < 0 if about.better == "high" else row["low"] > 0
    if worse:
        return f"{where}: loses skill outside ({numbers})"
    if better:
        return f"{where}: gains skill outside ({numbers}): what is outside may be the easier test"
    return f"{where}: no clear difference ({numbers})"


def _straight(about: Metric, values: Array) -> Array:
    efficiency = about.better == "high" and about.perfect == 1.0
    return np.asarray(1.0 / (2.0 - values)) if efficiency else np.asarray(about.error(values))


def _back(about: Metric, values: Array) -> Array:
    if about.better == "high" and about.perfect == 1.0:
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(values > 0, 2.0 - 1.0 / values, -np.inf))
    return values


def _median(values: pd.Series) -> float:
    known = values.dropna()
    return float(known.median()) if len(known) else float("nan")


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise InputError(f"{name!r} is no metric; there are {', '.join(METRICS)}")
    return METRICS[name]
