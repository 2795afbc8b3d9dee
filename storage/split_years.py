"""Splits by what the years were like: extreme years, and one climate against another."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.parts import Fold, Part
from thalweg.storage.periods import DAY, Period, without
from thalweg.storage.sites import neighbours, site_rows
from thalweg.storage.split_keys import (
    Spec,
    choice_key,
    count_key,
    name_of,
    number_key,
    period_key,
    share_key,
    sorted_sites,
)
from thalweg.storage.split_names import directions
from thalweg.storage.suggestions import refuse_unknown
from thalweg.storage.water_years import (
    COVERAGE,
    FIRST_MONTH,
    annual,
    return_level,
    standardise,
    water_years,
)

EXTREMES = ("wettest", "driest", "floods")
WHOSE = ("own", "common")
SHARE = 0.2  # of the years, tested as extreme
HALF = 0.5
RETURN_PERIOD = 5.0  # years; Frame et al. (2022)
LEAST_YEARS = 4  # ranked at a site, to train on some and test on others

Years = Mapping[str, Sequence[Period]]


def extreme_years(dataset: xr.Dataset, spec: Spec, seed: int, target: str | None) -> list[Fold]:
    """Test the wettest or driest water years, or those with a flood, after training on the ordinary ones.

    After Frame et al. (2022), doi:10.5194/hess-26-3377-2022, who test years whose highest daily flow is rarer
    than once in five years at that site.
    """
    extreme = choice_key(spec, "extreme", EXTREMES)
    useless = ("share", "years") if extreme == "floods" else ("return_period", "event_days")
    for key in useless:
        if spec.get(key) is not None:
            raise InputError(
                f"split {name_of(spec)}: {key} has no effect with extreme: {extreme}; leave it out"
            )
    if extreme == "floods":
        tested, ordinary = _flood_years(dataset, spec, target)
    else:
        by = _variable(dataset, spec, "precipitation")
        ranks, years, sites = _ranked(dataset, spec, by)
        share = share_key(spec, "share", SHARE)
        count = np.maximum(1, np.round(share * np.isfinite(ranks).sum(axis=1))).astype(int)
        place = _places(-ranks if extreme == "wettest" else ranks)
        tested = _chosen(place < count[:, None], years, sites)
        ordinary = _chosen(np.isfinite(ranks) & (place >= count[:, None]), years, sites)
    return [_fold(spec, name_of(spec), ordinary, tested, seed)]


def differential(dataset: xr.Dataset, spec: Spec, seed: int, target: str | None) -> list[Fold]:
    """Train on the water years of one climate and test on those of the other, both ways.

    The differential split-sample test of Klemeš (1986), doi:10.1080/02626668609491024.
    """
    del target
    by = _variable(dataset, spec, "precipitation")
    ranks, years, sites = _ranked(dataset, spec, by)
    share = share_key(spec, "share", HALF)
    if share > HALF:
        raise InputError(f"split {name_of(spec)}: share is {share:g}; at most 0.5 of the years are on a side")
    known = np.isfinite(ranks)
    count = np.maximum(1, np.floor(share * known.sum(axis=1))).astype(int)[:, None]
    low = _chosen(_places(ranks) < count, years, sites)
    high = _chosen(_places(-ranks) < count, years, sites)
    names = [f"{name_of(spec)}-{direction}" for direction in directions(by)]
    return [_fold(spec, names[0], low, high, seed), _fold(spec, names[1], high, low, seed)]


def _flood_years(
    dataset: xr.Dataset, spec: Spec, target: str | None
) -> tuple[dict[str, list[Period]], dict[str, list[Period]]]:
    """Return the years with a flood, or the days around each of its days above the level, and the others."""
    by = _variable(dataset, spec, target or "discharge")
    rarity = number_key(spec, "return_period", RETURN_PERIOD, above=1)
    around = None if spec.get("event_days") is None else count_key(spec, "event_days", None, least=0)
    years, sites = _years(dataset, spec), sorted_sites(dataset)
    rows = site_rows(dataset, sites)
    maxima = annual(dataset, by, years, "maximum")[rows]
    levels = np.array([return_level(each, rarity) for each in maxima])
    if not np.isfinite(levels).any():
        raise InputError(
            f"split {name_of(spec)}: no site has five water years with {COVERAGE:.0%} of {by} observed: the "
            f"flood of {rarity:g} years cannot be estimated"
        )
    known = np.isfinite(maxima) & np.isfinite(levels)[:, None]
    flood = known & (maxima > levels[:, None])
    if not flood.any():
        raise InputError(
            f"split {name_of(spec)}: no year has {by} above the level of {rarity:g} years; a shorter "
            "return_period is needed"
        )
    tested = _chosen(flood, years, sites)
    ordinary = _chosen(known & ~flood, years, sites)
    if around is not None:
        series = dataset[by].transpose("site", "time")
        for places, block in neighbours(rows):
            above = series[block].values[rows[places] - block.start] > levels[places, None]
            for place, days in zip(places, above, strict=True):
                own = series["time"].values[days].astype("datetime64[D]").tolist()
                tested[sites[place]] = _around(own, tested[sites[place]], around)
    return tested, ordinary


def _around(days: Sequence[date], years: Sequence[Period], around: int) -> list[Period]:
    """Return what lies within some days of one of the days, in these years and not beyond them."""
    return [
        (max(first, day - around * DAY), min(last, day + around * DAY))
        for first, last in years
        for day in days
        if first <= day <= last
    ]


def _variable(dataset: xr.Dataset, spec: Spec, default: str) -> str:
    known = [str(name) for name, values in dataset.data_vars.items() if set(values.dims) == {"site", "time"}]
    by = str(spec.get("by") or default)
    refuse_unknown([by], known, f"variable in 'by' of split {name_of(spec)}")
    return by


def _years(dataset: xr.Dataset, spec: Spec) -> list[Period]:
    period = period_key(dataset, spec, "period")
    years = water_years(period, count_key(spec, "first_month", FIRST_MONTH, least=1, most=12))
    if len(years) < LEAST_YEARS:
        raise InputError(
            f"split {name_of(spec)}: {period[0]} to {period[1]} has {len(years)} whole water years; at least "
            f"{LEAST_YEARS} are needed"
        )
    return years


def _ranked(
    dataset: xr.Dataset, spec: Spec, by: str
) -> tuple[NDArray[np.float64], list[Period], tuple[str, ...]]:
    """Return what the years are ranked by, ``(site, year)``, NaN where unknown; the years; the sites.

    Sites with fewer than four known years are left out.
    """
    years, sites = _years(dataset, spec), sorted_sites(dataset)
    means = annual(dataset, by, years, "mean")[site_rows(dataset, sites)]
    enough = np.isfinite(means).sum(axis=1) >= LEAST_YEARS
    if not enough.any():
        raise InputError(
            f"split {name_of(spec)}: no site has {LEAST_YEARS} water years with {COVERAGE:.0%} of {by} "
            "observed"
        )
    if choice_key(spec, "years", WHOSE) == "common":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a year that no site knows
            shared = np.nanmean(standardise(means[enough]), axis=0)
        means = np.where(np.isfinite(shared), np.broadcast_to(shared, means.shape), np.nan)
    kept = tuple(site for site, good in zip(sites, enough, strict=True) if good)
    return means[enough], years, kept


def _places(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the place of each year among those of its site, 0 for the lowest; unknown ones come last."""
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable")


def _chosen(
    chosen: NDArray[np.bool_], years: Sequence[Period], sites: Sequence[str]
) -> dict[str, list[Period]]:
    """Return the chosen years ``(site, year)`` of each site."""
    return {
        site: [year for year, there in zip(years, row, strict=True) if there]
        for site, row in zip(sites, chosen, strict=True)
    }


def _fold(spec: Spec, split: str, training: Years, tested: Years, seed: int) -> Fold:
    """Make a fold of each site's years; days within `gap_days` of a tested or validated one do not train."""
    gap = count_key(spec, "gap_days", 0, least=0)
    share = share_key(spec, "validate_share", 0.0, zero=True)
    validated = _drawn_years(spec, training, share, seed) if share else {}
    trained = {}
    for site, years in training.items():
        kept = [year for year in years if year not in validated.get(site, ())]
        trained[site] = without(kept, [*tested.get(site, ()), *validated.get(site, ())], gap)
    # A site is tested where it is trained on, or one score would be of gauged and of ungauged sites.
    tested = {site: years for site, years in tested.items() if trained.get(site)}
    if not any(tested.values()):
        raise InputError(
            f"split {split}: no site has days both to train and to test on; see share and gap_days"
        )
    return Fold(
        split,
        "0",
        Part.of_periods(trained),
        Part.of_periods(tested),
        Part.of_periods(validated) if any(validated.values()) else None,
    )


def _drawn_years(spec: Spec, training: Years, share: float, seed: int) -> dict[str, list[Period]]:
    """Draw a share of the training years to validate on: each site's own, or the same at all sites."""
    random = np.random.default_rng(seed)
    if spec.get("years") == "common":
        years = sorted({year for own in training.values() for year in own})
        drawn = _some(years, share, random)
        return {site: [year for year in drawn if year in own] for site, own in training.items()}
    return {site: _some(own, share, random) for site, own in sorted(training.items()) if len(own) > 1}


def _some(years: Sequence[Period], share: float, random: np.random.Generator) -> list[Period]:
    count = min(max(1, round(share * len(years))), len(years) - 1)
    return sorted(years[place] for place in random.permutation(len(years))[:count])
