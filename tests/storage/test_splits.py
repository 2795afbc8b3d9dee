"""Splits: disjoint, complete, seeded; and what is refused."""

from datetime import date

import numpy as np
import pytest
import yaml

from thalweg.storage.errors import InputError
from thalweg.storage.splits import Fold, Part, make_folds


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(sites=12, days=800)


def folds_of(dataset, text, seed=1):
    return make_folds(dataset, yaml.safe_load(text), seed)


def test_temporal(dataset):
    text = "{kind: temporal, train: [2000-01-01, 2000-12-31], test: [2001-01-01, 2001-12-31]}"
    sites = tuple(f"s{number:02d}" for number in range(12))
    assert folds_of(dataset, text) == [
        Fold(
            "temporal",
            "0",
            Part(sites, date(2000, 1, 1), date(2000, 12, 31)),
            Part(sites, date(2001, 1, 1), date(2001, 12, 31)),
            None,
        )
    ]


def test_temporal_with_validation_text_dates_and_a_name(dataset):
    spec = {
        "kind": "temporal",
        "name": "decade",
        "train": ["2000-01-01", "2000-06-30"],
        "validate": ["2000-07-01", "2000-12-31"],
        "test": (date(2001, 1, 1), date(2001, 2, 1)),
    }
    (fold,) = make_folds(dataset, spec, 0)
    assert fold.split == "decade"
    assert fold.validate.start == date(2000, 7, 1)


def test_one_site_can_be_split_in_time(make_dataset):
    text = "{kind: temporal, train: [2000-01-01, 2000-12-31], test: [2001-01-01, 2001-12-31]}"
    assert len(folds_of(make_dataset(sites=1), text)) == 1


def test_every_site_is_tested_once(dataset):
    folds = folds_of(dataset, "{kind: ungauged_sites, folds: 5}")
    tested = [site for fold in folds for site in fold.test.sites]
    assert sorted(tested) == sorted(dataset["site"].values)
    for fold in folds:
        assert not set(fold.train.sites) & set(fold.test.sites)
        assert len(fold.train.sites) + len(fold.test.sites) == 12
        assert (fold.train.start, fold.train.end) == (date(1999, 12, 30), date(2002, 3, 8))
    assert [fold.fold for fold in folds] == ["0", "1", "2", "3", "4"]


def test_folds_are_seeded_and_do_not_depend_on_the_order_of_sites(dataset):
    text = "{kind: ungauged_sites, folds: 3, validate_share: 0.25}"
    assert folds_of(dataset, text) == folds_of(dataset.isel(site=slice(None, None, -1)), text)
    assert folds_of(dataset, text) != folds_of(dataset, text, seed=2)


def test_validation_takes_a_share_of_the_training_sites(dataset):
    for fold in folds_of(dataset, "{kind: ungauged_sites, folds: 3, validate_share: 0.25}"):
        assert (len(fold.train.sites), len(fold.validate.sites), len(fold.test.sites)) == (6, 2, 4)
        parts = [*fold.train.sites, *fold.validate.sites, *fold.test.sites]
        assert len(set(parts)) == 12


def test_regions(dataset):
    folds = folds_of(dataset, "{kind: ungauged_regions}")
    assert [fold.fold for fold in folds] == ["01", "02", "03", "04"]
    assert folds[1].test.sites == ("s01", "s05", "s09")
    assert len(folds[1].train.sites) == 9


def test_region_groups_as_yaml_reads_them(dataset):
    """An unquoted 01 is the number 1 in YAML."""
    for text in ("[[01, 02], [03]]", '[["01", "02"], ["03"]]', "[[1, 2], 3]"):
        folds = folds_of(dataset, f"{{kind: ungauged_regions, groups: {text}}}")
        assert [fold.fold for fold in folds] == ["01-02", "03"]
        assert [len(fold.test.sites) for fold in folds] == [6, 3]
        # region 04 is in no group: it always trains
        assert all("s03" in fold.train.sites for fold in folds)


def test_groups_by_a_text_attribute_have_names_fit_for_folders(dataset):
    folds = folds_of(dataset, "{kind: ungauged_regions, by: geology}")
    assert [fold.fold for fold in folds] == ["granite", "lime_stone"]


def test_groups_by_quantiles_of_a_number(dataset):
    folds = folds_of(dataset, "{kind: ungauged_regions, by: area, groups: 4}")
    assert folds[0].test.sites == ("s00", "s01", "s02")
    assert [fold.fold for fold in folds] == ["area-1", "area-2", "area-3", "area-4"]


def test_periods_of_ungauged_splits_may_overlap(dataset):
    text = "{kind: ungauged_sites, folds: 2, train: [2000-01-01, 2001-12-31], test: [2001-01-01, 2001-12-31]}"
    assert folds_of(dataset, text)[0].test.start == date(2001, 1, 1)


TEMPORAL = "kind: temporal, train: [2000-01-01, 2000-12-31]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{kind: temporl}", "unknown kind 'temporl'; did you mean 'temporal'"),
        ("{folds: 3}", "unknown kind None"),
        (f"{{{TEMPORAL}}}", "key 'test' is missing"),
        (
            f"{{{TEMPORAL}, tset: [2001-01-01, 2001-02-01]}}",
            "unknown key in split temporal|unknown key of split temporal",
        ),
        (
            f"{{{TEMPORAL}, test: [2000-12-31, 2001-02-01]}}",
            r"train 2000-01-01\.\.2000-12-31 and test .* overlap",
        ),
        (
            f"{{{TEMPORAL}, test: [2001-01-01, 2001-12-31], validate: [2001-12-31, 2002-01-31]}}",
            "validate .* and test .* overlap",
        ),
        (
            f"{{{TEMPORAL}, test: [2001-01-01, 2005-12-31]}}",
            r"test: 2005-12-31 is outside the store, which has 1999-12-30\.\.2002-03-08",
        ),
        (
            "{kind: temporal, train: [1980-01-01, 2000-01-31], test: [2001-01-01, 2001-01-31]}",
            "train: 1980-01-01 is outside",
        ),
        (f"{{{TEMPORAL}, test: [2001-12-31, 2001-01-01]}}", "test: empty, 2001-12-31 is after 2001-01-01"),
        (f"{{{TEMPORAL}, test: ['2001-13-01', 2001-12-31]}}", "'2001-13-01' is not a day"),
        (f"{{{TEMPORAL}, test: 2001-01-01}}", "write \\[first day, last day\\]"),
        ("{kind: ungauged_sites, folds: 1}", "folds is 1; a whole number of at least 2"),
        ("{kind: ungauged_sites, folds: 7}", "fewer than 2 sites; ask for at most 6 folds"),
        ("{kind: ungauged_sites, validate_share: 1.5}", "validate_share is 1.5"),
        ("{kind: ungauged_sites, folds: 2, validate_share: 0.9}", "train part has 1 site"),
        ("{kind: ungauged_regions, by: regoin}", "'regoin'; did you mean 'region'"),
        ("{kind: ungauged_regions, groups: [[1], [19]]}", "no site has region '19'"),
        ("{kind: ungauged_regions, groups: [[1, 2], [2]]}", "region '02' occurs twice"),
        ("{kind: ungauged_regions, groups: [[1, 2, 3, 4]]}", "train part is empty"),
        ("{kind: ungauged_regions, groups: [[]]}", "test part is empty"),
        (
            "{kind: ungauged_regions, by: area}",
            "'area' is a number that differs between sites; give the number of groups",
        ),
        ("{kind: ungauged_regions, by: geology, groups: 3}", "'geology' is text"),
        ("{kind: ungauged_regions, by: area, groups: 12}", "test part has 1 site"),
        ("{kind: ungauged_regions, by: area, groups: 1}", "at least 2 are needed"),
    ],
)
def test_refusals(dataset, text, message):
    with pytest.raises(InputError, match=message):
        folds_of(dataset, text)


def test_a_region_with_one_site(dataset):
    few = dataset.isel(site=[0, 1, 2, 4, 5])
    with pytest.raises(InputError, match="fold 03: test part has 1 site"):
        folds_of(few, "{kind: ungauged_regions}")


def test_sites_without_a_region(dataset):
    dataset["region"].values[3] = ""
    with pytest.raises(InputError, match="site s03 and 0 more have no 'region'"):
        folds_of(dataset, "{kind: ungauged_regions}")


def test_a_part_without_any_observation(dataset):
    dataset["discharge"].values[:, 400:] = np.nan
    with pytest.raises(InputError, match="test part has no observed target from 2001-06-01"):
        folds_of(dataset, f"{{{TEMPORAL}, test: [2001-06-01, 2001-12-31]}}")
    # one site without observations is no reason to refuse
    dataset["discharge"].values[0] = np.nan
    assert folds_of(
        dataset, "{kind: temporal, train: [2000-01-01, 2000-06-30], test: [2000-07-01, 2001-12-31]}"
    )


def test_the_named_target_counts(dataset):
    both = dataset.assign(evaporation=dataset["discharge"] * np.nan)
    spec = yaml.safe_load(f"{{{TEMPORAL}, test: [2001-01-01, 2001-12-31]}}")
    assert make_folds(both, spec, 0)
    with pytest.raises(InputError, match="no observed target"):
        make_folds(both, spec, 0, target="evaporation")
