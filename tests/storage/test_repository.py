"""Repository and drafts: what readers see while others write."""

import pickle

import numpy as np
import pytest
import xarray as xr

from thalweg.storage import layout, versions
from thalweg.storage.draft import HASHES, MovedError
from thalweg.storage.errors import InputError
from thalweg.storage.repository import Repository
from thalweg.storage.snapshot import content_hash, year_hashes
from thalweg.storage.store import open_store, store_attributes, write_store

SOURCE = {"kind": "x"}


def begin(place, dataset, key="k"):
    draft = Repository.create(place).draft(key)
    draft.prepare(dataset.assign_attrs(store_attributes(SOURCE)))
    return draft


def put(draft, block, name=None, note=None):
    fork = pickle.loads(pickle.dumps(draft.fork()))
    layout.write_block(fork, block)
    draft.commit(name or "part", [pickle.loads(pickle.dumps(fork))], note or {}, {HASHES: year_hashes(block)})


def publish(place, dataset, key="k"):
    draft = begin(place, dataset, key)
    put(draft, dataset)
    return draft.publish(f"publish {key}", {})


def test_readers_see_nothing_of_a_draft(make_dataset, tmp_path):
    old, new = make_dataset(sites=3), make_dataset(sites=70, days=900)
    first = publish(tmp_path / "a", old)
    reader = open_store(tmp_path / "a")
    draft = begin(tmp_path / "a", new, "next")
    put(draft, new)
    assert open_store(tmp_path / "a").sizes == old.sizes
    second = draft.publish("next", {"reason": "test"})
    np.testing.assert_array_equal(reader["discharge"].values, old["discharge"].values)
    assert reader.attrs["snapshot"] == first == content_hash(old)
    opened = open_store(tmp_path / "a")
    assert opened.attrs["snapshot"] == second == content_hash(new)
    xr.testing.assert_equal(opened.load(), new)
    assert [version.snapshot for version in versions.log(Repository.open(tmp_path / "a"))] == [second, first]


def test_resumed_after_a_kill(make_dataset, tmp_path):
    dataset = make_dataset(sites=130)
    first, second = dataset.isel(site=slice(0, 64)), dataset.isel(site=slice(64, None))
    draft = begin(tmp_path / "a", dataset)
    put(draft, first, "one", {"sites": 64})
    again = Repository.open(tmp_path / "a").draft("k")
    assert again.done == {"one"}
    assert again.notes["one"] == {"sites": 64}
    again.prepare(dataset.assign_attrs(store_attributes(SOURCE)))
    put(again, second, "two")
    assert again.publish("made", {}) == content_hash(dataset)
    xr.testing.assert_equal(open_store(tmp_path / "a").load(), dataset.sortby("site"))


def test_forks_of_one_state_are_committed_one_by_one(make_dataset, tmp_path):
    dataset = make_dataset(sites=130)
    draft = begin(tmp_path / "a", dataset)
    blocks = [dataset.isel(site=rows) for rows in layout.chunk_rows(130)]
    forks = [draft.fork() for _ in blocks]
    for fork, block in zip(forks, blocks, strict=True):
        layout.write_block(fork, block)
    for number, (fork, block) in enumerate(zip(forks, blocks, strict=True)):
        draft.commit(str(number), [fork], {}, {HASHES: year_hashes(block)})
    assert draft.publish("made", {}) == content_hash(dataset)
    xr.testing.assert_equal(open_store(tmp_path / "a").load(), dataset.sortby("site"))


def test_the_second_of_two_drafts_has_to_plan_again(make_dataset, tmp_path):
    dataset = make_dataset()
    late = begin(tmp_path / "a", dataset, "late")
    put(late, dataset)
    other = dataset.isel(site=slice(0, 5))
    quick = publish(tmp_path / "a", other, "quick")
    with pytest.raises(MovedError, match="another writer published"):
        late.publish("late", {})
    assert open_store(tmp_path / "a").attrs["snapshot"] == quick
    again = Repository.open(tmp_path / "a").draft("late")
    assert again.done == frozenset()
    again.prepare(dataset.assign_attrs(store_attributes(SOURCE)))
    put(again, dataset)
    assert again.publish("late", {}) == content_hash(dataset)


def test_one_draft_written_by_two_processes(make_dataset, tmp_path):
    dataset = make_dataset()
    one, two = begin(tmp_path / "a", dataset), begin(tmp_path / "a", dataset)
    put(one, dataset)
    put(two, dataset)
    one.publish("one", {})
    with pytest.raises(MovedError, match="another process finished"):
        two.publish("two", {})


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_while_publishing(make_dataset, tmp_path, monkeypatch, moment):
    dataset = make_dataset()
    draft = begin(tmp_path / "a", dataset)
    put(draft, dataset, "one")
    with monkeypatch.context() as patched:
        patched.setattr(type(draft), "_move_main", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            draft.publish("made", {})
    repository = Repository.open(tmp_path / "a")
    if moment == "after":  # main has moved, the draft's branch is still there
        repository.raw.reset_branch("main", repository.raw.lookup_branch(draft.branch))
        assert open_store(tmp_path / "a").attrs["snapshot"] == content_hash(dataset)
        assert repository.draft("k").done == frozenset()
    else:
        assert not repository.published
        again = repository.draft("k")
        assert again.done == {"one"}
        assert again.publish("made", {}) == content_hash(dataset)
    assert len(versions.log(repository)) == 1


def test_growing(make_dataset, tmp_path):
    whole = make_dataset(sites=80, days=900)
    publish(tmp_path / "whole", whole)
    pieces = [
        whole.isel(site=slice(10, 70), time=slice(0, 300)),
        whole.isel(site=slice(10, 70), time=slice(0, 700)),
        whole.isel(time=slice(0, 700)),
        whole,
    ]
    for number, piece in enumerate(pieces):
        content = publish(tmp_path / "grown", piece, str(number))
        assert content == content_hash(piece)
    grown = open_store(tmp_path / "grown")
    assert grown.attrs["snapshot"] == open_store(tmp_path / "whole").attrs["snapshot"]
    xr.testing.assert_equal(grown.load(), whole)
    assert Repository.open(tmp_path / "grown").dataset()["site"].values[0] == "s10"


def test_a_shorter_template_drops_nothing(make_dataset, tmp_path):
    whole = make_dataset(sites=5)
    publish(tmp_path / "a", whole)
    with pytest.raises(InputError, match="no day is dropped"):
        begin(tmp_path / "a", whole.isel(time=slice(1, None)), "x")
    with pytest.raises(InputError, match="no day is dropped"):
        begin(tmp_path / "a", whole.isel(time=slice(0, 5)), "y")
    draft = begin(tmp_path / "a", whole.isel(site=[4, 1]), "z")
    assert draft.publish("same sites", {}) == content_hash(whole)


def test_it_can_begin_earlier(make_dataset, tmp_path):
    whole = make_dataset(sites=5)
    publish(tmp_path / "a", whole.isel(time=slice(100, None)))
    assert publish(tmp_path / "a", whole, "x") == content_hash(whole)
    xr.testing.assert_equal(open_store(tmp_path / "a").load(), whole)


def test_write_store_is_published_once(make_dataset, tmp_path):
    write_store(tmp_path / "a", make_dataset(), SOURCE)
    write_store(tmp_path / "a", make_dataset(), SOURCE)
    assert len(versions.log(Repository.open(tmp_path / "a"))) == 1
