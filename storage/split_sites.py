"""Splits by time alone, and by sites: at random, and by region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.parts import MINIMUM_SITES, Fold, Part
from thalweg.storage.sites import site_names
from thalweg.storage.split_keys import (
    Spec,
    count_key,
    draw,
    name_of,
    period_key,
    share_key,
    slug,
    sorted_sites,
)
from thalweg.storage.suggestions import refuse_unknown, suggest


def temporal(dataset: xr.Dataset, spec: Spec, seed: int, target: str | None) -> list[Fold]:
    """Train, test and validate all sites in periods that do not overlap."""
    del seed, target  # nothing is drawn
    sites = sorted_sites(dataset)
    parts = {}
    for key in ("train", "test", "validate"):
        if key != "validate" or spec.get(key) is not None:
            parts[key] = Part(sites, *period_key(dataset, spec, key, required=True))
    refuse_overlap(spec, parts)
    return [Fold(name_of(spec), "0", parts["train"], parts["test"], parts.get("validate"))]


def refuse_overlap(spec: Spec, parts: Mapping[str, Part]) -> None:
    """Refuse parts of the same sites whose periods share a day."""
    for first, second in (("train", "test"), ("validate", "test"), ("train", "validate")):
        a, b = parts.get(first), parts.get(second)
        if a and b and a.start <= b.end and b.start <= a.end:
            raise InputError(
                f"split {name_of(spec)}: {first} {a.start}..{a.end} and {second} {b.start}..{b.end} overlap; "
                "the same days cannot be in both"
            )


def ungauged_sites(dataset: xr.Dataset, spec: Spec, seed: int, target: str | None) -> list[Fold]:
    """Test every site in one of a few folds, drawn at random."""
    del target
    count, sites = count_key(spec, "folds", 5, least=2), sorted_sites(dataset)
    if len(sites) < count * MINIMUM_SITES:
        raise InputError(
            f"split {name_of(spec)}: {len(sites)} sites in {count} folds leave a fold with fewer than "
            f"{MINIMUM_SITES} sites; ask for at most {max(len(sites) // MINIMUM_SITES, 1)} folds"
        )
    shuffled = np.random.default_rng(seed).permutation(len(sites))
    groups = [[sites[i] for i in part] for part in np.array_split(shuffled, count)]
    return _held_out(dataset, spec, seed, {str(number): group for number, group in enumerate(groups)})


def ungauged_regions(dataset: xr.Dataset, spec: Spec, seed: int, target: str | None) -> list[Fold]:
    """Test every group of regions, or of sites with a like attribute, after training on all others."""
    del target
    by = spec.get("by", "region")
    known = [
        str(name)
        for name in dataset.variables
        if dataset.variables[name].dims == ("site",) and name != "site"
    ]
    refuse_unknown([by], known, f"region or attribute in 'by' of split {name_of(spec)}")
    labels = dict(zip(site_names(dataset), dataset[by].values.tolist(), strict=True))
    groups: Any = spec.get("groups")
    if isinstance(groups, int) and not isinstance(groups, bool):
        return _held_out(dataset, spec, seed, _quantiles(labels, groups, by, spec))
    text = {site: str(label) for site, label in sorted(labels.items())}
    unnamed = [site for site, label in text.items() if label in ("", "nan")]
    if unnamed:
        raise InputError(
            f"split {name_of(spec)}: site {unnamed[0]} and {len(unnamed) - 1} more have no {by!r}; "
            "use another 'by'"
        )
    distinct = sorted(set(text.values()))
    if groups is None:
        if dataset[by].dtype.kind == "f" and len(distinct) > len(text) // MINIMUM_SITES:
            raise InputError(
                f"split {name_of(spec)}: {by!r} is a number that differs between sites; "
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
            raise InputError(f"split {name_of(spec)}: {by} {min(twice)!r} occurs twice in groups")
        used |= set(members)
        held_out[slug("-".join(members))] = [site for site, label in text.items() if label in members]
    return _held_out(dataset, spec, seed, held_out)


def _label(label: object, known: list[str], by: str, spec: Spec) -> str:
    """Return a label as the store has it: YAML reads an unquoted 01 as the number 1."""
    text = str(label)
    for known_label in known:
        if text == known_label or (
            text.isdigit() and known_label.isdigit() and int(text) == int(known_label)
        ):
            return known_label
    raise InputError(f"split {name_of(spec)}: no site has {by} {text!r}; {suggest(text, known, limit=20)}")


def _quantiles(labels: Mapping[str, Any], count: int, by: str, spec: Spec) -> dict[str, list[str]]:
    """Group sites by quantiles of a number: as many sites in each group as can be."""
    if any(isinstance(value, str) for value in labels.values()):
        raise InputError(
            f"split {name_of(spec)}: {by!r} is text; a number of groups needs a numeric attribute"
        )
    unknown = [site for site, value in labels.items() if not np.isfinite(value)]
    if unknown:
        raise InputError(
            f"split {name_of(spec)}: site {unknown[0]} and {len(unknown) - 1} more have no {by!r}; "
            "use another 'by'"
        )
    if count < 2:
        raise InputError(f"split {name_of(spec)}: groups is {count}; at least 2 are needed")
    ordered = sorted(labels, key=lambda site: (float(labels[site]), site))
    parts = np.array_split(np.array(ordered, dtype=object), count)
    return {f"{slug(by)}-{number}": list(part) for number, part in enumerate(parts, start=1)}


def _held_out(dataset: xr.Dataset, spec: Spec, seed: int, groups: Mapping[str, list[str]]) -> list[Fold]:
    """Return one fold a group: its sites are tested, all others train, a share of those validates."""
    share = share_key(spec, "validate_share", 0.0, zero=True)
    train_period, test_period = period_key(dataset, spec, "train"), period_key(dataset, spec, "test")
    folds = []
    for number, (label, held_out) in enumerate(groups.items()):
        training = [site for site in sorted_sites(dataset) if site not in set(held_out)]
        test = Part(tuple(sorted(held_out)), *test_period)
        validate = None
        if share:
            chosen = set(draw(training, max(1, round(share * len(training))), [seed, number]))
            validate = Part(tuple(sorted(chosen)), *train_period)
            training = [site for site in training if site not in chosen]
        if spec.get("train_sites") is not None:
            training = _some(training, spec, [seed, number, 1])
        folds.append(Fold(name_of(spec), label, Part(tuple(training), *train_period), test, validate))
    return folds


def _some(sites: list[str], spec: Spec, seed: list[int]) -> list[str]:
    """Draw `train_sites` of the sites."""
    count = spec["train_sites"]
    if not isinstance(count, int) or isinstance(count, bool) or not MINIMUM_SITES <= count <= len(sites):
        raise InputError(
            f"split {name_of(spec)}: train_sites is {count!r}; a whole number from {MINIMUM_SITES} to "
            f"{len(sites)}, the sites there are to train on, is needed"
        )
    return sorted(draw(sites, count, seed))
