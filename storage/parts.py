"""Parts and folds: sites and days that train, validate and test; what would leak between them is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.storage.errors import InputError
from thalweg.storage.periods import DAY, Period, join, shared_day
from thalweg.storage.sites import neighbours, site_rows
from thalweg.storage.suggestions import refuse_unknown
from thalweg.storage.variables import names_over

MINIMUM_SITES = 2
MINIMUM_DAYS = 30  # fewer observed days at a site give it no score
PARTS = ("train", "validate", "test")


@dataclass(frozen=True)
class Part:
    """Sites, and the days of them that count.

    A model is run over all days from `start` to `end`, since its states need each of them. Observations of
    days that do not count are never seen, neither by training nor by a score.

    Attributes
    ----------
    sites : tuple of str
    start, end : date
        First and last day, both included.
    periods : tuple
        Which days from `start` to `end` count, as first and last days: one tuple of them for all sites, or
        one for each site, in their order. Empty where all days count.
    store, version : str, optional
        Where the sites are, if not in the store of the others, and the version of it.
    """

    sites: tuple[str, ...]
    start: date
    end: date
    periods: tuple[tuple[Period, ...], ...] = ()
    store: str | None = None
    version: str | None = None

    @classmethod
    def of_periods(cls, periods: Mapping[str, Iterable[Period]]) -> Part:
        """Make a part in which each site has its own days; a site without any is left out.

        Raises
        ------
        ValueError
            When no site has any.
        """
        joined = {site: join(own) for site, own in sorted(periods.items())}
        joined = {site: own for site, own in joined.items() if own}
        if not joined:
            raise ValueError("a part needs a site with a day")
        start = min(own[0][0] for own in joined.values())
        end = max(own[-1][1] for own in joined.values())
        distinct = set(joined.values())
        if distinct == {((start, end),)}:
            return cls(tuple(joined), start, end)
        same = len(distinct) == 1
        return cls(tuple(joined), start, end, tuple(distinct) if same else tuple(joined.values()))

    def periods_of(self, sites: Sequence[str]) -> list[tuple[Period, ...]]:
        """Return the periods that count at each of some sites."""
        if len(self.periods) <= 1:
            shared = self.periods[0] if self.periods else ((self.start, self.end),)
            return [shared] * len(sites)
        own = dict(zip(self.sites, self.periods, strict=True))
        return [own[site] for site in sites]

    def counted(self, days: NDArray[np.datetime64], sites: Sequence[str] | None = None) -> NDArray[np.bool_]:
        """Tell which of ascending days count, shape ``(time, site)``; all sites of the part by default."""
        days = days.astype("datetime64[D]")
        sites = self.sites if sites is None else sites
        counted = np.zeros((days.size, len(sites)), dtype=bool)
        known: dict[tuple[Period, ...], NDArray[np.bool_]] = {}
        for column, periods in enumerate(self.periods_of(sites)):
            if periods not in known:
                known[periods] = np.zeros(days.size, dtype=bool)
                for first, last in periods:
                    low, high = np.searchsorted(days, [np.datetime64(first), np.datetime64(last + DAY)])
                    known[periods][low:high] = True
            counted[:, column] = known[periods]
        return counted

    def digest(self, target: str) -> str:
        """Return 16 hexadecimal digits that name the observations of this part.

        The same sites, days and target have the same digits, whatever store and split they come from: two
        sets of forcing for the same rivers share one test.
        """
        days = [
            [[str(day) for day in period] for period in own] for own in self.periods_of(sorted(self.sites))
        ]
        content = json.dumps([target, sorted(self.sites), days])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def summary(self) -> dict[str, Any]:
        """Return what is told of a part: sites, first and last day; where not all count, how many do.

        ``days`` is the mean over sites.
        """
        found: dict[str, Any] = {"sites": len(self.sites), "start": self.start, "end": self.end}
        if self.periods:
            days = [
                sum((last - first).days + 1 for first, last in own) for own in self.periods_of(self.sites)
            ]
            found["days"] = round(sum(days) / len(days))
        if self.store is not None:
            found |= {"store": self.store, "version": self.version}
        return found


@dataclass(frozen=True)
class Fold:
    """One way to divide a store: what trains, tests and, where asked for, validates."""

    split: str
    fold: str
    train: Part
    test: Part
    validate: Part | None


def observed_days(dataset: xr.Dataset, target: str | None = None) -> xr.DataArray | None:
    """Return which days are observed, dims ``(site, time)``: of `target`, or of any target of the store.

    None where the store has no target.
    """
    series = names_over(dataset, "site", "time")
    names = [name for name in series if dataset.variables[name].attrs.get("role") == "target"]
    if target is not None:
        refuse_unknown([target], series, "target")
        names = [target]
    if not names:
        return None
    shape = (dataset.sizes["site"], dataset.sizes["time"])
    observed = np.zeros(shape, dtype=bool)
    for name in names:
        values = dataset[name].transpose("site", "time")
        for _, block in neighbours(
            np.arange(shape[0])
        ):  # read block by block: values take four times the room
            observed[block] |= np.isfinite(values[block].values)
    return xr.DataArray(observed, {dim: dataset[dim] for dim in ("site", "time")}, ("site", "time"))


def refuse_leaks(fold: Fold) -> None:
    """Refuse a fold in which a test could be known before it is taken.

    That is: an observation of one site and day in two parts; or, of the sites tested, some that are also
    trained on and some that are not, so that the score is neither of gauged sites nor of ungauged ones.
    Forcing is not secret: a warm-up may run through days of another part.

    Raises
    ------
    InputError
        Naming the split, the fold, the site and the day.
    """
    where = f"split {fold.split}, fold {fold.fold}"
    parts = [(key, part) for key in PARTS if (part := getattr(fold, key)) is not None]
    for (one, first), (two, second) in combinations(parts, 2):
        shared = sorted(set(first.sites) & set(second.sites))
        if len(first.periods) <= 1 and len(second.periods) <= 1:
            shared = shared[:1]  # all sites are alike: one stands for them
        for site, own, other in zip(shared, first.periods_of(shared), second.periods_of(shared), strict=True):
            day = shared_day(own, other)
            if day is not None:
                raise InputError(f"{where}: site {site} on {day} is both in {one} and in {two}")
    trained = set(fold.train.sites)
    known = [site for site in fold.test.sites if site in trained]
    if known and len(known) < len(fold.test.sites):
        raise InputError(
            f"{where}: {len(known)} of the {len(fold.test.sites)} sites tested are trained on too, first "
            f"{known[0]}: test either sites that are trained on or sites that are not"
        )


def check_fold(
    dataset: xr.Dataset,
    fold: Fold,
    observed: xr.DataArray | None,
    elsewhere: tuple[xr.Dataset, xr.DataArray | None] | None = None,
) -> None:
    """Refuse a fold that leaks, has too few sites, or a part in which no target is observed.

    Parameters
    ----------
    dataset, observed : the store, and what :func:`observed_days` gives of it.
    elsewhere : the same two of the store that the fold tests, if it is another one.

    Raises
    ------
    InputError
        Naming the split, the fold and the part.
    """
    for key in ("train", "test", "validate"):
        part: Part | None = getattr(fold, key)
        if part is None:
            continue
        where = f"split {fold.split}, fold {fold.fold}: {key} part"
        # One site can be split in time; to say anything of ungauged sites, several are needed.
        least = 1 if key == "validate" or fold.train.sites == fold.test.sites else MINIMUM_SITES
        if not part.sites:
            raise InputError(f"{where} is empty; it has no sites")
        if len(part.sites) < least:
            raise InputError(
                f"{where} has {len(part.sites)} site ({part.sites[0]}); at least {least} are needed"
            )
        own, days = (dataset, observed) if part.store is None or elsewhere is None else elsewhere
        if days is not None:
            _check_observed(own, days, part, where)
    refuse_leaks(fold)


def _check_observed(dataset: xr.Dataset, observed: xr.DataArray, part: Part, where: str) -> None:
    days = observed.isel(site=site_rows(dataset, part.sites)).sel(time=slice(str(part.start), str(part.end)))
    if part.periods:
        days = days & xr.DataArray(part.counted(days["time"].values).T, dims=("site", "time"))
    if not bool(days.any()):
        raise InputError(f"{where} has no observed target from {part.start} to {part.end}")
    most = int(days.sum("time").max())
    if most < MINIMUM_DAYS:
        raise InputError(
            f"{where} has at most {most} observed days at a site from {part.start} to {part.end}; "
            f"at least {MINIMUM_DAYS} are needed to score anything"
        )
