"""Stores in an object store, with a server that refuses, fails or goes silent."""

import json
import time

import pytest
import xarray as xr

from thalweg.flows import cli
from thalweg.storage import versions
from thalweg.storage.draft import MovedError
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.repository import Repository
from thalweg.storage.snapshot import content_hash
from thalweg.storage.store import has_store, ingest, open_store, quality_report, write_store

SOURCE = {"kind": "x"}

# What is written when its answer is lost, and how many requests of the kind went well before: the
# repository, the draft, its first commit, its publication, and `main` moved to it.
LOST = [
    pytest.param("branch.main", 0, marks=pytest.mark.slow),
    pytest.param("branch.draft", 0, marks=pytest.mark.slow),
    pytest.param("branch.draft", 1, marks=pytest.mark.slow),
    ("branch.draft", 3),
    ("branch.main", 1),
]


def test_written_and_read(make_dataset, s3):
    dataset = make_dataset(sites=70)
    dataset["discharge"].values[2, 10] = -4.0
    assert not has_store(f"{s3}/deep/a")
    write_store(f"{s3}/deep/a", dataset, SOURCE)
    assert has_store(f"{s3}/deep/a/")
    opened = open_store(f"{s3}/deep/a")
    assert opened.attrs["snapshot"] == content_hash(dataset)
    xr.testing.assert_equal(opened.load(), dataset)
    assert quality_report(f"{s3}/deep/a").iloc[0]["check"] == "negative"


def test_a_source_is_ingested(caravan, s3):
    source = {"kind": "caravan", "path": str(caravan)}
    first = ingest(f"{s3}/a", source).attrs["snapshot"]
    assert ingest(f"{s3}/a", source).attrs["snapshot"] == first
    assert len(versions.log(Repository.open(f"{s3}/a"))) == 1


def test_versions_from_the_command_line(make_dataset, s3, capsys):
    write_store(f"{s3}/a", make_dataset(), SOURCE)
    for arguments in (["tag", f"{s3}/a", "v1"], ["log", f"{s3}/a", "--json"], ["clean", f"{s3}/a"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["data", *arguments])
        assert ended.value.code == 0
        if "--json" in arguments:
            out = capsys.readouterr().out
            assert [row["tags"] for row in json.loads(out[out.index("[") :])] == [["v1"]]
    assert open_store(f"{s3}/a", "v1").sizes["site"] == 12


@pytest.fixture
def hasty(monkeypatch):
    """Do not wait long for another process that may be making the same store."""
    monkeypatch.setattr("thalweg.storage.repository.CREATING", 0.5)


def test_what_is_not_there(make_dataset, s3, hasty):
    with pytest.raises(InputError, match=f"{s3}/none: no such store"):
        open_store(f"{s3}/none")
    with pytest.raises(InputError, match="no such bucket; make it first"):
        write_store("s3://never-made/a", make_dataset(), SOURCE)


def test_errors_of_the_server_are_retried(make_dataset, faulty_s3):
    dataset = make_dataset()
    for path in ("branch.main", "branch.draft", "chunks", "transactions", "snapshots"):
        faulty_s3.add(path, 1, method="PUT")
    made = write_store(f"{faulty_s3.bucket}/a", dataset, SOURCE)
    assert made.attrs["snapshot"] == content_hash(made)
    for path in ("refs", "snapshots", "manifests", "chunks"):
        faulty_s3.add(path, 2)
    faulty_s3.add("chunks", 1, status=500, code="InternalError")
    xr.testing.assert_equal(open_store(f"{faulty_s3.bucket}/a").load(), dataset)
    assert [fault.times for fault in faulty_s3.faults] == [0] * 10


@pytest.mark.parametrize(("path", "before"), LOST)
def test_a_lost_answer(make_dataset, faulty_s3, path, before):
    """The server did what it was asked for, and the connection broke before it could say so."""
    faulty_s3.add(path, before, method="PUT", status=0)
    faulty_s3.add(path, 1, method="PUT", silent=True)
    made = write_store(f"{faulty_s3.bucket}/a", make_dataset(), SOURCE)
    assert [fault.times for fault in faulty_s3.faults] == [0, 0]
    assert made.attrs["snapshot"] == content_hash(make_dataset())
    repository = Repository.open(f"{faulty_s3.bucket}/a")
    assert repository.raw.list_branches() == {"main"}
    assert len(versions.log(repository)) == 1


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("AccessDenied", "permission denied"),
        pytest.param("InvalidAccessKeyId", "wrong credentials", marks=pytest.mark.slow),
    ],
)
def test_no_permission_is_not_retried(make_dataset, faulty_s3, hasty, code, says):
    store = f"{faulty_s3.bucket}/a"
    made = write_store(store, make_dataset(), SOURCE)
    faulty_s3.add("chunks", 1000, status=403, code=code)
    started = len(faulty_s3.seen)
    with pytest.raises(InputError, match=rf"a: chunk 0/0 of precipitation: {says}.* \({code}\)"):
        made["precipitation"].load()
    assert len(faulty_s3.seen) - started <= 2  # the manifest and the chunk
    faulty_s3.faults.clear()
    faulty_s3.add("refs", 1000, status=403, code=code)
    with pytest.raises(InputError, match=says):
        open_store(store)
    faulty_s3.faults.clear()
    faulty_s3.add(".", 1000, method="PUT", status=403, code=code)
    with pytest.raises(InputError, match=says):
        write_store(f"{faulty_s3.bucket}/b", make_dataset(), SOURCE)


@pytest.mark.slow
def test_a_server_that_goes_silent(make_dataset, faulty_s3):
    """A request without an answer is given up after half a minute, and sent again."""
    made = write_store(f"{faulty_s3.bucket}/a", make_dataset(), SOURCE)
    faulty_s3.add("chunks", 1, seconds=60)
    started = time.monotonic()
    assert made["precipitation"].load().shape == (12, 800)
    assert 25 < time.monotonic() - started < 50


def test_a_server_that_is_not_there(monkeypatch, s3):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"http://127.0.0.1:9 did not answer.*refused"):
        open_store(f"{s3}/a")


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:9000", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none(monkeypatch, s3, address):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(InputError, match=f"^AWS_ENDPOINT_URL={address}: no address; write one such as https"):
        open_store(f"{s3}/a")


def test_an_update_that_fails_half_way_is_not_seen(make_dataset, faulty_s3):
    from thalweg.storage.layout import write_block
    from thalweg.storage.store import store_attributes

    store = f"{faulty_s3.bucket}/a"
    first = write_store(store, make_dataset(), SOURCE).attrs["snapshot"]
    grown = make_dataset(sites=80)
    draft = Repository.open(store).draft("grow")
    draft.prepare(grown.assign_attrs(store_attributes(SOURCE)))
    fork = draft.fork()
    faulty_s3.add("chunks", 1000, method="PUT", status=403, code="AccessDenied")
    with pytest.raises(Exception, match="AccessDenied"):
        write_block(fork, grown)
    opened = open_store(store)
    assert opened.attrs["snapshot"] == first
    xr.testing.assert_equal(opened.load(), make_dataset())
    draft.abandon()
    with pytest.raises(MovedError):
        draft.commit("x", [], {})
