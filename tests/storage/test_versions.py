"""Versions of a store: the log, differences, tags, going back, and what is cleaned away."""

import json
from datetime import timedelta

import numpy as np
import pytest

from thalweg.flows import cli, data_commands
from thalweg.storage import layout, versions
from thalweg.storage.difference import difference
from thalweg.storage.draft import HASHES
from thalweg.storage.errors import InputError
from thalweg.storage.repository import Repository
from thalweg.storage.snapshot import content_hash, year_hashes
from thalweg.storage.store import open_store, quality_report, store_attributes, write_store


def update(place, dataset, message="update"):
    draft = Repository.open(place).draft(message)
    draft.prepare(dataset.assign_attrs(store_attributes({"kind": "x"})))
    fork = draft.fork()
    layout.write_block(fork, dataset)
    draft.commit("all", [fork], {}, {HASHES: year_hashes(dataset)})
    return draft.publish(message, {"reason": message})


@pytest.fixture
def three(make_dataset, tmp_path):
    """A store of three versions, and the datasets: made, grown, revised."""
    small, grown = make_dataset(sites=4, days=700), make_dataset(sites=6)
    revised = grown.copy(deep=True)
    revised["discharge"].values[1, 10] = 7.5
    revised["area"].values[2] = 1.0
    write_store(tmp_path / "a", small, {"kind": "x"})
    update(tmp_path / "a", grown, "grown")
    update(tmp_path / "a", revised, "revised")
    return tmp_path / "a", [small, grown, revised]


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", *map(str, arguments)])
    return ended.value.code


def test_the_log(three):
    place, datasets = three
    log = versions.log(Repository.open(place))
    assert [version.snapshot for version in log] == [content_hash(each) for each in reversed(datasets)]
    assert [version.message for version in log] == ["revised", "grown", "made"]
    assert log[0].properties["reason"] == "revised"
    assert log[0].written > log[1].written > log[2].written


def test_every_version_can_be_read(three):
    place, datasets = three
    for version, dataset in zip(reversed(versions.log(Repository.open(place))), datasets, strict=True):
        for name in (version.snapshot, version.snapshot[:8], version.snapshot[:8].upper(), version.id):
            opened = open_store(place, name)
            assert opened.attrs["snapshot"] == version.snapshot
            np.testing.assert_array_equal(opened["discharge"].values, dataset["discharge"].values)
        assert quality_report(place, version.id).columns[0] == "severity"


def test_names_that_mean_nothing_or_too_much(three, monkeypatch):
    place, _ = three
    repository = Repository.open(place)
    with pytest.raises(InputError, match=r"no version nope; `thalweg data log` lists them"):
        repository.dataset("nope")
    with pytest.raises(InputError, match="no version"):
        open_store(place, versions.log(repository)[0].snapshot[:3])
    monkeypatch.setattr(versions, "SHORTEST", 0)
    with pytest.raises(InputError, match="could be any of"):
        repository.dataset("")


def test_tags(three):
    place, datasets = three
    repository = Repository.open(place)
    assert versions.tag(repository, "paper-2026") == content_hash(datasets[2])
    assert versions.tag(repository, "first", content_hash(datasets[0])[:10]) == content_hash(datasets[0])
    assert open_store(place, "first").sizes["site"] == 4
    assert versions.tag(repository, "first", "first") == content_hash(datasets[0])
    with pytest.raises(InputError, match="tag first is there; tags are never moved"):
        versions.tag(repository, "first")
    for name in ("a b", "", "../x", "x" * 300):
        with pytest.raises(InputError, match="letters, digits"):
            versions.tag(repository, name)
    for name in ("main", "rolled-back-x"):  # the log would not show the second
        with pytest.raises(InputError, match="a name of our own"):
            versions.tag(repository, name)


def test_going_back_and_forth(three):
    place, datasets = three
    repository = Repository.open(place)
    reader = open_store(place)
    assert versions.rollback(repository, content_hash(datasets[0])) == content_hash(datasets[0])
    assert open_store(place).sizes["site"] == 4
    assert reader["discharge"].values[1, 10] == 7.5
    log = versions.log(repository)
    assert [version.current for version in log] == [False, False, True]
    assert open_store(place, content_hash(datasets[2])).sizes["site"] == 6
    assert versions.clean(repository, timedelta(0))["drafts"] == 0
    assert float(open_store(place, content_hash(datasets[2]))["discharge"].values[1, 10]) == 7.5
    versions.rollback(repository, content_hash(datasets[2]))
    assert [version.current for version in versions.log(repository)] == [True, True, True]


def test_after_going_back_an_old_draft_is_not_taken_up(three, make_dataset):
    place, datasets = three
    repository = Repository.open(place)
    repository.draft("empty")  # of the newest version, and killed before it wrote anything
    versions.rollback(repository, content_hash(datasets[1]))
    draft = repository.draft("empty")
    assert draft.done == frozenset()
    draft.prepare(datasets[1].assign_attrs(store_attributes({"kind": "x"})))
    assert draft.publish("nothing new", {}) == content_hash(datasets[1])


def test_the_difference(three):
    place, datasets = three
    hashes = [content_hash(each) for each in datasets]
    repository = Repository.open(place)
    grown = difference(repository, hashes[0], hashes[1])
    assert grown.sites_added == ["s04", "s05"]
    assert grown.period_before == ("1999-12-30", "2001-11-28")
    assert grown.period_after == ("1999-12-30", "2002-03-08")
    # the weather of the tests depends on the number of days
    assert set(grown.revised) == {"s00", "s01", "s02", "s03"}
    revised = difference(repository, hashes[1], "main")
    assert revised.revised == {"s01": [2000]}
    assert revised.attributes == {"area": ["s02"]}
    assert revised.sites_added == revised.sites_removed == revised.variables_added == []
    assert difference(repository, "main", hashes[2]).empty
    back = difference(repository, hashes[1], hashes[0])
    assert back.sites_removed == ["s04", "s05"]


def test_clean(three, make_dataset):
    place, datasets = three
    repository = Repository.open(place)
    draft = repository.draft("killed")
    draft.prepare(make_dataset(sites=9).assign_attrs(store_attributes({"kind": "x"})))
    fork = draft.fork()
    layout.write_block(fork, make_dataset(sites=9))
    draft.commit("all", [fork], {})
    assert versions.clean(repository) == {"drafts": 0, "objects": 0, "bytes": 0}
    removed = versions.clean(repository, timedelta(0))
    assert removed["drafts"] == 1
    assert removed["objects"] > 3
    assert removed["bytes"] > 10_000
    for dataset in datasets:
        opened = open_store(place, content_hash(dataset)).load()
        assert content_hash(opened) == content_hash(dataset)


def test_the_command_line(three, capsys):
    place, datasets = three
    hashes = [content_hash(each) for each in datasets]
    assert run("tag", place, "v1", hashes[0][:9]) == 0
    assert capsys.readouterr().out == f"v1 is {hashes[0][:12]}\n"
    assert run("log", place) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["snapshot", *(each[:12] for each in reversed(hashes))]
    assert lines[1].split()[3:] == ["main", "revised"]
    assert lines[3].split()[3:] == ["v1", "made"]
    assert run("diff", place, "v1") == 0
    out = capsys.readouterr().out
    assert f"{hashes[0][:12]} -> {hashes[2][:12]}" in out
    assert "2 sites added: s04, s05" in out
    assert "days: 1999-12-30 to 2001-11-28 became 1999-12-30 to 2002-03-08" in out
    assert "values differ at 4 sites" in out
    assert "attribute area differs at 3 sites: s01, s02, s03" in out
    assert run("diff", place, "v1", "v1") == 0
    assert "the same content" in capsys.readouterr().out
    assert run("rollback", place, "v1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"snapshot": hashes[0]}
    assert run("log", place, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["current"] for row in rows] == [False, False, True]
    assert run("log", place) == 0
    assert "revised (rolled back)" in capsys.readouterr().out
    assert run("clean", place) == 0
    assert capsys.readouterr().out == "removed 0 drafts and 0 objects, 0.0 MB\n"


@pytest.mark.parametrize(
    ("years", "says"),
    [([], ""), ([2001], "2001"), ([1999, 2000], "1999-2000"), ([1999, 2000, 2001, 2005], "1999-2001, 2005")],
)
def test_years_as_runs(years, says):
    assert data_commands.years_text(years) == says


def test_mistakes_are_one_line(three, tmp_path, capsys):
    place, _ = three
    for arguments, says in (
        (["log", tmp_path / "none"], "none: no such store; run `thalweg ingest`"),
        (["diff", place, "v9"], "no version v9; `thalweg data log` lists them"),
        (["rollback", place, "v9"], "no version v9"),
        (["tag", place, "a b"], "tag 'a b': letters, digits"),
        (["clean", place, "--older-than", "-1"], "--older-than -1: days, not below zero"),
    ):
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1


def test_a_store_named_by_its_experiment(three, tmp_path, capsys, monkeypatch):
    place, _ = three
    (tmp_path / "e.yaml").write_text(f"name: e\ndata: {{store: {place}}}\n")
    assert run("log", tmp_path / "e.yaml") == 0
    assert capsys.readouterr().out.count("\n") == 4
    (tmp_path / "f.yaml").write_text("name: e\n")
    assert run("log", tmp_path / "f.yaml") == 2
    assert "names no store" in capsys.readouterr().err
