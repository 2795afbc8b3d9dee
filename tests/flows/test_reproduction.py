"""A run made again reads the version of the store that it recorded, whatever was published since."""

import json

import numpy as np
import pandas as pd
import pytest

from thalweg.flows import cli
from thalweg.flows.cell import Cell, run_cell
from thalweg.flows.experiment import Experiment
from thalweg.flows.reproduction import differences
from thalweg.storage import layout, versions
from thalweg.storage.draft import HASHES
from thalweg.storage.repository import Repository
from thalweg.storage.snapshot import year_hashes
from thalweg.storage.splits import make_folds
from thalweg.storage.store import ingest, open_store, store_attributes

SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": 6, "regions": 2, "years": 3, "seed": 3}
SPLIT = {
    "kind": "temporal",
    "train": ["2001-01-01", "2001-12-31"],
    "test": ["2002-01-01", "2002-12-31"],
}
NAME = "lstm--temporal--0--s1"


@pytest.fixture
def done(tmp_path, monkeypatch):
    """A run in ``runs/small``, of a store that was changed after it."""
    monkeypatch.chdir(tmp_path)
    ingest("twin.zarr", SOURCE)
    spec = Experiment.model_validate(
        {
            "name": "small",
            "data": {"store": "twin.zarr"},
            "splits": [SPLIT],
            "models": {"lstm": {"kind": "lstm", "hidden": 4}},
            "training": {"epochs": 1, "window": 90, "warmup": 120, "batch_sites": 4},
        }
    )
    (fold,) = make_folds(open_store("twin.zarr"), spec.splits[0].spec(), 0)
    snapshot = str(open_store("twin.zarr").attrs["snapshot"])
    run_cell(Cell(spec, "lstm", fold, 1, snapshot), tmp_path / "runs" / "small" / NAME)
    revised = open_store("twin.zarr").load().copy(deep=True)
    revised["discharge"] = revised["discharge"] * np.float32(0.5)
    draft = Repository.open("twin.zarr").draft("revise")
    draft.prepare(revised.assign_attrs(store_attributes(SOURCE)))
    fork = draft.fork()
    layout.write_block(fork, revised)
    draft.commit("all", [fork], {}, {HASHES: year_hashes(revised)})
    assert draft.publish("revised", {}) != snapshot
    return snapshot


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", *arguments])
    return ended.value.code


def test_on_the_recorded_version(done, capsys, tmp_path):
    assert run("small/lstm") == 0
    out = capsys.readouterr().out
    assert f"small/{NAME} was made again as small-reproduced/{NAME}, on snapshot {done[:12]}\n" in out
    assert "every metric is as it was at every site" in out
    manifest = json.loads((tmp_path / "runs" / "small-reproduced" / NAME / "manifest.json").read_text())
    assert manifest["snapshot"] == done


def test_after_the_store_was_rolled_back_and_cleaned(done, capsys):
    from datetime import timedelta

    repository = Repository.open("twin.zarr")
    newest = str(repository.dataset().attrs["snapshot"])
    versions.rollback(repository, done)
    versions.clean(repository, timedelta(0))
    assert open_store("twin.zarr", newest).attrs["snapshot"] == newest
    assert run("small", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["same"]
    assert content["changed"] == []


def test_what_cannot_be_made_again(done, capsys, tmp_path):
    manifest = tmp_path / "runs" / "small" / NAME / "manifest.json"
    content = json.loads(manifest.read_text())
    for change, says in (
        ({"snapshot": "0" * 64}, "no version 0000"),
        ({"fold": "9"}, "has no fold 9 any more"),
        ({"model": "other"}, "manifest.json: does not describe a run"),
    ):
        manifest.write_text(json.dumps({**content, **change}))
        assert run("small") == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    (manifest.parent / "status.json").write_text('{"state": "failed"}')
    assert run("small") == 2
    assert "only a run that is done can be made again" in capsys.readouterr().err


def test_differences():
    before = pd.DataFrame({"site": ["a", "b"], "nse": [0.5, np.nan], "kge": [1.0, -np.inf]})
    assert differences(before, before[::-1]) == {"nse": 0.0, "kge": 0.0}
    after = pd.DataFrame({"site": ["b", "a"], "nse": [0.1, 0.5], "kge": [-np.inf, 0.75]})
    assert differences(before, after) == {"nse": np.inf, "kge": 0.25}
    assert differences(before, after[:1]) == {"sites": np.inf}
