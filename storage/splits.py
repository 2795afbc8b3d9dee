"""Splits: which sites and days train, validate and test."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import numpy as np
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.parts import MINIMUM_SITES, Fold, Part, check_fold, observed_days
from thalweg.storage.periods import as_date, check_period, period_of
from thalweg.storage.sites import site_names
from thalweg.storage.suggestions import refuse_unknown, suggest

__all__ = ["Fold", "Part", "make_folds"]


def make_folds(
    dataset: xr.Dataset, spec: Mapping[str, Any], seed: int, target: str | None = None
) -> list[Fold]:
    """Divide a store into folds.

    Parameters
    ----------
    dataset : xarray.Dataset
        A store, dims ``(site, time)``.
    spec : mapping
        ``{kind: temporal, train: [first, last], test: [first, last], validate: [first, last]}``: all
        sites; the periods must not overlap.

        ``{kind: ungauged_sites, folds: 5}``: every site is tested in one fold, after training on the
        sites of the others.

        ``{kind: ungauged_regions, by: region, groups: [["01", "02"], ["03"]]}``: every group of labels of
        the coordinate or attribute `by` is tested in one fold, after training on all other sites. Without
        `groups`, every label is a group. With a number of groups, sites are grouped by quantiles of a
        numeric attribute.

        The last two take `train` and `test` (absent: the whole record) and `validate_share`, the share
        of the training sites to validate on, and `train_sites`, how many of the others to train on.
        `name` renames the split.
    seed : int
        Of the shuffles. The folds do not depend on the order of sites in the store.
    target : str, optional
        The variable that every part must have observations of; by default any target of the store.

    Returns
    -------
    list of Fold

    Raises
    ------
    InputError
        If a key, label or date is wrong, a part is empty, has fewer than two sites to train or test on,
        or has no observation of the target.
    """
    kind = spec.get("kind")
    if kind not in KINDS:
        raise InputError(f"split: unknown kind {kind!r}; {suggest(kind, KINDS)}")
    make, keys = KINDS[kind]
    refuse_unknown(spec, ["kind", "name", *keys], f"key of split {kind}")
    folds = make(dataset, spec, seed)
    observed = observed_days(dataset, target)
    for fold in folds:
        check_fold(dataset, fold, observed)
    return folds


def _temporal(dataset: xr.Dataset, spec: Mapping[str, Any], seed: int) -> list[Fold]:
    del seed  # nothing is drawn
    sites = _sites(dataset)
    parts = {}
    for key in ("train", "test", "validate"):
        if spec.get(key) is None and key != "validate":
            raise InputError(
                f"split {_name(spec)}: key {key!r} is missing; write {key}: [first day, last day]"
            )
        if spec.get(key) is not None:
            parts[key] = Part(sites, *_period(dataset, spec, key))
    for first, second in (("train", "test"), ("validate", "test"), ("train", "validate")):
        a, b = parts.get(first), parts.get(second)
        if a and b and a.start <= b.end and b.start <= a.end:
            raise InputError(
                f"split {_name(spec)}: {first} {a.start}..{a.end} and {second} {b.start}..{b.end} overlap; "
                "the same days cannot be in both"
            )
    return [Fold(_name(spec), "0", parts["train"], parts["test"], parts.get("validate"))]


def _ungauged_sites(dataset: xr.Dataset, spec: Mapping[str, Any], seed: int) -> list[Fold]:
    count, sites = spec.get("folds", 5), _sites(dataset)
    if not isinstance(count, int) or isinstance(count, bool) or count < 2:
        raise InputError(f"split {_name(spec)}: folds is {count!r}; a whole number of at least 2 is needed")
    if len(sites) < count * MINIMUM_SITES:
        raise InputError(
            f"split {_name(spec)}: {len(sites)} sites in {count} folds leave a fold with fewer than "
            f"{MINIMUM_SITES} sites; ask for at most {max(len(sites) // MINIMUM_SITES, 1)} folds"
        )
    shuffled = np.random.default_rng(seed).permutation(len(sites))
    groups = [[sites[i] for i in part] for part in np.array_split(shuffled, count)]
    return _held_out(dataset, spec, seed, {str(number): group for number, group in enumerate(groups)})


def _ungauged_regions(dataset: xr.Dataset, spec: Mapping[str, Any], seed: int) -> list[Fold]:
    by = spec.get("by", "region")
    known = [
        str(name)
        for name in dataset.variables
        if dataset.variables[name].dims == ("site",) and name != "site"
    ]
    refuse_unknown([by], known, f"region or attribute in 'by' of split {_name(spec)}")
    labels = dict(zip(site_names(dataset), dataset[by].values.tolist(), strict=True))
    groups: Any = spec.get("groups")
    if isinstance(groups, int) and not isinstance(groups, bool):
        return _held_out(dataset, spec, seed, _quantiles(labels, groups, by, spec))
    text = {site: str(label) for site, label in sorted(labels.items())}
    unnamed = [site for site, label in text.items() if label in ("", "nan")]
    if unnamed:
        raise InputError(
            f"split {_name(spec)}: site {unnamed[0]} and {len(unnamed) - 1} more have no {by!r}; "
            "use another 'by'"
        )
    distinct = sorted(set(text.values()))
    if groups is None:
        if dataset[by].dtype.kind == "f" and len(distinct) > len(text) // MINIMUM_SITES:
            raise InputError(
                f"split {_name(spec)}: {by!r} is a number that differs between sites; "
                "give the number of groups"
            )
        groups = [[label] for label in distinct]
    held_out: dict[str, list[str]] = {}
    used: set[str] = set()
    for group in groups:
        members = [
            _label(label, distinct, by, spec)
            for label in (group if isinstance(group, list | tuple) else [group])
        ]
        twice = used & set(members) or {label for label in members if members.count(label) > 1}
        if twice:
            raise InputError(f"split {_name(spec)}: {by} {min(twice)!r} occurs twice in groups")
        used |= set(members)
        held_out[_slug("-".join(members))] = [site for site, label in text.items() if label in members]
    return _held_out(dataset, spec, seed, held_out)


def _label(label: object, known: list[str], by: str, spec: Mapping[str, Any]) -> str:
    """Return a label as the store has it: YAML reads an unquoted 01 as the number 1."""
    text = str(label)
    for known_label in known:
        if text == known_label or (
            text.isdigit() and known_label.isdigit() and int(text) == int(known_label)
        ):
            return known_label
    raise InputError(f"split {_name(spec)}: no site has {by} {text!r}; {suggest(text, known, limit=20)}")


def _quantiles(
    labels: Mapping[str, Any], count: int, by: str, spec: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Group sites by quantiles of a number: as many sites in each group as can be."""
    if any(isinstance(value, str) for value in labels.values()):
        raise InputError(f"split {_name(spec)}: {by!r} is text; a number of groups needs a numeric attribute")
    unknown = [site for site, value in labels.items() if not np.isfinite(value)]
    if unknown:
        raise InputError(
            f"split {_name(spec)}: site {unknown[0]} and {len(unknown) - 1} more have no {by!r}; "
            "use another 'by'"
        )
    if count < 2:
        raise InputError(f"split {_name(spec)}: groups is {count}; at least 2 are needed")
    ordered = sorted(labels, key=lambda site: (float(labels[site]), site))
    parts = np.array_split(np.array(ordered, dtype=object), count)
    return {f"{_slug(by)}-{number}": list(part) for number, part in enumerate(parts, start=1)}


def _held_out(
    dataset: xr.Dataset, spec: Mapping[str, Any], seed: int, groups: Mapping[str, list[str]]
) -> list[Fold]:
    """Return one fold a group: its sites are tested, all others train, a share of those validates."""
    share = spec.get("validate_share") or 0.0
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share < 1.0:
        raise InputError(
            f"split {_name(spec)}: validate_share is {share!r}; a number from 0 to below 1 is needed"
        )
    train_period, test_period = _period(dataset, spec, "train"), _period(dataset, spec, "test")
    folds = []
    for number, (label, held_out) in enumerate(groups.items()):
        training = [site for site in _sites(dataset) if site not in set(held_out)]
        test = Part(tuple(sorted(held_out)), *test_period)
        validate = None
        if share:
            drawn = np.random.default_rng([seed, number]).permutation(len(training))
            chosen = {training[i] for i in drawn[: max(1, round(share * len(training)))]}
            validate = Part(tuple(sorted(chosen)), *train_period)
            training = [site for site in training if site not in chosen]
        training = _some(training, spec, [seed, number, 1])
        folds.append(Fold(_name(spec), label, Part(tuple(training), *train_period), test, validate))
    return folds


KINDS: dict[object, tuple[Callable[[xr.Dataset, Mapping[str, Any], int], list[Fold]], tuple[str, ...]]] = {
    "temporal": (_temporal, ("train", "test", "validate")),
    "ungauged_sites": (_ungauged_sites, ("folds", "train", "test", "validate_share", "train_sites")),
    "ungauged_regions": (
        _ungauged_regions,
        ("by", "groups", "train", "test", "validate_share", "train_sites"),
    ),
}


def _some(sites: list[str], spec: Mapping[str, Any], seed: list[int]) -> list[str]:
    """Draw `train_sites` of the sites, or keep all where it is not given."""
    count = spec.get("train_sites")
    if count is None:
        return sites
    if not isinstance(count, int) or isinstance(count, bool) or not MINIMUM_SITES <= count <= len(sites):
        raise InputError(
            f"split {_name(spec)}: train_sites is {count!r}; a whole number from {MINIMUM_SITES} to "
            f"{len(sites)}, the sites there are to train on, is needed"
        )
    drawn = np.random.default_rng(seed).permutation(len(sites))[:count]
    return sorted(sites[i] for i in drawn)


def _name(spec: Mapping[str, Any]) -> str:
    return str(spec.get("name") or spec["kind"])


def _slug(text: str) -> str:
    """Return a label that can be part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_") or "_"


def _sites(dataset: xr.Dataset) -> tuple[str, ...]:
    return tuple(sorted(site_names(dataset)))


def _period(dataset: xr.Dataset, spec: Mapping[str, Any], key: str) -> tuple[date, date]:
    where = f"split {_name(spec)}: {key}"
    value = spec.get(key)
    if value is None:
        return period_of(dataset)
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"{where} is {value!r}; write [first day, last day]")
    start, end = (as_date(each, where) for each in value)
    check_period(dataset, start, end, where)
    return start, end
