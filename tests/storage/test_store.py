"""The store: what is in it, and what is there after something went wrong."""

import errno
import json
import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from thalweg.storage import store as store_module
from thalweg.storage.errors import InputError
from thalweg.storage.snapshot import content_hash
from thalweg.storage.store import ingest, open_store, quality_report, write_store


def no_rubbish(folder, *expected):
    return sorted(path.name for path in folder.iterdir()) == sorted(expected)


def test_ingest_and_open(caravan, tmp_path):
    path = tmp_path / "deep" / "sample.zarr"
    source = {"kind": "caravan", "path": str(caravan)}
    made = ingest(path, source)
    opened = open_store(path)
    xr.testing.assert_identical(made.load(), opened.load())
    assert opened["precipitation"].dims == ("site", "time")
    assert opened["precipitation"].dtype == np.float32
    assert json.loads(opened.attrs["source"]) == source
    assert len(opened.attrs["snapshot"]) == 64
    assert [type(site) for site in opened["site"].values.tolist()] == [str] * 6
    assert no_rubbish(path.parent, "sample.zarr")


def test_plain_xarray_can_read_it(caravan, tmp_path):
    path = tmp_path / "a.zarr"
    ingest(path, {"kind": "caravan", "path": caravan})
    with xr.open_zarr(path, consolidated=False) as dataset:
        assert dataset["discharge"].attrs["units"] == "mm/day"
        assert dataset["region"].values[0] == "01"
    assert zarr.open_group(path, mode="r").metadata.zarr_format == 3


def test_layout(make_dataset, tmp_path):
    write_store(tmp_path / "a.zarr", make_dataset(sites=70, days=6000), {"kind": "x"})
    array = zarr.open_array(tmp_path / "a.zarr" / "precipitation", mode="r")
    assert array.chunks == (8, 5844)
    assert array.shards == (64, 11688)
    assert "lz4" in str(array.compressors)
    files = [path for path in (tmp_path / "a.zarr" / "precipitation" / "c").rglob("*") if path.is_file()]
    assert len(files) == 2


@pytest.mark.parametrize(("sites", "days"), [(1, 1), (1, 400), (9, 2), (65, 6000)])
def test_any_size_comes_back(make_dataset, tmp_path, sites, days):
    dataset = make_dataset(sites=sites, days=days)
    opened = write_store(tmp_path / "a.zarr", dataset, {"kind": "x"})
    for name in dataset.data_vars:
        np.testing.assert_array_equal(opened[name].values, dataset[name].values)


def test_snapshot_is_of_the_content_alone(make_dataset, tmp_path, monkeypatch):
    dataset = make_dataset()
    first = write_store(tmp_path / "a.zarr", dataset, {"kind": "x"})
    monkeypatch.setattr(store_module, "CHUNK_SITES", 3)
    monkeypatch.setattr(store_module, "CHUNK_DAYS", 100)
    monkeypatch.setattr(store_module, "SHARD_SITES", 6)
    shuffled = dataset[sorted(dataset.data_vars, reverse=True)]
    second = write_store(tmp_path / "b.zarr", shuffled, {"kind": "y"})
    assert first.attrs["snapshot"] == second.attrs["snapshot"] == content_hash(second)


@pytest.mark.parametrize("change", ["value", "missing", "unit", "site", "day", "text"])
def test_any_change_of_content_changes_the_snapshot(make_dataset, change):
    dataset = make_dataset()
    other = dataset.copy(deep=True)
    if change == "value":
        other["discharge"].values[3, 5] += 1e-3
    elif change == "missing":
        other["discharge"].values[3, 5] = np.nan
    elif change == "unit":
        other["area"].attrs["units"] = "m2"
    elif change == "site":
        other = other.assign_coords(site=["x", *other["site"].values[1:]])
    elif change == "day":
        other = other.assign_coords(time=other["time"] + np.timedelta64(1, "D"))
    else:
        other["geology"].values[0] = "gneiss"
    assert content_hash(other) != content_hash(dataset)
    assert content_hash(dataset) == content_hash(make_dataset())


def test_quality_report_is_kept(make_dataset, tmp_path):
    dataset = make_dataset()
    dataset["discharge"].values[2, 10] = -4.0
    opened = write_store(tmp_path / "a.zarr", dataset, {"kind": "x"})
    report = quality_report(tmp_path / "a.zarr")
    assert report.iloc[0]["check"] == "negative"
    assert report.iloc[0]["site"] == "s02"
    assert report.iloc[0]["first_day"] == pd.Timestamp(dataset["time"].values[10])
    assert opened["discharge"].values[2, 10] == -4.0
    write_store(tmp_path / "clean.zarr", make_dataset(), {"kind": "x"})
    assert quality_report(tmp_path / "clean.zarr").empty


def test_same_source_is_left_alone(caravan, tmp_path):
    path, source = tmp_path / "a.zarr", {"kind": "caravan", "path": str(caravan)}
    ingest(path, source)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    again = {"path": f"{caravan}/", "subsets": None, "kind": "caravan"}
    ingest(path, again)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


def test_another_source_is_refused(caravan, tmp_path):
    path = tmp_path / "a.zarr"
    ingest(path, {"kind": "caravan", "path": caravan})
    with pytest.raises(InputError) as error:
        ingest(path, {"kind": "caravan", "path": caravan, "sites": ["camels_01013500"]})
    assert '"sites": ["camels_01013500"]' in str(error.value)
    assert "made from {" in str(error.value)
    assert "name another store, or delete this one" in str(error.value)
    assert open_store(path).sizes["site"] == 6


def fail_after(count, problem):
    """Return a zarr `set` that writes `count` objects and then fails."""
    written = 0
    original = zarr.storage.LocalStore.set

    async def write(self, key, value):
        nonlocal written
        written += 1
        if written > count:
            raise problem
        await original(self, key, value)

    return write


@pytest.mark.parametrize("count", [0, 5, 30])
def test_no_space_left(make_dataset, tmp_path, monkeypatch, count):
    write_store(tmp_path / "old.zarr", make_dataset(), {"kind": "old"})
    problem = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(zarr.storage.LocalStore, "set", fail_after(count, problem))
    with pytest.raises(
        InputError, match=r"new.zarr: no space left on the disk \(only \d+ MB free\); nothing was changed"
    ):
        write_store(tmp_path / "new.zarr", make_dataset(), {"kind": "new"})
    assert no_rubbish(tmp_path, "old.zarr")
    assert (
        content_hash(open_store(tmp_path / "old.zarr")) == open_store(tmp_path / "old.zarr").attrs["snapshot"]
    )


def test_another_failure_leaves_nothing_and_is_not_hidden(make_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(zarr.storage.LocalStore, "set", fail_after(5, OSError(errno.EIO, "broken disk")))
    with pytest.raises(OSError, match="broken disk"):
        write_store(tmp_path / "new.zarr", make_dataset(), {"kind": "new"})
    assert no_rubbish(tmp_path)


def test_an_interrupt_leaves_nothing(make_dataset, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.Dataset, "to_zarr", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "new.zarr", make_dataset(), {"kind": "new"})
    assert no_rubbish(tmp_path)


def test_what_a_killed_process_left_is_removed(make_dataset, tmp_path, monkeypatch):
    from thalweg.storage import partial

    abandoned = tmp_path / f".a.zarr.partial-{partial._HOST}-999999999-0123abcd"
    running = tmp_path / f".a.zarr.partial-{partial._HOST}-{os.getpid()}-0123abcd"
    elsewhere = tmp_path / ".a.zarr.partial-othermachine-999999999-0123abcd"
    for folder in (abandoned, running, elsewhere):
        folder.mkdir()
    write_store(tmp_path / "a.zarr", make_dataset(), {"kind": "x"})
    assert no_rubbish(tmp_path, "a.zarr", running.name, elsewhere.name)


def test_the_first_of_two_writers_wins(make_dataset, tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    write_quality = store_module._quality_dataset

    def another_writer_is_faster(report):
        monkeypatch.setattr(store_module, "_quality_dataset", write_quality)
        write_store(path, make_dataset(), {"kind": "x"})
        return write_quality(report)

    monkeypatch.setattr(store_module, "_quality_dataset", another_writer_is_faster)
    assert (
        write_store(path, make_dataset(), {"kind": "x"}).attrs["snapshot"]
        == open_store(path).attrs["snapshot"]
    )
    assert no_rubbish(tmp_path, "a.zarr")


def test_opening_what_is_not_a_store(tmp_path):
    with pytest.raises(InputError, match="no such store"):
        open_store(tmp_path / "nothing.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="not a Zarr store"):
        open_store(tmp_path / "empty.zarr")
    xr.Dataset({"x": ("a", [1.0])}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(InputError, match="not a store that `thalweg ingest` made"):
        open_store(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="no such store"):
        quality_report(tmp_path / "nothing.zarr")


def test_a_place_that_cannot_be_written(make_dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_store(tmp_path / "file" / "a.zarr", make_dataset(), {"kind": "x"})


def test_the_shipped_sample(tmp_path):
    """The sample in examples/ ingests cleanly and covers all regions."""
    from pathlib import Path

    sample = Path(__file__).parents[2] / "examples" / "caravan_sample"
    dataset = ingest(tmp_path / "sample.zarr", {"kind": "caravan", "path": sample})
    assert sorted(set(dataset["region"].values)) == [f"{number:02d}" for number in range(1, 19)]
    assert 48 <= dataset.sizes["site"] <= 56
    assert [str(day)[:10] for day in dataset["time"].values[[0, -1]]] == ["1989-01-01", "2009-12-31"]
    assert float(dataset["discharge"].notnull().mean()) > 0.99
    assert "error" not in set(quality_report(tmp_path / "sample.zarr")["severity"])
    size = sum(file.stat().st_size for file in sample.rglob("*") if file.is_file())
    assert size <= 6_000_000
