"""Shares of the data, and another data set: nested, paired, and nothing shared with the test."""

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
import yaml

from thalweg.storage.errors import InputError
from thalweg.storage.periods import DAY
from thalweg.storage.split_share import _years_from
from thalweg.storage.splits import make_folds
from thalweg.storage.store import open_store, write_store


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(sites=30, days=1500, first="2000-01-01")


def folds_of(dataset, text, seed=1):
    return make_folds(dataset, yaml.safe_load(text), seed)


def test_shares_of_sites_are_nested_and_test_the_same(dataset):
    text = "{kind: data_share, shares: [1, 0.1, 0.5, 0.25], validate_share: 0.2}"
    folds = folds_of(dataset, text)
    assert [fold.split for fold in folds] == [f"data_share-{share}" for share in (100, 50, 25, 10)]
    assert [len(fold.train.sites) for fold in folds] == [19, 10, 5, 2]
    for larger, smaller in pairwise(folds):
        assert set(smaller.train.sites) < set(larger.train.sites)
        assert smaller.test == larger.test
        assert smaller.validate == larger.validate
    assert len(folds[0].test.sites) == 6
    assert len(folds[0].validate.sites) == 5
    assert folds_of(dataset.isel(site=slice(None, None, -1)), text) == folds
    assert folds_of(dataset, text, seed=2) != folds


def test_a_share_does_not_depend_on_the_others(dataset):
    alone = folds_of(dataset, "{kind: data_share, shares: [0.25]}")
    assert alone[0] in folds_of(dataset, "{kind: data_share, shares: [0.25, 0.7]}")


def test_shares_of_years_are_nested_and_of_all_sites(dataset):
    text = (
        "{kind: data_share, of: years, name: record, shares: [0.3, 0.67, 1.0], "
        "train: [2000-01-01, 2002-12-31], test: [2003-01-01, 2004-02-08]}"
    )
    folds = folds_of(dataset, text)
    assert [fold.split for fold in folds] == ["record-100", "record-67", "record-30"]
    days = [fold.train.counted(dataset["time"].values).T for fold in folds]
    assert [int(each[0].sum()) for each in days] == [1096, 731, 366]
    for larger, smaller in pairwise(days):
        assert (larger >= smaller).all()
    assert {fold.test for fold in folds} == {folds[0].test}
    assert all(len(fold.train.sites) == 30 for fold in folds)
    assert folds[0].train.periods == ()  # the whole period is one part, as in a temporal split


@pytest.mark.parametrize(
    ("start", "end", "lengths"),
    [
        (date(2000, 10, 1), date(2003, 9, 30), [365, 365, 365]),
        (date(2000, 10, 1), date(2002, 12, 31), [365, 457]),
        (date(2000, 10, 1), date(2001, 3, 31), [182]),
        (date(2000, 2, 29), date(2002, 2, 27), [365, 365]),
        (date(1999, 1, 1), date(2000, 12, 31), [365, 366]),
    ],
)
def test_years_cover_a_period(start, end, lengths):
    years = _years_from(start, end)
    assert [(last - first).days + 1 for first, last in years] == lengths
    assert (years[0][0], years[-1][1]) == (start, end)
    assert all(after[0] - before[1] == DAY for before, after in pairwise(years))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{kind: data_share, shares: []}", r"shares is \[\]"),
        ("{kind: data_share, shares: [0.5, 1.1]}", "a list of numbers above 0 and up to 1"),
        ("{kind: data_share, shares: 0.5}", "shares is 0.5"),
        ("{kind: data_share, shares: [0.05, 0.06]}", "the shares 0.05 and 0.06 both come to 2 of 24 sites"),
        ("{kind: data_share, of: days}", "of is 'days'"),
        ("{kind: data_share, of: years}", "key 'train' is missing"),
        ("{kind: data_share, test_share: 0.99}", "of 30 sites 30 are tested and 0 are left"),
        ("{kind: data_share, validate: [2000-01-01, 2000-12-31]}", "write validate_share: 0.1"),
        (
            "{kind: data_share, of: years, train: [2000-01-01, 2002-12-31], test: [2002-01-01, 2003-12-31]}",
            "train .* and test .* overlap",
        ),
        (
            "{kind: data_share, of: years, test_share: 0.1, train: [2000-01-01, 2002-12-31], "
            "test: [2003-01-01, 2003-12-31]}",
            "test_share has no effect",
        ),
        (
            "{kind: data_share, of: years, train: [2000-01-01, 2002-12-31], test: [2003-01-01, 2003-12-31]}",
            "the shares 0.05 and 0.1 both come to 1 of 3 years",
        ),
    ],
)
def test_refusals(dataset, text, message):
    with pytest.raises(InputError, match=message):
        folds_of(dataset, text)


@pytest.fixture
def other(make_dataset, tmp_path):
    """A store of six other rivers, of which two are ours: one by its name, one by its place."""
    made = make_dataset(sites=6, days=900, first="2003-01-01")
    made = made.assign_coords(site=["s07", *(f"x{number}" for number in range(1, 6))])
    made["latitude"].values[:] = np.linspace(-40, -30, 6)
    return made, tmp_path / "other.zarr"


def wanted(path, **keys):
    return {"kind": "another_store", "store": str(path), **keys}


def test_another_store_is_tested_and_its_version_is_kept(dataset, other):
    made, path = other
    made = made.isel(site=slice(1, None))
    write_store(path, made, {"kind": "made", "number": 1})
    first = open_store(path).attrs["snapshot"]
    (fold,) = make_folds(dataset, wanted(path, validate_share=0.1), 0, "discharge")
    assert fold.test.sites == ("x1", "x2", "x3", "x4", "x5")
    assert (fold.test.start, fold.test.end) == (date(2003, 1, 1), date(2005, 6, 18))
    assert (fold.test.store, fold.test.version) == (str(path), first)
    assert (fold.train.start, len(fold.train.sites), len(fold.validate.sites)) == (date(2000, 1, 1), 27, 3)
    (again,) = make_folds(dataset, wanted(path, version=first[:12], test=["2004-01-01", "2004-12-31"]), 0)
    assert again.test.version == first


def test_rivers_that_are_in_both_stores_are_refused_or_dropped(dataset, other):
    made, path = other
    for name in ("latitude", "longitude"):
        made[name].values[3] = dataset[name].values[11] + 0.001  # some hundred metres
    write_store(path, made, {"kind": "made"})
    with pytest.raises(
        InputError, match=r"2 sites of .* are also in this store, first s07 .*shared_sites: drop"
    ):
        make_folds(dataset, wanted(path), 0)
    (fold,) = make_folds(dataset, wanted(path, shared_sites="drop"), 0)
    assert fold.test.sites == ("x1", "x2", "x4", "x5")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"store": ""}, "key 'store' is missing"),
        ({"store": "nowhere.zarr"}, "split another_store: store: .*nowhere.zarr"),
        (
            {"test": ["1999-01-01", "2004-01-01"]},
            "test: 1999-01-01 is outside the store, which has 2003-01-01",
        ),
        (
            {"train": ["1999-01-01", "2001-01-01"]},
            "train: 1999-01-01 is outside the store, which has 2000-01-01",
        ),
        ({"version": "no-such"}, "split another_store: store: .*no-such"),
        ({"shared_sites": "keep"}, "shared_sites is 'keep'"),
    ],
)
def test_another_store_refusals(dataset, other, keys, message):
    made, path = other
    write_store(path, made, {"kind": "made"})
    with pytest.raises(InputError, match=message):
        make_folds(dataset, {**wanted(path), **keys}, 0)


def test_another_store_without_observations(dataset, other):
    made, path = other
    made["discharge"].values[:] = np.nan
    write_store(path, made, {"kind": "made"})
    with pytest.raises(InputError, match="fold 0: test part has no observed target"):
        make_folds(dataset, wanted(path, shared_sites="drop"), 0)
