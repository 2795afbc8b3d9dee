"""Several processes publish into one store at once: nothing that was acknowledged may be lost."""

import subprocess
import sys

import pytest

from thalweg.storage import versions
from thalweg.storage.repository import Repository
from thalweg.storage.snapshot import content_hash
from thalweg.storage.store import open_store, write_store

# Adds sites of its own one by one, each as a version, and prints each that was acknowledged.
WRITER = """
import sys
import numpy as np
import xarray as xr
from thalweg.storage.draft import HASHES, MovedError
from thalweg.storage.layout import write_block
from thalweg.storage.repository import Repository
from thalweg.storage.snapshot import year_hashes
from thalweg.storage.store import open_store, store_attributes

place, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
first = open_store(place).isel(site=[0]).load()
moved = 0
for number in range(count):
    site = first.assign_coords(site=np.array([f"{name}{number}"], dtype=object))
    while True:
        draft = Repository.open(place).draft(f"{name}-{number}")
        try:
            draft.prepare(site.assign_attrs(store_attributes({"kind": "x"})))
            fork = draft.fork()
            write_block(fork, site)
            draft.commit("one", [fork], {}, {HASHES: year_hashes(site)})
            content = draft.publish(f"{name}{number}", {})
            break
        except MovedError:
            draft.abandon()
            moved += 1
    print(f"{name}{number}", content, moved, flush=True)
"""


def published(place, writers, count):
    """Run the writers at once; give what they were told, and how often they had to plan again."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(place), f"w{number}-", str(count)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(writers)
    ]
    ended = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0] * writers, ended
    rows = [line.split() for out, _ in ended for line in out.splitlines()]
    return {site: content for site, content, _ in rows}, sum(int(moved) for *_, moved in rows)


def check(place, dataset, told):
    opened = open_store(place).load()
    assert set(opened["site"].values) == {*dataset["site"].values, *told}
    assert opened.attrs["snapshot"] == content_hash(opened)
    for name in told:
        alike = opened["discharge"].sel(site=name).values == dataset["discharge"].values[0]
        assert alike.all()
    log = versions.log(Repository.open(place))
    assert {version.snapshot for version in log} >= set(told.values())
    assert [version.message for version in log if not version.current] == []
    assert len(log) == 1 + len(told)


def test_on_a_local_disk(make_dataset, tmp_path):
    dataset = make_dataset(sites=3)
    write_store(tmp_path / "a", dataset, {"kind": "x"})
    told, _ = published(tmp_path / "a", writers=2, count=2)
    assert len(told) == 4
    check(tmp_path / "a", dataset, told)


def test_in_an_object_store(make_dataset, s3):
    dataset = make_dataset(sites=3)
    write_store(f"{s3}/a", dataset, {"kind": "x"})
    told, _ = published(f"{s3}/a", writers=2, count=1)
    assert len(told) == 2
    check(f"{s3}/a", dataset, told)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["disk", "s3"])
def test_many(make_dataset, tmp_path, s3, where):
    place = tmp_path / "a" if where == "disk" else f"{s3}/a"
    dataset = make_dataset(sites=3)
    write_store(place, dataset, {"kind": "x"})
    told, moved = published(place, writers=6, count=5)
    assert len(told) == 30
    assert moved > 0
    check(place, dataset, told)


def test_two_make_the_same_store(make_dataset, tmp_path):
    """Both begin where there is nothing; both end with the same store."""
    make_dataset().to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    code = (
        "import sys, xarray as xr; from thalweg.storage.store import write_store; "
        "data = xr.open_dataset(sys.argv[1], engine='h5netcdf'); "
        "print(write_store(sys.argv[2], data, {'kind': 'x'}).attrs['snapshot'])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data.nc"), str(tmp_path / "a")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    contents = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert contents == {content_hash(make_dataset())}
    assert len(versions.log(Repository.open(tmp_path / "a"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "data.nc"]
