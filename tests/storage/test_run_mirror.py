"""Runs in an object store: what is sent, what is taken, and what befalls both."""

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from waiting import until

from thalweg.storage import bucket, looks, run_sharing
from thalweg.storage.errors import InputError, UnavailableError, UnsentError
from thalweg.storage.results import (
    Run,
    find_run,
    find_runs,
    write_manifest,
    write_metrics,
    write_predictions,
    write_status,
)
from thalweg.storage.run_mirror import results, resumed, tables

NAME = "lstm--temporal--0--s1"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Give what makes us another machine: runs are then looked at in another copy."""

    def become(name):
        monkeypatch.setenv("THALWEG_SCRATCH", str(tmp_path / name))

    become("one")
    return become


@pytest.fixture
def place(s3, machine):
    return f"{s3}/deep/runs"


def make_run(folder, score=0.5, state="done"):
    write_manifest(
        folder,
        {"experiment": "e", "model": "lstm", "kind": "lstm", "split": "temporal", "fold": "0", "seed": 1},
    )
    write_metrics(folder, pd.DataFrame({"site": ["a", "b"], "nse": [score, score]}))
    days = pd.date_range("2000-01-01", periods=400)
    values = np.full((2, 400), score)
    series = xr.Dataset(
        dict.fromkeys(("simulated", "observed"), (("site", "time"), values)),
        {"site": ["a", "b"], "time": days},
    )
    write_predictions(folder, series)
    write_status(folder, {"state": state})


def keys(place):
    return {entry.key for entry in mirror(place).bucket.listing()}


def mirror(place):
    return run_sharing.mirror_of(run_sharing.opened(place))


def test_a_folder_stays_a_folder(tmp_path, machine):
    assert run_sharing.opened(tmp_path) == tmp_path
    assert run_sharing.named(tmp_path) == str(tmp_path)
    folder = run_sharing.folder_at(run_sharing.place_of(tmp_path / "e" / NAME))
    assert folder == tmp_path / "e" / NAME
    with run_sharing.worked_on(folder):
        make_run(folder)
    run_sharing.push(folder)
    run_sharing.pull(tmp_path)
    assert find_run(tmp_path, NAME).state == "done"
    run_sharing.remove(folder)
    assert not folder.exists()
    assert not (tmp_path / "one").exists()


def test_a_place_that_is_none_is_refused(machine):
    with pytest.raises(InputError, match="folders or at s3://bucket/prefix"):
        run_sharing.opened("gs://bucket/runs")
    with pytest.raises(InputError, match="folders or at s3://bucket/prefix"):
        run_sharing.opened("s3:/bucket/runs")
    for place in ("s3://bucket", "s3://bucket/", "s3://"):
        with pytest.raises(InputError, match="a bucket and a prefix are needed"):
            run_sharing.opened(place)


def test_a_run_is_seen_from_another_machine(place, machine):
    root = run_sharing.opened(place)
    run = root / "e" / NAME
    assert run_sharing.named(run) == f"{place}/e/{NAME}"
    with run_sharing.worked_on(run):
        make_run(run, 0.7)
        (run / "checkpoint.previous.pt").write_bytes(b"x")
    written = {path.relative_to(root).as_posix() for path in run.rglob("*") if path.is_file()}
    assert keys(place) == written - {f"e/{NAME}/checkpoint.previous.pt"}

    machine("two")
    other = run_sharing.opened(place)
    assert other != root
    assert find_runs(other) == []
    run_sharing.pull(other)
    (found,) = find_runs(other)
    assert found.state == "done"
    assert found.metrics()["nse"].tolist() == [0.7, 0.7]
    assert not (found.path / "predictions.zarr").exists()  # what is large is taken when it is read
    assert float(found.predictions()["simulated"].mean()) == pytest.approx(0.7, abs=1e-4)
    # whether a product was made from this is told by its time
    assert (
        os.stat(found.path / "predictions.zarr").st_mtime_ns == os.stat(run / "predictions.zarr").st_mtime_ns
    )
    assert os.stat(found.path / "metrics.parquet").st_mtime_ns == os.stat(run / "metrics.parquet").st_mtime_ns
    assert found.problems == []


def test_nothing_is_sent_or_taken_twice(faulty_s3, machine):
    place = f"{faulty_s3.bucket}/runs"
    run = run_sharing.opened(place) / "e" / NAME
    with run_sharing.worked_on(run):
        make_run(run)

    def asked(method):
        found = [path for kind, path in faulty_s3.seen if kind == method and "list-type" not in path]
        faulty_s3.seen.clear()
        return found

    asked("PUT")
    run_sharing.push(run)
    assert asked("PUT") == []
    write_status(run, {"state": "done", "message": "looked at again"})
    (run / "manifest.json").write_text((run / "manifest.json").read_text())  # written, and not changed
    run_sharing.push(run)
    assert [path.rpartition("/")[2].partition("?")[0] for path in asked("PUT")] == ["status.json"]
    machine("two")
    copy = run_sharing.opened(place)
    run_sharing.pull(copy, results)
    assert len(asked("GET")) >= 5
    run_sharing.pull(copy, results)
    assert asked("GET") == []


def test_what_is_told_is_there(faulty_s3, machine):
    """The status goes last, and whoever takes a run takes it first: a run that is done is all there."""
    place = f"{faulty_s3.bucket}/runs"
    run = run_sharing.opened(place) / "e" / NAME
    make_run(run)
    (run / "checkpoint.pt").write_bytes(b"weights")
    run_sharing.push(run)
    puts = [path.partition("?")[0] for method, path in faulty_s3.seen if method == "PUT"]
    assert [path.rpartition("/")[2] for path in puts[-2:]] == ["checkpoint.pt", "status.json"]
    machine("two")
    faulty_s3.seen.clear()
    run_sharing.pull(run_sharing.opened(place), results)
    gets = [path for method, path in faulty_s3.seen if method == "GET" and "list-type" not in path]
    assert "status.json" in gets[0]


def test_what_goes_here_goes_there(place, machine):
    run = run_sharing.opened(place) / "e" / NAME
    other = run.with_name(NAME.replace("s1", "s2"))
    for folder in (run, other):
        make_run(folder)
        (folder / "checkpoint.pt").write_bytes(b"1")
        run_sharing.push(folder)
    (run / "checkpoint.pt").unlink()
    run_sharing.push(run)
    assert f"e/{NAME}/checkpoint.pt" not in keys(place)
    machine("two")
    copy = run_sharing.opened(place)
    run_sharing.pull(copy)
    assert len(find_runs(copy)) == 2
    machine("one")
    run_sharing.remove(run)
    assert not run.exists()
    assert {key.split("/")[1] for key in keys(place)} == {other.name}
    machine("two")
    run_sharing.pull(copy)
    assert [found.path.name for found in find_runs(copy)] == [other.name]
    # a file that somebody cleared away here is not removed there
    machine("one")
    shutil.rmtree(other / "predictions.zarr")
    run_sharing.push(other)
    assert f"e/{other.name}/predictions.zarr/zarr.json" in keys(place)


def test_work_goes_on_elsewhere_from_the_last_checkpoint(place, machine):
    run = run_sharing.opened(place) / "e" / NAME
    with run_sharing.worked_on(run):
        write_status(run, {"state": "running", "epoch": 3})
        (run / "history.csv").write_text("epoch\n1\n2\n3\n")
        (run / "checkpoint.pt").write_bytes(b"three")
        until(lambda: f"e/{NAME}/checkpoint.pt" in keys(place))  # before the end
    (run / "checkpoint.pt").write_bytes(b"four")  # was never sent
    machine("two")
    there = run_sharing.opened(place) / "e" / NAME
    with run_sharing.worked_on(there):
        assert (there / "checkpoint.pt").read_bytes() == b"three"
        (there / "checkpoint.pt").write_bytes(b"five")
    machine("one")
    (run / "predictions.zarr").mkdir()
    (run / "predictions.zarr" / "zarr.json").write_text("of the work that nobody went on with")
    with run_sharing.worked_on(run):
        assert (run / "checkpoint.pt").read_bytes() == b"five"
        assert not (run / "predictions.zarr" / "zarr.json").exists()


@pytest.fixture
def impatient(monkeypatch):
    """Give up soon."""
    monkeypatch.setattr(bucket, "RETRIES", 1)
    monkeypatch.setattr(bucket, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(run_sharing, "LAST_SECONDS", 0.5)
    run_sharing._mirror.cache_clear()
    yield
    run_sharing._mirror.cache_clear()


def test_what_cannot_be_sent_stays_and_is_sent_later(faulty_s3, machine, impatient):
    place = f"{faulty_s3.bucket}/runs"
    run = run_sharing.opened(place) / "e" / NAME
    make_run(run, state="running")
    run_sharing.push(run)
    faulty_s3.add(".", 1000, method="PUT", status=500, code="InternalError")
    with (
        pytest.raises(
            UnsentError, match=r"did not answer, or only with errors \(InternalError\): the run is in"
        ),
        run_sharing.worked_on(run),
    ):
        make_run(run, 0.9)
    assert Run(run).state == "done"
    faulty_s3.faults.clear()
    run_sharing.pull(run.parent)  # to look takes nothing away
    assert Run(run).state == "done"
    # the driver told of it meanwhile, elsewhere
    machine("two")
    there = run_sharing.opened(place) / "e" / NAME
    run_sharing.pull(there)
    write_status(there, {"state": "failed", "message": "could not be sent"})
    run_sharing.push(there)
    machine("one")
    with run_sharing.worked_on(run):
        assert Run(run).state == "done"
    machine("three")
    again = run_sharing.opened(place)
    run_sharing.pull(again)
    assert find_run(again, NAME).metrics()["nse"].tolist() == [0.9, 0.9]
    assert find_run(again, NAME).state == "done"


def test_errors_of_the_server_are_tried_again(faulty_s3, machine):
    place = f"{faulty_s3.bucket}/runs"
    run = run_sharing.opened(place) / "e" / NAME
    for name in ("metrics", "status", "manifest"):
        faulty_s3.add(name, 1, method="PUT")
        faulty_s3.add(name, 1)
    faulty_s3.add("list-type", 1)
    make_run(run)
    run_sharing.push(run)
    machine("two")
    run_sharing.pull(run_sharing.opened(place))
    assert Run(run_sharing.opened(place) / "e" / NAME).state == "done"
    assert sum(fault.times for fault in faulty_s3.faults) == 0


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ({"status": 403, "code": "AccessDenied"}, InputError, "permission denied.*AccessDenied"),
        ({"status": 403, "code": "SignatureDoesNotMatch"}, InputError, "wrong credentials"),
        ({"status": 503}, UnavailableError, "did not answer, or only with errors .SlowDown"),
    ],
)
def test_what_fails_is_one_line(faulty_s3, machine, impatient, fault, kind, says):
    root = run_sharing.opened(f"{faulty_s3.bucket}/runs")
    faulty_s3.add(".", 1000, **fault)
    with pytest.raises(kind, match=says) as caught:
        run_sharing.pull(root)
    assert "\n" not in str(caught.value)
    assert faulty_s3.bucket in str(caught.value)


def test_no_bucket_and_no_server(s3, machine, impatient, monkeypatch):
    with pytest.raises(InputError, match="no such bucket; make it first"):
        run_sharing.pull(run_sharing.opened("s3://never-made/runs"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"127.0.0.1:9 did not answer"):
        run_sharing.pull(run_sharing.opened(f"{s3}/runs"))


def ledger(*ids):
    return json.dumps({"attempts": [{"id": each} for each in ids]})


def test_whose_run_it_is(place, machine, monkeypatch):
    """An attempt that was believed lost tells nothing any more once another one has begun."""
    monkeypatch.setattr(run_sharing, "EVERY_SECONDS", 0.1)
    monkeypatch.setattr(run_sharing, "LOOK_SECONDS", 0.1)
    run = run_sharing.opened(place) / "e" / NAME
    write_status(run, {"state": "running"})
    with run_sharing.worked_on(run):
        (run / "ledger.json").write_text(ledger("first"))
        until(lambda: f"e/{NAME}/ledger.json" in keys(place))
        machine("two")
        there = run_sharing.opened(place) / "e" / NAME
        with run_sharing.worked_on(there):
            # the first one has told of itself since this one has looked
            (run / "ledger.json").write_text(json.dumps({"attempts": [{"id": "first", "more": 1}]}))
            until(lambda: b"more" in mirror(place).bucket.read(f"e/{NAME}/ledger.json")[0])
            (there / "ledger.json").write_text(ledger("first", "second"))
            (there / "checkpoint.pt").write_bytes(b"of the second")
            until(lambda: f"e/{NAME}/checkpoint.pt" in keys(place))
            (run / "checkpoint.pt").write_bytes(b"of the first")
            until(lambda: "second" in (run / "ledger.json").read_text())  # it learns of it
    found = mirror(place).bucket
    assert found.read(f"e/{NAME}/checkpoint.pt")[0] == b"of the second"
    attempts = json.loads(found.read(f"e/{NAME}/ledger.json")[0])["attempts"]
    assert attempts == [{"id": "first", "more": 1}, {"id": "second"}]


def test_two_workers_of_one_machine(place, machine, monkeypatch):
    """What one of them writes is not taken back by another that looks."""
    monkeypatch.setattr(run_sharing, "LOCK_SECONDS", 0.1)
    run = run_sharing.opened(place) / "e" / NAME
    with run_sharing.worked_on(run):
        make_run(run, state="running")
        run_sharing.pull(run)
        assert Run(run).state == "running"
        (run / "history.csv").write_text("new")
        with run_sharing.worked_on(run):  # another attempt, while the first one still ends
            (run / "history.csv").write_text("newer")
    assert mirror(place).bucket.read(f"e/{NAME}/history.csv")[0] == b"newer"


def test_looks_of_several_machines_add_up(place, machine):
    """Lines that are added at the same time by many are all there, once each."""
    tests = ["t"]

    def count(name):
        machine_root = Path(os.environ["THALWEG_SCRATCH"]).parent / name
        folder = run_sharing._mirror(place, str(machine_root / "copy"), run_sharing.endpoint()).folder
        for number in range(4):
            looks.scored(folder, tests[0], f"e/{name}{number}", name, floor=False)

    threads = [threading.Thread(target=count, args=(f"m{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    root = run_sharing.opened(place)
    run_sharing.pull_lines(root / looks.FILE)
    assert looks.count(root, tests).runs == 16
    assert looks.count(root, tests).models == 4
    assert len((root / looks.FILE).read_text().splitlines()) == 16
    # the same twice is two looks
    run_sharing.push(root / "e")
    before = looks.count(root, tests).shown
    make_run(root / "e" / NAME)
    manifest = json.loads((root / "e" / NAME / "manifest.json").read_text())
    (root / "e" / NAME / "manifest.json").write_text(json.dumps({**manifest, "test": {"id": "t"}}))
    for _ in range(2):
        assert looks.shown(root, find_runs(root), "runs")
    assert looks.count(root, tests).shown == before + 2


def test_large_files(place, machine, monkeypatch):
    monkeypatch.setattr(bucket, "PIECE_BYTES", 2**20 * 11)  # parts have at least 5 MiB
    run = run_sharing.opened(place) / "e" / NAME
    content = np.random.default_rng(1).bytes(25_000_000)
    run.mkdir(parents=True)
    (run / "checkpoint.pt").write_bytes(content)
    run_sharing.push(run)
    machine("two")
    there = run_sharing.opened(place) / "e" / NAME
    run_sharing.pull(there, resumed)
    assert (there / "checkpoint.pt").read_bytes() == content


def test_tables_of_an_evaluation(place, machine):
    run = run_sharing.opened(place) / "e" / NAME
    make_run(run)
    (run / "evaluation" / "big.zarr").mkdir(parents=True)
    (run / "evaluation" / "big.zarr" / "zarr.json").write_text("{}")
    (run / "evaluation" / "skill.parquet").write_bytes(b"1")
    run_sharing.push(run)
    machine("two")
    root = run_sharing.opened(place)
    with run_sharing.following(root, tables, every=0.05):
        until(lambda: (root / "e" / NAME / "evaluation" / "skill.parquet").exists())
    assert not (root / "e" / NAME / "evaluation" / "big.zarr").exists()
