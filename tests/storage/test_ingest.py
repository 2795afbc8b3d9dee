"""Ingestion end to end: whatever way a store came to its content, it is the same."""

import numpy as np
import pytest

from thalweg.storage.difference import difference
from thalweg.storage.errors import InputError
from thalweg.storage.ingest.pipeline import Ingest, Options, ingest_all
from thalweg.storage.quality import QualityRules
from thalweg.storage.repository import Repository
from thalweg.storage.store import open_store


def test_the_same_again_changes_nothing(source, tmp_path):
    made = ingest_all(tmp_path / "a.zarr", source())
    assert made.plan.reasons == {"new": 70}
    assert made.changed == 70
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "a.zarr").rglob("*") if file.is_file()}
    source.reads()
    again = ingest_all(tmp_path / "a.zarr", source())
    assert again.plan.reasons == {"same": 70}
    assert again.snapshot == made.snapshot
    assert source.reads() == []
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert len(source.versions(tmp_path / "a.zarr")) == 1


def test_new_days_are_appended(source, tmp_path):
    store = tmp_path / "a.zarr"
    ingest_all(store, source())
    result = ingest_all(store, source(last="2002-01-03"))
    assert result.plan.reasons == {"appended": 70}
    assert str(open_store(store)["time"].values[-1])[:10] == "2002-01-03"
    assert source.same(store, source(last="2002-01-03"))


def test_earlier_days_come_before(source, tmp_path):
    store = tmp_path / "a.zarr"
    ingest_all(store, source())
    assert ingest_all(store, source(first="1998-05-01")).plan.reasons == {"revised": 70}
    assert source.same(store, source(first="1998-05-01"))


def test_new_sites_and_days_and_revisions_at_once(source, tmp_path):
    store = tmp_path / "a.zarr"
    ingest_all(store, source([f"s{number:03d}" for number in range(0, 140, 2)]))
    now = {"sites": 140, "last": "2010-06-01", "revised": {"s004": 2.0, "s111": 1.0}}
    result = ingest_all(store, source(**now))
    assert result.plan.reasons == {"new": 70, "appended": 70}
    assert source.same(store, source(**now))


def test_a_revised_value_is_replaced_and_nothing_else_read(source, tmp_path):
    store = tmp_path / "a.zarr"
    ingest_all(store, source(130))
    before = open_store(store).load()
    source.reads()
    result = ingest_all(store, source(130, revised={"s100": 1.0}))
    assert result.plan.reasons == {"revised": 1, "same": 129}
    assert result.changed == 1
    assert source.reads() == [
        ["s000", "1", "2001-12-31", "2001-12-31"],
        ["s100", "1", "2000-01-01", "2001-12-31"],
    ]
    after = open_store(store).load()
    difference = after["discharge"] - before["discharge"]
    np.testing.assert_allclose(difference.sel(site="s100"), 1.0, atol=1e-6)
    assert float(abs(difference).sum("time").drop_sel(site="s100").max()) == 0.0
    assert source.same(store, source(130, revised={"s100": 1.0}))


def test_revised_and_revised_back_is_the_same_content(source, tmp_path):
    store = tmp_path / "a.zarr"
    first = ingest_all(store, source())
    second = ingest_all(store, source(revised={"s001": 1.0}))
    third = ingest_all(store, source())
    assert first.snapshot == third.snapshot != second.snapshot


def test_late_days_are_read_again(source, tmp_path):
    store = tmp_path / "a.zarr"
    spec = source(ends={"s003": "2001-12-20"}) | {"late_days": 30}
    ingest_all(store, spec)
    source.reads()
    result = ingest_all(store, source(last="2002-01-10") | {"late_days": 30})
    assert result.plan.reasons == {"late": 70}
    assert result.changed == 70
    assert {(line[2], line[3]) for line in source.reads()[1:]} == {("2001-12-02", "2002-01-10")}
    assert source.same(store, source(last="2002-01-10"))


def test_late_days_that_are_as_they_were_make_no_version(source, tmp_path):
    """Nor does a night without news fill the log."""
    store, spec = tmp_path / "a.zarr", source() | {"late_days": 30}
    made = ingest_all(store, spec)
    source.reads()
    again = ingest_all(store, spec)
    assert len(source.reads()) == 3  # the day of the plan, and two blocks of sites
    assert (again.snapshot, again.changed) == (made.snapshot, 0)
    assert len(source.versions(store)) == 1
    assert Repository.open(store).raw.list_branches() == {"main"}
    rules = Options(rules=QualityRules(max_quarantined=0.5))
    assert ingest_all(store, spec, rules).snapshot == made.snapshot
    assert len(source.versions(store)) == 2


def test_all_read_again_and_found_the_same_makes_no_version(source, tmp_path):
    store = tmp_path / "a.zarr"
    made = ingest_all(store, source())
    again = ingest_all(store, source(), Options(full=True))
    assert again.plan.reasons == {"revised": 70}
    assert (again.snapshot, again.changed) == (made.snapshot, 0)
    assert len(source.versions(store)) == 1
    assert Repository.open(store).raw.list_branches() == {"main"}


@pytest.mark.parametrize(
    ("shorter", "message"),
    [
        ({"sites": 69}, r"1 of the store's 70 sites are gone \(s069\)"),
        ({"last": "2001-12-30"}, "it ends on 2001-12-30, the store on 2001-12-31"),
        (
            {"ends": {"s005": "2001-06-30"}},
            "discharge of site s005 ends on 2001-06-30, in the store it ends on 2001-12-31",
        ),
        ({"ends": {"s005": "1990-01-01"}}, "discharge of site s005 is gone"),
    ],
)
def test_a_source_that_got_shorter_drops_nothing(source, tmp_path, shorter, message):
    store = tmp_path / "a.zarr"
    made = ingest_all(store, source())
    with pytest.raises(InputError, match=f"got shorter: {message}.*nothing was changed"):
        ingest_all(store, source(**shorter))
    assert open_store(store).attrs["snapshot"] == made.snapshot
    assert len(source.versions(store)) == 1
    assert ingest_all(store, source()).plan.reasons == {"same": 70}


def test_many_processes_make_what_one_makes(source, tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg.storage.ingest.plan.LITTLE_BYTES", 0)
    store = tmp_path / "a.zarr"
    ingest_all(store, source(200), Options(workers=2))
    processes = {line.split()[0] for line in (tmp_path / "source" / "reads.txt").read_text().splitlines()}
    assert len(processes) == 3  # two workers, and this one for the plan
    monkeypatch.setattr("thalweg.storage.ingest.plan.LITTLE_BYTES", 1e12)
    assert source.same(store, source(200))


def test_sites_may_be_added_to_the_spec(source, tmp_path):
    store = tmp_path / "a.zarr"
    spec = source()
    ingest_all(store, spec)
    with pytest.raises(InputError, match=r"made from .* is asked for; name another store"):
        ingest_all(store, spec | {"wait": 1.0})


def test_sites_in_quarantine_are_kept_out_until_they_are_put_right(source, tmp_path):
    store, bad = tmp_path / "a.zarr", {"s001": -9.0, "s065": -9.0}
    result = ingest_all(store, source(revised=bad))
    assert result.quarantined == 2
    assert open_store(store).sizes["site"] == 68
    assert not {"s001", "s065"} & set(open_store(store)["site"].values)
    kept_out = Repository.open(store).table("quarantine")
    assert kept_out["site"].values.tolist() == ["s001", "s065"]
    assert all("discharge is negative" in reason for reason in kept_out["reason"].values)
    repaired = source(revised={"s065": -9.0})
    result = ingest_all(store, repaired)
    assert (result.quarantined, result.changed) == (1, 1)
    assert open_store(store).sizes["site"] == 69
    assert ingest_all(tmp_path / "fresh.zarr", repaired).snapshot == result.snapshot
    assert open_store(store).load().equals(open_store(tmp_path / "fresh.zarr").load())


def test_too_many_in_quarantine_publish_nothing(source, tmp_path):
    """What was read is kept: it is published without reading when the rules allow it."""
    store = tmp_path / "a.zarr"
    old = ingest_all(store, source())
    now = source(last="2002-01-01", revised={f"s{number:03d}": -9.0 for number in range(8)})
    source.reads()
    for _ in range(2):
        with pytest.raises(InputError, match=r"8 of 70 sites are quarantined, .*; first s000: discharge is"):
            ingest_all(store, now)
        assert open_store(store).attrs["snapshot"] == old.snapshot
    result = ingest_all(store, now, Options(rules=QualityRules(max_quarantined=0.2)))
    assert result.quarantined == 8
    assert len([line for line in source.reads() if line[1] != "1"]) == 2  # each partition once
    assert open_store(store).sizes["site"] == 62


def test_a_place_for_no_store(source, tmp_path):
    (tmp_path / "file").write_text("")
    for place, says in (("file", "file: cannot be written: File exists"), ("file/a.zarr", "Not a directory")):
        with pytest.raises(InputError, match=says):
            ingest_all(tmp_path / place, source())
    with pytest.raises(InputError, match="file: not a store that `thalweg ingest` made"):
        Ingest(tmp_path / "file", source(), Options())  # for the plan alone
    assert (tmp_path / "file").read_text() == ""


def test_the_difference_names_who_is_in_quarantine(source, tmp_path):
    store = tmp_path / "a.zarr"
    good = ingest_all(store, source()).snapshot
    ingest_all(store, source(revised={"s001": -9.0}))
    found = difference(Repository.open(store), good, "main")
    assert (found.quarantined, found.released) == (["s001"], [])
    assert (found.variables_added, found.attributes) == ([], {})
    back = difference(Repository.open(store), "main", good)
    assert (back.quarantined, back.released) == ([], ["s001"])


def test_a_store_in_the_home_folder(source, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    ingest_all("~/a.zarr", source())
    assert open_store(tmp_path / "home/a.zarr").sizes["site"] == 70
    assert not (tmp_path / "~").exists()
