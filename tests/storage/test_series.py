"""Series are read as zarr-python reads them, whatever is asked for and from wherever."""

from __future__ import annotations

import asyncio
import pickle

import numpy as np
import pytest
import xarray as xr

from thalweg.storage import layout
from thalweg.storage.repository import Repository
from thalweg.storage.store import open_store, write_store

ANY = np.random.default_rng(0)
KEYS = {
    "all": (slice(None), slice(None)),
    "one value": (3, 250),
    "one site": (3, slice(None)),
    "one day": (slice(None), -1),
    "none": (slice(2, 2), slice(None)),
    "within chunks": (slice(1, 5), slice(90, 205)),
    "backwards, with steps": (slice(None, None, -2), slice(380, 20, -7)),
    "any sites, some twice": (ANY.integers(0, 9, 20), slice(50, 300)),
    "any sites and days": (ANY.integers(0, 9, 20), ANY.integers(0, 400, 30)),
    "marked": (ANY.random(9) < 0.5, ANY.random(400) < 0.5),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of nine sites and 400 days in chunks of 4 sites and 100 days; one chunk was never written."""
    values = ANY.normal(size=(9, 400)).astype(np.float32)
    values[4:8, 100:200] = np.nan
    days = np.arange("2000-01-01", "2001-02-04", dtype="datetime64[D]").astype("datetime64[ns]")
    where = {"latitude": ("site", np.zeros(9)), "longitude": ("site", np.zeros(9))}
    dataset = xr.Dataset(
        {
            "discharge": (("site", "time"), values, {"units": "mm/day"}),
            "precipitation": (("site", "time"), np.abs(values), {"units": "mm/day"}),
        },
        {"site": [f"s{number}" for number in range(9)], "time": days, **where},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_SITES", 4)
        patch.setattr(layout, "CHUNK_DAYS", 100)
        place = tmp_path_factory.mktemp("series") / "a"
        write_store(place, dataset, {"kind": "x"})
    return place, values


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_what_is_asked_for(store, key):
    place, values = store
    rows, days = (np.arange(size)[each] for size, each in zip(values.shape, key, strict=True))
    expected = values[np.ix_(np.atleast_1d(rows), np.atleast_1d(days))]
    found = open_store(place)["discharge"][key].values
    assert found.shape == rows.shape + days.shape
    np.testing.assert_array_equal(found, expected.reshape(found.shape))


def test_points(store):
    place, values = store
    rows, days = (xr.DataArray(ANY.integers(0, size, 30), dims="point") for size in values.shape)
    found = open_store(place)["discharge"].isel(site=rows, time=days)
    np.testing.assert_array_equal(found.values, values[rows.values, days.values])


def test_the_general_reader_reads_the_same(store):
    place, _ = store
    general = xr.open_zarr(Repository.open(place).store(), consolidated=False, chunks=None)
    for name in ("discharge", "precipitation"):
        np.testing.assert_array_equal(open_store(place)[name].values, general[name].values)


def test_where_an_event_loop_runs(store):
    place, values = store

    async def read():
        return open_store(place)["discharge"].values

    np.testing.assert_array_equal(asyncio.run(read()), values)


def test_it_can_be_sent_to_another_process(store):
    place, values = store
    sent = pickle.loads(pickle.dumps(open_store(place)["discharge"]))
    np.testing.assert_array_equal(sent.values, values)
