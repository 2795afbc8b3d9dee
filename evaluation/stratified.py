"""Skill in parts: by season, by flow regime, by region, by class of an attribute.

A median over everything hides where a model fails. Strata of days (season, flow regime) split the record of
every site; strata of sites (region, attribute class) split the sites.

A warning that belongs to every table by observed flow: chosen by what happened, days of flood reward a
model that always says flood (Lerch et al. 2017, Stat. Sci. 32, 106-127, 10.1214/16-STS588). Read all
classes together, and rank models by the whole record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.intervals import LEVEL, SAMPLES, median_interval
from thalweg.evaluation.skill import METRICS, MINIMUM_DAYS, check_aligned, skill
from thalweg.storage.errors import InputError

SEASONS = ("DJF", "MAM", "JJA", "SON")
# The bounds of the flow duration curve's parts in FLV, FMS and FHV, as quantiles.
FLOW_BOUNDS = (0.3, 0.8, 0.98)
UNKNOWN = "unknown"


def seasons(times: pd.DatetimeIndex | xr.DataArray) -> xr.DataArray:
    """Give the season of each day by its months, DJF, MAM, JJA or SON, ``(time,)``."""
    index = pd.DatetimeIndex(times.values if isinstance(times, xr.DataArray) else times)
    labels = np.array(SEASONS, dtype=object)[np.asarray(index.month) % 12 // 3]
    return xr.DataArray(labels, {"time": index}, ("time",), name="season")


def flow_classes(observed: xr.DataArray, bounds: Sequence[float] = FLOW_BOUNDS) -> xr.DataArray:
    """Give the class of each day by the quantiles of its site's observed discharge.

    Parameters
    ----------
    observed : discharge (mm/day), ``(site, time)``.
    bounds : quantiles between the classes, rising, in (0, 1). A day as high as a bound is in the class
        below it.

    Returns
    -------
    DataArray ``(site, time)`` of labels such as ``0-30 %``, from the lowest flows up; empty where nothing was
    observed.
    """
    edges = [0.0, *bounds, 1.0]
    if any(not low < high for low, high in pairwise(edges)):
        raise InputError(f"bounds of flow classes {list(bounds)}: they must rise, between 0 and 1")
    names = [f"{100 * low:g}-{100 * high:g} %" for low, high in pairwise(edges)]
    ordered = observed.transpose("site", "time")
    values = ordered.values.astype(np.float64)
    there = ~np.isnan(values)
    place = np.zeros(values.shape, dtype=np.int64)
    for site, flow in enumerate(values):
        if there[site].any():
            limits = np.quantile(flow[there[site]], bounds)
            place[site] = np.searchsorted(limits, np.where(there[site], flow, 0.0), side="left")
    labels = np.where(there, np.array(names, dtype=object)[place], "")
    return ordered.copy(data=labels).rename("flow")


def attribute_classes(values: xr.DataArray, classes: int = 3) -> xr.DataArray:
    """Give the class of each site by a quantile of a numeric attribute, or by the label it has.

    Parameters
    ----------
    values : attribute, ``(site,)``.
    classes : of about equally many sites, where it is numeric; equal values stay together.

    Returns
    -------
    DataArray ``(site,)`` of labels, ``lowest to highest value`` of the class; ``unknown`` where it is
    missing.
    """
    if values.dims != ("site",):
        raise InputError(f"attribute {values.name}: dimensions {values.dims}; it must have ('site',)")
    if not np.issubdtype(values.dtype, np.number):
        texts = [UNKNOWN if pd.isna(value) or value == "" else str(value) for value in values.values]
        return values.copy(data=np.array(texts, dtype=object))
    if classes < 1:
        raise InputError(f"attribute {values.name}: {classes} classes; at least 1 is needed")
    numbers = values.values.astype(np.float64)
    known = numbers[~np.isnan(numbers)]
    labels = np.full(numbers.shape, UNKNOWN, dtype=object)
    if known.size:
        limits = np.unique(np.quantile(known, np.arange(1, classes) / classes))
        place = np.searchsorted(limits, numbers, side="left")
        members = [(place == number) & ~np.isnan(numbers) for number in range(len(limits) + 1)]
        for chosen, label in zip(members, _ranges([numbers[each] for each in members]), strict=True):
            labels[chosen] = label
    return values.copy(data=labels)


def skill_by_days(
    simulated: xr.DataArray,
    observed: xr.DataArray,
    strata: xr.DataArray,
    *,
    metrics: Iterable[str] | None = None,
    minimum_days: int = MINIMUM_DAYS,
) -> xr.Dataset:
    """Score the days of each stratum apart.

    Parameters
    ----------
    simulated, observed : discharge (mm/day), ``(site, time)``, aligned.
    strata : label of each day, ``(time,)`` or ``(site, time)``; an empty one is left out.
    metrics : names in ``METRICS``; all of them if absent. Within a stratum NSE compares with the mean of its
        days, so that it is lower where flow varies little; RMSE and bias can be read across strata.
    minimum_days : with fewer observed days of a stratum, a site has no score there.

    Returns
    -------
    Dataset of :func:`thalweg.evaluation.skill.skill` over ``(stratum, site)``, in order of season or of
    flow, else of the alphabet.
    """
    check_aligned(simulated, observed)
    times, o = observed["time"], observed.transpose("site", "time")
    if strata.sizes.get("time") != times.size or not set(strata.dims) <= {"site", "time"}:
        raise InputError(
            f"strata have dimensions {dict(strata.sizes)}; ('time',) or ('site', 'time') of the observations "
            "are needed"
        )
    labels = strata.transpose("site", "time") if "site" in strata.dims else strata
    names = [name for name in pd.unique(labels.values.ravel()) if name != ""]
    parts = []
    for name in sorted(names, key=_order):
        chosen = o.where(labels.values == name)
        parts.append(skill(simulated, chosen, metrics=metrics, minimum_days=minimum_days))
    if not parts:
        raise InputError("strata: no day has a label")
    return xr.concat(parts, pd.Index(sorted(names, key=_order), name="stratum"), combine_attrs="override")


def skill_by_sites(
    scores: xr.Dataset,
    strata: xr.DataArray | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Give the median over the sites of each stratum, with its bootstrap interval over sites.

    Parameters
    ----------
    scores : of :func:`thalweg.evaluation.skill.skill`, or of :func:`skill_by_days`, whose strata stay apart.
    strata : label of each site, ``(site,)``, such as its region; all sites together if absent.
    samples, seed, level : see :func:`thalweg.evaluation.intervals.median_interval`.

    Returns
    -------
    Table with one row for each metric and stratum: ``metric``, ``days`` (the stratum of days, or ``all``),
    ``sites_of`` (that of sites, or ``all``), ``median``, ``low``, ``high``, ``sites`` with a value.
    """
    labels = np.full(scores.sizes["site"], "all", dtype=object)
    if strata is not None:
        if strata.dims != ("site",) or strata.sizes["site"] != scores.sizes["site"]:
            raise InputError(
                f"strata have dimensions {dict(strata.sizes)}; one label for each site is needed"
            )
        labels = np.array([str(label) for label in strata.values], dtype=object)
    of_days = scores["stratum"].values.tolist() if "stratum" in scores.dims else ["all"]
    rows = []
    for name in (name for name in scores.data_vars if name in METRICS):
        values = scores[name].transpose(..., "site").values.reshape(len(of_days), -1)
        for days, row in zip(of_days, values, strict=True):
            for label in sorted(set(labels), key=_order):
                chosen = row[labels == label]
                interval = median_interval(chosen, samples, seed, level)
                rows.append((name, days, label, *interval, int((~np.isnan(chosen)).sum())))
    columns = ["metric", "days", "sites_of", "median", "low", "high", "sites"]
    return pd.DataFrame(rows, columns=columns)


def _ranges(classes: Sequence[np.ndarray]) -> list[str]:
    """Name classes by their lowest and highest value, with as many digits as tell them apart."""
    names: list[str] = []
    for digits in (3, 4, 6, 9, 17):
        names = [f"{c.min():.{digits}g} to {c.max():.{digits}g}" if c.size else "" for c in classes]
        if len(set(names) - {""}) == sum(name != "" for name in names):
            break
    return names


def _order(label: object) -> tuple[int, float, str]:
    """Sort seasons as the year goes, ranges by where they begin, others by the alphabet, unknown last."""
    text = str(label)
    if text == UNKNOWN:
        return (3, 0.0, text)
    if text in SEASONS:
        return (0, float(SEASONS.index(text)), text)
    first = text.split("-")[0] if text.endswith(" %") else text.split(" to ")[0] if " to " in text else ""
    try:
        return (1, float(first), text)
    except ValueError:
        return (2, 0.0, text)
