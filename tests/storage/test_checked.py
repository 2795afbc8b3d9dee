"""Damage is said in one line that names the variable and the chunk, wherever it is met."""

import asyncio
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor

import google_crc32c
import numpy as np
import pytest
import xarray as xr
from icechunk import IcechunkStore
from zarr.core.buffer import default_buffer_prototype

from thalweg.flows import cli
from thalweg.storage.draft import HASHES
from thalweg.storage.errors import InputError
from thalweg.storage.repository import Repository
from thalweg.storage.store import ingest, open_store, write_store


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return tmp_path_factory.mktemp("original") / "a"


@pytest.fixture
def store(original, make_dataset, tmp_path):
    """A store of one variable over time, whose largest file is its only chunk."""
    if not original.exists():
        write_store(original, make_dataset(sites=20)[["discharge", "area"]], {"kind": "x"})
    return shutil.copytree(original, tmp_path / "a")


def largest(store, folder):
    return max((store / folder).iterdir(), key=os.path.getsize)


def flipped(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGE = {
    "one bit": flipped,
    "cut off": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "empty": lambda content: b"",
    "gone": None,
}


def hurt(path, damage):
    content = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(damage(content))


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_chunk(store, damage):
    hurt(largest(store, "chunks"), damage)
    opened = open_store(store)
    with pytest.raises(InputError) as error:
        opened["discharge"].load()
    assert f"{store}: chunk 0/0 of discharge is damaged" in str(error.value)
    assert str(error.value).count("\n") == 0
    assert opened["area"].load().notnull().all()


@pytest.mark.parametrize("folder", ["manifests", "snapshots", "refs/branch.main"])
@pytest.mark.parametrize("damage", list(DAMAGE.values())[1:], ids=list(DAMAGE)[1:])
def test_damaged_bookkeeping(store, folder, damage):
    for path in list((store / folder).iterdir()):
        hurt(path, damage)
    with pytest.raises(InputError) as error:
        open_store(store).load()
    assert str(error.value).count("\n") == 0


def test_the_command_line_says_it(store, capsys):
    hurt(largest(store, "refs/branch.main"), flipped)
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "log", str(store)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def ingested(caravan, tmp_path):
    ingest(tmp_path / "ingested", {"kind": "caravan", "path": str(caravan)})
    return tmp_path / "ingested"


@pytest.mark.parametrize("place", ["store", "ingested"])
def test_every_chunk_ends_in_a_checksum(place, request):
    raw = Repository.open(request.getfixturevalue(place)).session().store

    async def chunks():
        keys = [key async for key in raw.list() if "/c/" in key]
        return {key: (await raw.get(key, default_buffer_prototype())).as_numpy_array() for key in keys}

    found = asyncio.run(chunks())
    assert {"site/c/0", "discharge/c/0/0", "area/c/0", "hashes/hash/c/0/0/0"} <= set(found)
    for key, content in found.items():
        checksum = np.uint32(google_crc32c.value(content[:-4])).tobytes()
        assert checksum == content[-4:].tobytes(), key


def test_a_damaged_small_chunk(store, monkeypatch):
    """Small chunks lie within manifests; here one is changed on its way."""
    whole = IcechunkStore.get

    async def get(self, key, *arguments):
        found = await whole(self, key, *arguments)
        return found if key != name else type(found).from_bytes(flipped(found.to_bytes()))

    monkeypatch.setattr(IcechunkStore, "get", get)
    for name, says in (
        ("area/c/0", "chunk 0 of area"),
        ("hashes/hash/c/0/0/0", "chunk 0/0/0 of hashes/hash"),
    ):
        with pytest.raises(InputError, match=f"{store}: {says} is damaged: its checksum"):
            (open_store(store).load() if "area" in name else Repository.open(store).table(HASHES)).close()


def test_an_open_store_goes_to_other_processes(store):
    opened = open_store(store)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(xr.DataArray.load, opened["discharge"]).result()
    np.testing.assert_array_equal(there.values, opened["discharge"].values)
