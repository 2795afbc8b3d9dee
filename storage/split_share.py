"""Shares of the data: the same test after training on ever more sites, or ever more years."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.parts import MINIMUM_SITES, Fold, Part
from thalweg.storage.periods import DAY, Period
from thalweg.storage.split_keys import (
    Spec,
    choice_key,
    draw,
    name_of,
    period_key,
    share_key,
    sorted_sites,
)
from thalweg.storage.split_names import SHARES, share_label
from thalweg.storage.split_sites import refuse_overlap

TEST_SHARE = 0.2  # of the sites


def data_share(dataset: xr.Dataset, spec: Spec, seed: int, target: str | None) -> list[Fold]:
    """Train on nested shares of the sites or of the years, and test all on the same part.

    A larger share holds every smaller one, so that two points of the curve differ by the data added alone.
    The largest share comes first.
    """
    del target
    shares = _shares(spec)
    if choice_key(spec, "of", ("sites", "years")) == "sites":
        train, test, validate = _of_sites(dataset, spec, seed)
    else:
        train, test, validate = _of_years(dataset, spec, seed)
    folds, used = [], dict[int, float]()
    for share in shares:
        count, part = train(share)
        if count in used:
            raise InputError(
                f"split {name_of(spec)}: the shares {used[count]:g} and {share:g} both come to {count} of "
                f"{train(1.0)[0]} {spec.get('of') or 'sites'}; leave out one of them"
            )
        used[count] = share
        folds.append(Fold(share_label(name_of(spec), share), "0", part, test, validate))
    return folds[::-1]


Train = Callable[[float], tuple[int, Part]]


def _of_sites(dataset: xr.Dataset, spec: Spec, seed: int) -> tuple[Train, Part, Part | None]:
    sites = sorted_sites(dataset)
    train_period, test_period = period_key(dataset, spec, "train"), period_key(dataset, spec, "test")
    if spec.get("validate") is not None:
        raise InputError(f"split {name_of(spec)}: of: sites validates on sites; write validate_share: 0.1")
    drawn = draw(sites, len(sites), [seed])
    tested = round(share_key(spec, "test_share", TEST_SHARE) * len(sites))
    test, rest = drawn[:tested], drawn[tested:]
    validated = round(share_key(spec, "validate_share", 0.0, zero=True) * len(rest))
    validate, rest = rest[:validated], rest[validated:]
    if len(test) < MINIMUM_SITES or len(rest) < MINIMUM_SITES:
        raise InputError(
            f"split {name_of(spec)}: of {len(sites)} sites {len(test)} are tested and {len(rest)} are left "
            f"to train on; at least {MINIMUM_SITES} of each are needed"
        )

    def train(share: float) -> tuple[int, Part]:
        count = max(MINIMUM_SITES, round(share * len(rest)))
        return count, Part(tuple(sorted(rest[:count])), *train_period)

    return (
        train,
        Part(tuple(sorted(test)), *test_period),
        Part(tuple(sorted(validate)), *train_period) if validate else None,
    )


def _of_years(dataset: xr.Dataset, spec: Spec, seed: int) -> tuple[Train, Part, Part | None]:
    sites = sorted_sites(dataset)
    for key in ("test_share", "validate_share"):
        if spec.get(key) is not None:
            raise InputError(
                f"split {name_of(spec)}: of: years tests all sites in another period; {key} has no effect"
            )
    parts = {
        key: Part(sites, *period_key(dataset, spec, key, required=True))
        for key in ("train", "test", "validate")
        if key != "validate" or spec.get(key) is not None
    }
    refuse_overlap(spec, parts)
    years = _years_from(parts["train"].start, parts["train"].end)
    order = np.random.default_rng([seed]).permutation(len(years))

    def train(share: float) -> tuple[int, Part]:
        count = max(1, round(share * len(years)))
        own = [years[place] for place in order[:count]]
        return count, Part.of_periods(dict.fromkeys(sites, own))

    return train, parts["test"], parts.get("validate")


def _years_from(start: date, end: date) -> list[Period]:
    """Cut a period into years from its first day on; what is left at the end is part of the last one."""
    firsts = [_years_later(start, number) for number in range(end.year - start.year + 1)]
    whole = [first for first in firsts if _years_later(first, 1) - DAY <= end] or [start]
    lasts = [first - DAY for first in whole[1:]] + [end]
    return list(zip(whole, lasts, strict=True))


def _years_later(day: date, years: int) -> date:
    """Return the same day of another year; the 28th for the 29th of February where there is none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def _shares(spec: Spec) -> list[float]:
    shares = spec.get("shares")
    shares = SHARES if shares is None else shares
    wrong = not isinstance(shares, list | tuple) or not shares
    if wrong or any(
        isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 < share <= 1.0
        for share in shares
    ):
        raise InputError(
            f"split {name_of(spec)}: shares is {shares!r}; a list of numbers above 0 and up to 1 is needed"
        )
    return sorted(set(map(float, shares)))
