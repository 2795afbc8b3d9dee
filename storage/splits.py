"""Splits: which sites and days train, validate and test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.parts import Fold, Part, check_fold, observed_days
from thalweg.storage.split_share import data_share
from thalweg.storage.split_sites import temporal, ungauged_regions, ungauged_sites
from thalweg.storage.split_space import spatial_blocks
from thalweg.storage.split_store import another_store, open_other
from thalweg.storage.split_years import differential, extreme_years
from thalweg.storage.suggestions import refuse_unknown, suggest

__all__ = ["KINDS", "Fold", "Kind", "Part", "make_folds"]


class Kind(NamedTuple):
    """A kind of split.

    Attributes
    ----------
    make : of the store, the split's keys, a seed and the target; gives the folds.
    keys : what the split can be given besides ``kind`` and ``name``.
    proves : what a score on it says, and what it does not say.
    """

    make: Callable[[xr.Dataset, Mapping[str, Any], int, str | None], list[Fold]]
    keys: tuple[str, ...]
    proves: str


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

        ``{kind: spatial_blocks, folds: 5, block_km: 250, buffer_km: 50}``: every block of land is tested in
        one fold, after training on the sites farther than the buffer from every tested one.

        ``{kind: extreme_years, extreme: wettest, by: precipitation, share: 0.2}``, or `driest`, or
        ``{kind: extreme_years, extreme: floods, return_period: 5, event_days: 15}``: the extreme water years
        of each site are tested, the others train.

        ``{kind: differential, by: precipitation, share: 0.5}``: trained on the dry years of each site and
        tested on its wet ones, and the other way round, as two splits.

        ``{kind: data_share, of: sites, shares: [0.05, 0.25, 1.0]}``, or `of: years`: each share is a split;
        the larger hold the smaller ones and all test the same part.

        ``{kind: another_store, store: data/other.zarr}``: tested on the sites of another store.

        Splits of sites take `train` and `test` (absent: the whole record) and `validate_share`, the share of
        the training sites to validate on; the ungauged ones `train_sites`, how many of the others to train
        on. Splits of years take `period`, `first_month` of a water year, `gap_days`, `validate_share` of the
        training years, and `years: common` for the same years at all sites. `name` renames the split.
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
        has no observation of the target, or if a test could be known before it is taken: see
        :func:`thalweg.storage.parts.refuse_leaks`.
    """
    kind = spec.get("kind")
    if kind not in KINDS:
        raise InputError(f"split: unknown kind {kind!r}; {suggest(kind, KINDS)}")
    refuse_unknown(spec, ["kind", "name", *KINDS[kind].keys], f"key of split {kind}")
    folds = KINDS[kind].make(dataset, spec, seed, target)
    observed = observed_days(dataset, target)
    elsewhere = None
    if any(fold.test.store for fold in folds):
        other = open_other(spec)
        elsewhere = other, observed_days(other, target)
    for fold in folds:
        check_fold(dataset, fold, observed, elsewhere)
    return folds


_YEARS = ("by", "share", "years", "period", "first_month", "gap_days", "validate_share")
_SITES = ("train", "test", "validate_share")

KINDS: dict[object, Kind] = {
    "temporal": Kind(
        temporal,
        ("train", "test", "validate"),
        "the sites trained on, in other years; nothing about other sites",
    ),
    "ungauged_sites": Kind(
        ungauged_sites,
        ("folds", "train_sites", *_SITES),
        "sites without a gauge among gauged ones: drawn at random, most have a trained neighbour, so that it "
        "is interpolation and no skill in space",
    ),
    "ungauged_regions": Kind(
        ungauged_regions,
        ("by", "groups", "train_sites", *_SITES),
        "whole regions, or kinds of basins, without a gauge; sites at a border may have trained neighbours",
    ),
    "spatial_blocks": Kind(
        spatial_blocks,
        ("folds", "block_km", "buffer_km", *_SITES),
        "land without a gauge: no trained site lies within the buffer of a tested one",
    ),
    "extreme_years": Kind(
        extreme_years,
        ("extreme", "return_period", "event_days", *_YEARS),
        "years more extreme than those trained on, at the sites trained on",
    ),
    "differential": Kind(
        differential,
        _YEARS,
        "another climate than the one trained on, at the sites trained on (Klemeš 1986)",
    ),
    "data_share": Kind(
        data_share,
        ("of", "shares", "train", "test", "validate", "test_share", "validate_share"),
        "how skill grows with the data trained on: the same test after nested shares of it",
    ),
    "another_store": Kind(
        another_store,
        ("store", "version", "shared_sites", *_SITES),
        "the rivers of another data set, whose forcing, attributes and errors may differ too",
    ),
}
