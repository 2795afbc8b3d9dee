"""Reading the keys of a split; every mistake is said with the name of the split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.periods import Period, as_date, check_period, period_of
from thalweg.storage.sites import site_names
from thalweg.storage.suggestions import suggest

Spec = Mapping[str, Any]


def name_of(spec: Spec) -> str:
    """Return the name that the folds of a split carry."""
    return str(spec.get("name") or spec["kind"])


def slug(text: str) -> str:
    """Return a label that can be part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_") or "_"


def sorted_sites(dataset: xr.Dataset) -> tuple[str, ...]:
    """Return all sites in the order of their names, so that no draw depends on the store's order."""
    return tuple(sorted(site_names(dataset)))


def period_key(dataset: xr.Dataset, spec: Spec, key: str, *, required: bool = False) -> Period:
    """Return the period that a key names; where it is absent and not `required` the whole record.

    Raises
    ------
    InputError
        When it is no period within the store.
    """
    where = f"split {name_of(spec)}: {key}"
    value = spec.get(key)
    if value is None:
        if required:
            raise InputError(
                f"split {name_of(spec)}: key {key!r} is missing; write {key}: [first day, last day]"
            )
        return period_of(dataset)
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"{where} is {value!r}; write [first day, last day]")
    start, end = (as_date(each, where) for each in value)
    check_period(dataset, start, end, where)
    return start, end


def share_key(spec: Spec, key: str, default: float, *, zero: bool = False) -> float:
    """Return a share from above 0 (or from 0, with `zero`) to below 1.

    Raises
    ------
    InputError
    """
    share = spec.get(key)
    share = default if share is None else share
    wrong = isinstance(share, bool) or not isinstance(share, int | float)
    if wrong or not 0.0 <= share < 1.0 or (share == 0.0 and not zero):
        lowest = "0" if zero else "above 0"
        raise InputError(
            f"split {name_of(spec)}: {key} is {share!r}; a number from {lowest} to below 1 is needed"
        )
    return float(share)


def count_key(spec: Spec, key: str, default: int | None, least: int, most: int | None = None) -> int:
    """Return a whole number from `least` to `most`.

    Raises
    ------
    InputError
    """
    count = spec.get(key)
    count = default if count is None else count
    if not isinstance(count, int) or isinstance(count, bool) or count < least or (most and count > most):
        wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"split {name_of(spec)}: {key} is {count!r}; a whole number {wanted} is needed")
    return count


def number_key(spec: Spec, key: str, default: float, above: float, *, reached: bool = False) -> float:
    """Return a number above another, or as large as it where it may be `reached`.

    Raises
    ------
    InputError
    """
    value = spec.get(key)
    value = default if value is None else value
    wrong = isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value)
    if wrong or value < above or (value == above and not reached):
        limit = "of at least" if reached else "above"
        raise InputError(f"split {name_of(spec)}: {key} is {value!r}; a number {limit} {above:g} is needed")
    return float(value)


def choice_key(spec: Spec, key: str, known: Sequence[str]) -> str:
    """Return one of a few words; the first where the key is absent.

    Raises
    ------
    InputError
    """
    value = spec.get(key)
    if value is None:
        return known[0]
    if value not in known:
        raise InputError(f"split {name_of(spec)}: {key} is {value!r}; {suggest(str(value), list(known))}")
    return str(value)


def draw(sites: Sequence[str], count: int, seed: Sequence[int]) -> list[str]:
    """Draw some of the sites; the first of the drawn are those that a smaller draw would give."""
    return [sites[place] for place in np.random.default_rng(list(seed)).permutation(len(sites))[:count]]
