"""The store: what is in it, and what is there after something went wrong."""

import errno
import json
import re
import subprocess
import sys

import icechunk
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from thalweg.storage import layout
from thalweg.storage import store as store_module
from thalweg.storage.errors import InputError
from thalweg.storage.repository import Repository
from thalweg.storage.snapshot import content_hash
from thalweg.storage.store import has_store, ingest, open_store, quality_report, write_store


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
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
    store = repository.readonly_session("main").store
    with xr.open_zarr(store, consolidated=False) as dataset:
        assert dataset["discharge"].attrs["units"] == "mm/day"
        assert dataset["region"].values[0] == "01"
    assert zarr.open_group(store, mode="r").metadata.zarr_format == 3


def test_layout(make_dataset, tmp_path):
    write_store(tmp_path / "a.zarr", make_dataset(sites=70, days=6000), {"kind": "x"})
    array = zarr.open_array(
        Repository.open(tmp_path / "a.zarr").session().store, path="precipitation", mode="r"
    )
    assert array.chunks == (64, 2922)
    assert array.shards is None
    assert [type(codec).__name__.removesuffix("Codec") for codec in array.compressors] == ["Blosc", "Crc32c"]
    assert "lz4" in str(array.compressors)


@pytest.mark.parametrize(("sites", "days"), [(1, 1), (1, 400), (9, 2), (65, 6000)])
def test_any_size_comes_back(make_dataset, tmp_path, sites, days):
    dataset = make_dataset(sites=sites, days=days)
    opened = write_store(tmp_path / "a.zarr", dataset, {"kind": "x"})
    for name in dataset.data_vars:
        np.testing.assert_array_equal(opened[name].values, dataset[name].values)


def test_snapshot_is_of_the_content_alone(make_dataset, tmp_path, monkeypatch):
    dataset = make_dataset()
    first = write_store(tmp_path / "a.zarr", dataset, {"kind": "x"})
    monkeypatch.setattr(layout, "CHUNK_SITES", 3)
    monkeypatch.setattr(layout, "CHUNK_DAYS", 100)
    shuffled = dataset[sorted(dataset.data_vars, reverse=True)].isel(site=slice(None, None, -1))
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


LIMITED = """
import resource, signal, sys
import xarray as xr
from thalweg.storage.errors import InputError
from thalweg.storage.store import write_store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    write_store(sys.argv[2], xr.open_dataset(sys.argv[1], engine="h5netcdf"), {"kind": "new"})
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [50, 3_000, 50_000])
def test_no_space_left(make_dataset, tmp_path, limit):
    """A limit on the size of files makes the system refuse to write more, as a full disk does."""
    make_dataset(sites=70).to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    store = tmp_path / "new.zarr"
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "data.nc"), str(store), str(limit)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.fullmatch(
        r".*new.zarr: no space left on the disk \(only \d+ MB free\); nothing was changed\n", found.stdout
    ), found.stderr
    assert not has_store(store)
    made = write_store(store, make_dataset(sites=70), {"kind": "new"})
    assert made.attrs["snapshot"] == content_hash(made)


def test_another_failure_leaves_nothing_and_is_not_hidden(make_dataset, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError(errno.EIO, "broken disk")

    with monkeypatch.context() as patched:
        patched.setattr(layout, "write_block", broken)
        with pytest.raises(OSError, match="broken disk"):
            write_store(tmp_path / "new.zarr", make_dataset(), {"kind": "new"})
    assert not has_store(tmp_path / "new.zarr")
    with pytest.raises(InputError, match="no ingestion into this store was ever finished"):
        open_store(tmp_path / "new.zarr")
    assert Repository.open(tmp_path / "new.zarr").raw.list_branches() == {"main"}
    write_store(tmp_path / "new.zarr", make_dataset(), {"kind": "new"})
    assert no_rubbish(tmp_path, "new.zarr")


def test_the_first_of_two_writers_wins(make_dataset, tmp_path, monkeypatch):
    path, check = tmp_path / "a.zarr", store_module.quality_table

    def another_writer_is_faster(report):
        monkeypatch.setattr(store_module, "quality_table", check)
        write_store(path, make_dataset(), {"kind": "x"})
        return check(report)

    monkeypatch.setattr(store_module, "quality_table", another_writer_is_faster)
    made = write_store(path, make_dataset(), {"kind": "x"})
    assert made.attrs["snapshot"] == open_store(path).attrs["snapshot"]
    assert Repository.open(path).raw.list_branches() == {"main"}
    assert no_rubbish(tmp_path, "a.zarr")


def test_opening_what_is_not_a_store(make_dataset, tmp_path):
    with pytest.raises(InputError, match="no such store"):
        open_store(tmp_path / "nothing.zarr")
    assert no_rubbish(tmp_path)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="no such store"):
        open_store(tmp_path / "empty.zarr")
    xr.Dataset({"x": ("a", [1.0])}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(InputError, match="not a store that `thalweg ingest` made"):
        open_store(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="not a store that `thalweg ingest` made"):
        write_store(tmp_path / "other.zarr", make_dataset(), {"kind": "x"})
    with pytest.raises(InputError, match="no such store"):
        quality_report(tmp_path / "nothing.zarr")
    with pytest.raises(InputError, match=r"stores and runs are in folders or at s3://bucket/prefix"):
        open_store("gs://bucket/a")
    with pytest.raises(InputError, match="a bucket and a prefix are needed"):
        open_store("s3://bucket")


def test_a_store_of_the_earlier_format(tmp_path):
    path = tmp_path / "old.zarr"
    old = xr.Dataset({"x": ("a", [1.0])}, attrs={"format": 1})
    old.to_zarr(path, zarr_format=3, consolidated=False)
    old.to_zarr(path, group="quality", zarr_format=3, consolidated=False)
    for attempt in (open_store, lambda path: ingest(path, {"kind": "caravan", "path": "x"})):
        with pytest.raises(InputError, match="store of format 1; format 2 is needed, ingest it again"):
            attempt(path)


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
