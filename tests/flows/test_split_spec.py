"""The kinds of split in an experiment's file: their names, their keys, and what a search and a check say."""

import json

import pytest

from thalweg.flows import check_view, commands
from thalweg.flows.check import check
from thalweg.flows.cli import parser
from thalweg.flows.console import part_text
from thalweg.flows.experiment import Experiment, load_experiment
from thalweg.flows.plan import FOLD_SEED
from thalweg.flows.space import search_split
from thalweg.storage.errors import InputError
from thalweg.storage.splits import KINDS, make_folds
from thalweg.storage.store import open_store

YEARS = {"period": ["2000-01-01", "2002-12-30"], "first_month": 1}
KEYS = {
    "temporal": {"train": ["2000-01-01", "2001-12-31"], "test": ["2002-01-01", "2002-12-30"]},
    "ungauged_sites": {"folds": 2},
    "ungauged_regions": {},
    "spatial_blocks": {"folds": 2, "block_km": 300, "buffer_km": 10.5},
    "extreme_years": {"extreme": "driest", "share": 0.2, "gap_days": 10, "validate_share": 0.1},
    "differential": {"by": "temperature", "share": 0.4, "years": "common"},
    "data_share": {"of": "sites", "shares": [0.5, 1], "test_share": 0.3},
    "another_store": {"store": "elsewhere.zarr", "shared_sites": "drop"},
}


def experiment(content, *splits, **more):
    return Experiment.model_validate({**content, "splits": list(splits), **more})


def test_every_kind_can_be_written_and_comes_back_whole(content, write):
    assert set(KEYS) == set(KINDS)
    splits = [{"kind": kind, **keys} for kind, keys in KEYS.items()]
    loaded = load_experiment(write({**content, "splits": splits}))
    again = Experiment.model_validate(json.loads(json.dumps(loaded.model_dump(mode="json"))))
    assert again == loaded
    for split, (kind, keys) in zip(loaded.splits, KEYS.items(), strict=True):
        assert set(split.spec()) <= {"kind", "name", *KINDS[kind].keys}
        assert keys.keys() <= split.spec().keys()
        assert set(type(split).model_fields) - {"validate_"} <= {"kind", "name", *KINDS[kind].keys}


def test_the_names_of_folds_are_known_without_data(content, twin_store):
    splits = (
        {"kind": "differential", "name": "heat", "by": "temperature"},
        {"kind": "differential", "by": "potential_evapotranspiration"},
        {"kind": "data_share", "shares": [0.25, 0.5, 0.125], "test_share": 0.25},
    )
    made = experiment(content, *splits)
    assert [split.labels for split in made.splits] == [
        ("heat-cold-to-warm", "heat-warm-to-cold"),
        ("differential-low-to-high", "differential-high-to-low"),
        ("data_share-50", "data_share-25", "data_share-12.5"),
    ]
    last = made.splits[2]
    with pytest.raises(InputError, match="both come to"):  # of six sites
        make_folds(open_store(twin_store), last.spec(), FOLD_SEED)
    folds = make_folds(open_store(twin_store), {**last.spec(), "shares": [1, 0.5]}, FOLD_SEED)
    assert [fold.split for fold in folds] == ["data_share-100", "data_share-50"]


def test_two_splits_with_one_name_of_a_fold(content):
    with pytest.raises(ValueError, match="has 'data_share-50' twice"):
        experiment(content, {"kind": "data_share"}, {"kind": "data_share", "shares": [0.5]})


def test_a_search_takes_the_largest_share(content):
    search = {"model": "hybrid", "space": {"training.learning_rate": {"choice": [0.1, 0.2]}}}
    made = experiment(content, {"kind": "data_share", "validate_share": 0.2}, search=search)
    assert search_split(made) == "data_share-100"
    named = experiment(
        content, {"kind": "data_share", "validate_share": 0.2}, search={**search, "split": "data_share-25"}
    )
    assert search_split(named) == "data_share-25"
    with pytest.raises(ValueError, match="data_share-26"):
        experiment(content, {"kind": "data_share"}, search={**search, "split": "data_share-26"})


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"kind": "extreme_years", "extreme": "wet"}, "splits.0.extreme: 'wet' is unknown"),
        ({"kind": "extreme_years", "share": 1.5}, "splits.0.share: must be less than 1, not 1.5"),
        (
            {"kind": "extreme_years", "retrun_period": 5},
            "unknown key, did you mean 'return_period'|return_period",
        ),
        ({"kind": "differential", "share": 0.7}, "splits.0.share: must be at most 0.5"),
        ({"kind": "spatial_blocks", "block_km": -3}, "splits.0.block_km: must be more than 0"),
        ({"kind": "data_share", "shares": [0.5, 2]}, "splits.0.shares.1: must be at most 1"),
        ({"kind": "another_store"}, "splits.0.store: is missing"),
        ({"kind": "spatial_block"}, "did you mean 'spatial_blocks'"),
    ],
)
def test_mistakes_are_said_with_their_place(content, write, split, message):
    with pytest.raises(InputError, match=message):
        load_experiment(write({**content, "splits": [split]}))


def test_a_check_says_what_each_split_tests_and_how_far_away(content, write, capsys):
    del content["models"]["climatology"]
    content["training"] = {**content["training"], "window": 60, "warmup": 60}
    splits = [
        {"kind": "temporal", "train": ["2001-01-01", "2001-12-31"], "test": ["2002-01-01", "2002-12-30"]},
        {"kind": "spatial_blocks", "folds": 2, "block_km": 500, "buffer_km": 0},
    ]
    path = write({**content, "splits": splits})
    plan = check_view.plan(check(path))
    assert plan["splits"][1] == {
        "name": "spatial_blocks",
        "kind": "spatial_blocks",
        "proves": KINDS["spatial_blocks"].proves,
    }
    near = [fold["nearest_trained_km"] for fold in plan["folds"]]
    assert near[0] is None
    assert min(near[1:]) > 0
    assert commands.check(parser().parse_args(["check", str(path)])) == 0
    shown = capsys.readouterr().out
    assert "nearest km" in shown
    assert "temporal tests the sites trained on, in other years; nothing about other sites" in shown


def test_a_mistake_that_only_the_data_tell(content, write):
    split = {"kind": "extreme_years", "by": "precipitation", "period": ["2001-01-01", "2002-12-30"]}
    (problem,) = check(write({**content, "splits": [split]})).problems
    assert "splits.0: split extreme_years: 2001-01-01 to 2002-12-30 has 1 whole water years" in problem


def test_parts_in_words():
    part = {"sites": 3, "start": "2000-01-01", "end": "2009-12-31"}
    assert part_text(part) == "3 sites, 2000-01-01 to 2009-12-31"
    assert part_text({**part, "days": 731}) == "3 sites, 2.0 years in 2000-01-01 to 2009-12-31"
    assert part_text({**part, "store": "gb.zarr"}).endswith("2009-12-31, of gb.zarr")
    assert part_text(None) == ""


def test_the_list_of_splits(capsys):
    assert commands.list_(parser().parse_args(["list", "splits"])) == 0
    shown = capsys.readouterr().out
    assert all(str(kind) in shown for kind in KINDS)
    assert "no skill in space" in " ".join(shown.split())


def test_no_random_split_claims_skill_in_space():
    """Sites drawn at random have trained neighbours; only splits that keep them away may claim more."""
    assert "interpolation" in KINDS["ungauged_sites"].proves
    for kind in ("ungauged_sites", "temporal", "data_share"):
        assert "land" not in KINDS[kind].proves
