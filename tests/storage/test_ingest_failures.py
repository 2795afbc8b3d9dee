"""Every way an ingest can end early: what a reader then sees, and that a re-run completes.

The rows of the table in ``docs/storage.md``.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thalweg.storage import versions
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.ingest import partition, pipeline
from thalweg.storage.ingest.failures import may_pass
from thalweg.storage.ingest.pipeline import Ingest, Options, ingest_all
from thalweg.storage.ingest.workers import Processes, WorkerDiedError
from thalweg.storage.repository import Repository
from thalweg.storage.store import open_store, quality_report

PARTITIONS = 4
SITES = 64 * PARTITIONS

# Runs an ingest in which the process kills itself at a point, as `kill -9` would.
CHILD = """
import os, signal, sys, threading
sys.path.insert(0, {tests!r})
from thalweg.storage.draft import Draft
from thalweg.storage.ingest import partition, pipeline, plan
from thalweg.storage.ingest.pipeline import Ingest, Options, ingest_all

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def at(owner, name, number, before=None, after=None):
    '''Call `before` or `after` the call with that number.'''
    calls, original = [0], getattr(owner, name)
    def call(*arguments, **named):
        calls[0] += 1
        if calls[0] == number and before:
            before(*arguments, **named)
        result = original(*arguments, **named)
        if calls[0] == number and after:
            after()
        return result
    setattr(owner, name, call)

def half(session, block):
    '''Write the half of what would be written, then die.'''
    name = sorted(block.data_vars)[0]
    original_write(session, block[[name]])
    die()

original_write = partition.write_block
point, plan.LITTLE_BYTES = sys.argv[2], float(sys.argv[3])
if point == "reading":
    at(partition, "_read", 2, after=die)
elif point == "reading-in-two-processes":
    at(Draft, "commit", 2, after=lambda: threading.Timer(0.3, die).start())
elif point == "mid-chunk":
    at(partition, "write_block", 2, before=half)
elif point == "before-commit":  # the first commit of a draft prepares it
    at(Draft, "commit", 3, before=lambda *_, **__: die())
elif point == "after-commit":
    at(Draft, "commit", 3, after=die)
elif point == "before-publication":
    at(Draft, "_move_main", 1, before=lambda *_: die())
elif point == "after-publication":
    at(Draft, "_move_main", 1, after=die)
ingest_all(sys.argv[1], {spec!r}, Options(workers=2))
"""


def killed(store, spec, point, little=1e12):
    """Run an ingest in a process of its own until that point."""
    code = CHILD.format(tests=str(Path(__file__).parent), spec=spec)
    ended = subprocess.run(
        [sys.executable, "-c", code, str(store), point, str(little)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize(
    ("point", "published", "redone"),
    [
        ("reading", False, 1),
        ("mid-chunk", False, 1),
        ("before-commit", False, 1),
        ("after-commit", False, 0),
        ("before-publication", False, 0),
        ("after-publication", True, 0),
    ],
)
def test_killed(source, tmp_path, point, published, redone):
    """Readers see the version before or the one after; a re-run does what is missing."""
    store = tmp_path / "a.zarr"
    old = ingest_all(store, source(SITES))
    before = open_store(store).load()
    now = source(SITES + 3, last="2002-02-01", revised={"s007": 1.0})
    source.reads()
    killed(store, now, point)
    if not published:
        assert open_store(store).attrs["snapshot"] == old.snapshot
        assert open_store(store).load().equals(before)
    ingest_all(store, now)
    blocks = [line[0] for line in source.reads() if line[1] != "1"]
    assert len(blocks) - len(set(blocks)) == redone
    assert len(source.versions(store)) == 2
    assert source.same(store, now)


def test_killed_with_two_processes(source, tmp_path):
    """Nothing was published before: there is no store until the re-run, which redoes one for each."""
    store = tmp_path / "a.zarr"
    spec = source(SITES) | {"wait": 1.0}
    killed(store, spec, "reading-in-two-processes", little=0)
    with pytest.raises(InputError, match=r"no ingestion into this store was ever finished|no such store"):
        open_store(store)
    done = len(Repository.open(store).draft(Ingest(store, spec, Options()).key).done) - 1
    assert done >= 1
    source.reads()
    ingest_all(store, spec)
    again = [line[0] for line in source.reads() if line[1] != "1"]
    assert len(again) == PARTITIONS - done
    assert source.same(store, source(SITES))


def test_two_at_once(source, tmp_path):
    store, spec = tmp_path / "a.zarr", source(SITES) | {"wait": 0.3}
    code = CHILD.format(tests=str(Path(__file__).parent), spec=spec)
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(store), "none", "1e12"], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(source.versions(store)) == 1
    assert len([line for line in source.reads() if line[1] != "1"]) == PARTITIONS  # each was read once
    assert source.same(store, spec)


def test_two_at_once_in_an_object_store(source, s3):
    """Without a lock they do the same work, and one of them publishes it."""
    store, spec = f"{s3}/a", source(first="2001-06-01") | {"wait": 0.3}
    code = CHILD.format(tests=str(Path(__file__).parent), spec=spec)
    both = [
        subprocess.Popen([sys.executable, "-c", code, store, "none", "1e12"], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(source.versions(store)) == 1
    assert source.same(store, spec)


def test_full_disk(source, tmp_path):
    """The system refuses files above a size, as it does where there is no room."""
    store = tmp_path / "a.zarr"
    old = ingest_all(store, source())
    now = source(SITES, last="2009-12-31")
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(InputError, match=r"a.zarr: no space left on the disk .*; nothing was changed"):
            ingest_all(store, now)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    assert open_store(store).attrs["snapshot"] == old.snapshot
    ingest_all(store, now)
    assert source.same(store, now)


def test_a_disk_without_room_for_a_name(source, tmp_path):
    """The first thing that an update writes is the name of its draft; a missing one is no damage."""
    store = tmp_path / "a.zarr"
    ingest_all(store, source())
    repository = Repository.open(store)
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(InputError, match=r"a.zarr: no space left on the disk .*; nothing was changed"):
            repository.draft("key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    assert repository.draft("key").done == frozenset()


def test_a_killed_worker_is_replaced(source, tmp_path, monkeypatch):
    """As when the system ends a process because memory is short."""
    monkeypatch.setattr("thalweg.storage.ingest.plan.LITTLE_BYTES", 0)
    monkeypatch.setattr(pipeline, "FIRST_PAUSE", 0.01)
    calls = []

    class Fragile(Processes):
        def call(self, function, *arguments):
            calls.append(1)
            if len(calls) == 2:
                os.kill(self._idle.queue[0].pid, signal.SIGKILL)
                time.sleep(0.2)
            return super().call(function, *arguments)

    monkeypatch.setattr(pipeline, "Processes", Fragile)
    spec = source(SITES)
    ingest_all(tmp_path / "a.zarr", spec, Options(workers=1))
    assert len(calls) == PARTITIONS + 1
    assert source.same(tmp_path / "a.zarr", spec)


def test_what_may_pass():
    assert may_pass(WorkerDiedError("killed"))
    assert may_pass(UnavailableError("503"))
    assert may_pass(TimeoutError())
    assert may_pass(ConnectionResetError())
    for error in (
        InputError("x"),
        PermissionError("x"),
        FileNotFoundError("x"),
        OSError(28, "x"),
        KeyError(),
    ):
        assert not may_pass(error)
    wrapped = RuntimeError("zarr")
    wrapped.__cause__ = OSError(28, "no space")
    assert not may_pass(wrapped)


def camels_flow(root, gauge):
    return next(root.glob(f"usgs_streamflow/*/{gauge}_streamflow_qc.txt"))


def test_a_truncated_file(camels, tmp_path):
    """Cut in the middle of a line, as by a copy that is under way: nothing changes."""
    store, spec = tmp_path / "a.zarr", {"kind": "camels_us", "path": str(camels)}
    old = ingest_all(store, spec)
    file = camels_flow(camels, "02046000")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2 + 5])
    with pytest.raises(InputError, match=rf"{file.name}.*cut off"):
        ingest_all(store, spec)
    assert open_store(store).attrs["snapshot"] == old.snapshot
    file.write_bytes(whole)
    assert ingest_all(store, spec).snapshot == old.snapshot


def test_a_file_that_ends_earlier(camels, tmp_path):
    store, spec = tmp_path / "a.zarr", {"kind": "camels_us", "path": str(camels)}
    old = ingest_all(store, spec)
    file = camels_flow(camels, "02046000")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:5]))
    with pytest.raises(InputError, match="got shorter: discharge of site camels_02046000 ends on 2000-02-29"):
        ingest_all(store, spec)
    assert open_store(store).attrs["snapshot"] == old.snapshot


def test_a_deleted_file(camels, tmp_path):
    store, spec = tmp_path / "a.zarr", {"kind": "camels_us", "path": str(camels)}
    old = ingest_all(store, spec)
    for file in camels.glob("*/*/*02046000*"), camels.glob("*/*/*/*02046000*"):
        for each in file:
            each.unlink()
    with pytest.raises(InputError, match="02046000"):
        ingest_all(store, spec)
    assert open_store(store).attrs["snapshot"] == old.snapshot
    assert open_store(store).sizes["site"] == 3


def test_a_file_that_is_replaced_while_it_is_read(camels, tmp_path, monkeypatch):
    store, spec = tmp_path / "a.zarr", {"kind": "camels_us", "path": str(camels)}
    file = camels_flow(camels, "02046000")
    original = partition._read

    def replaced_first(*arguments):
        file.write_text(file.read_text().replace("100.00", "111.00"))
        return original(*arguments)

    monkeypatch.setattr(partition, "_read", replaced_first)
    with pytest.raises(InputError, match=rf"{file.name}: changed while it was read"):
        ingest_all(store, spec)
    with pytest.raises(InputError):
        open_store(store)
    monkeypatch.undo()
    assert ingest_all(store, spec).plan.reasons == {"new": 3}


def test_a_damaged_chunk_stops_an_update(source, tmp_path):
    """The site's other years would be checked from it; what is damaged is never copied on."""
    store = tmp_path / "a.zarr"
    old = ingest_all(store, source())
    largest = max((store / "chunks").iterdir(), key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 255
    largest.write_bytes(content)
    with pytest.raises(InputError, match="damaged: its checksum"):
        ingest_all(store, source(last="2002-01-01"))
    assert source.versions(store) == [old.snapshot]


def test_an_object_store_that_fails_for_a_while(source, faulty_s3):
    for path in ("branch.main", "branch.draft", "chunks", "snapshots"):
        faulty_s3.add(path, 2, method="PUT")
    faulty_s3.add("chunks", 1, method="PUT", status=500, code="InternalError")
    spec = source(first="2001-06-01")
    ingest_all(f"{faulty_s3.bucket}/a", spec)
    assert [fault.times for fault in faulty_s3.faults] == [0] * 5
    assert source.same(f"{faulty_s3.bucket}/a", spec)


def test_permission_denied_is_not_tried_again(source, faulty_s3):
    store = f"{faulty_s3.bucket}/a"
    old = ingest_all(store, source(first="2001-06-01"))
    now = source(first="2001-06-01", last="2002-01-01")
    faulty_s3.add("chunks", 99, method="PUT", status=403, code="AccessDenied")
    source.reads()
    with pytest.raises(InputError, match="permission denied"):
        ingest_all(store, now)
    assert len([line for line in source.reads() if line[1] != "1"]) <= 2  # each partition once
    assert open_store(store).attrs["snapshot"] == old.snapshot
    faulty_s3.faults.clear()
    ingest_all(store, now)
    assert source.same(store, now)


def test_a_site_that_cannot_be_read_keeps_its_values(camels, tmp_path):
    store, spec = tmp_path / "a.zarr", {"kind": "camels_us", "path": str(camels)}
    ingest_all(store, spec)
    before = open_store(store).load()
    file = camels_flow(camels, "02046000")
    whole = file.read_text()
    file.write_text(whole.replace(" 100.00 ", " hundred "))
    for _ in range(2):  # it is tried again each time
        ingest_all(store, spec)
        np.testing.assert_array_equal(open_store(store)["discharge"], before["discharge"])
        report = quality_report(store)
        row = report[report["check"] == "unreadable"].iloc[0]
        assert row["severity"] == "warning"
        assert file.name in row["message"]
        assert row["message"].endswith("its values are those of the version before")
    assert len(versions.log(Repository.open(store))) == 2  # nights without news do not fill the log
    file.write_text(whole)
    ingest_all(store, spec)
    assert not (quality_report(store)["check"] == "unreadable").any()


def test_nothing_is_left_of_the_workers(source, tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg.storage.ingest.plan.LITTLE_BYTES", 0)
    with Ingest(tmp_path / "a.zarr", source(SITES), Options(workers=2)) as ingest:
        ingest.start()
        for each in ingest.pending[:2]:
            ingest.run(each)
        workers = ingest._workers
        ids = [each.process.pid for each in workers._nurseries] + [each.pid for each in workers._idle.queue]
        assert len(ids) == 3
        assert all(Path(f"/proc/{each}").exists() for each in ids)
    assert not any(Path(f"/proc/{each}").exists() for each in ids)
    assert os.getpid() not in ids


def test_attributes_that_are_revised_after_a_kill_before_any_partition(camels, tmp_path):
    """The draft that was left holds the attributes of before, and must not be taken up."""
    store, spec = tmp_path / "a.zarr", {"kind": "camels_us", "path": str(camels)}
    with Ingest(store, spec, Options()) as killed:
        killed.start()
    file = camels / "camels_attributes_v2.0/camels_topo.txt"
    table = pd.read_csv(file, sep=";", dtype=str)
    table["elev_mean"] = "4321"
    table.to_csv(file, sep=";", index=False)
    ingest_all(store, spec)
    assert (open_store(store)["elev_mean"] == 4321).all()


def test_a_spec_that_is_put_right_after_a_refusal(tmp_path):
    """What was read in the wrong unit is not taken up: neither refused again, nor published."""
    days = pd.date_range("2001-01-01", periods=400).strftime("%Y-%m-%d")
    (tmp_path / "stations.csv").write_text("site,latitude,longitude,area\na,46,7,100\n")
    table = pd.DataFrame({"date": days, "rain": np.arange(400) % 9, "q": 1000.0 + np.arange(400)})
    table.to_csv(tmp_path / "a.csv", index=False)

    def spec(units):
        variables = {"precipitation": {"column": "rain", "units": "mm"}}
        variables["discharge"] = {"column": "q", "units": units}
        files = {"path": f"{tmp_path}/{{site}}.csv", "stations": f"{tmp_path}/stations.csv"}
        return {"kind": "csv_stations", **files, "variables": variables}

    store = tmp_path / "store.zarr"
    with pytest.raises(InputError, match="discharge is outside"):
        ingest_all(store, spec("m3/s"))
    with Ingest(store, spec("gallon/s"), Options()) as killed:  # another guess, killed before its end
        killed.start()
        killed.run(killed.plan.partitions[0])
    ingest_all(store, spec("L/s"))
    assert open_store(store)["discharge"].values[0, 0] == pytest.approx(1.0 * 86.4 / 100)


def test_attributes_are_not_lost(camels, tmp_path):
    """Neither with a table that was cut off, nor with those that a file tells that cannot be read."""
    store, spec = tmp_path / "a.zarr", {"kind": "camels_us", "path": str(camels)}
    old = ingest_all(store, spec)
    area = open_store(store)["area"].values
    file = camels / "camels_attributes_v2.0/camels_soil.txt"
    whole = file.read_text()
    file.write_text("".join(line for line in whole.splitlines(keepends=True) if "02046000" not in line))
    with pytest.raises(InputError, match=r"got shorter: attribute .* of site camels_02046000 is gone"):
        ingest_all(store, spec)
    header, *rows = whole.splitlines()
    file.write_text("\n".join([header.rpartition(";")[0], *(row.rpartition(";")[0] for row in rows)]) + "\n")
    with pytest.raises(InputError, match=r"got shorter: attribute .* of site camels_.* is gone"):
        ingest_all(store, spec)
    file.write_text(whole)
    assert open_store(store).attrs["snapshot"] == old.snapshot
    forcing = next(camels.glob("basin_mean_forcing/*/*/02046000*"))
    whole = forcing.read_text()
    forcing.write_text(whole.split("\n", 1)[1])  # without its area
    ingest_all(store, spec)
    np.testing.assert_array_equal(open_store(store)["area"], area)
    report = quality_report(store)
    assert report[report["check"] == "unreadable"]["site"].tolist() == ["camels_02046000"]
