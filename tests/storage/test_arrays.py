"""Arrays for training."""

from datetime import date

import numpy as np
import pytest

from thalweg.storage.arrays import to_arrays
from thalweg.storage.errors import InputError
from thalweg.storage.store import write_store

PERIOD = (date(2000, 2, 28), date(2000, 3, 1))
FORCINGS = ["temperature", "precipitation"]


@pytest.fixture
def dataset(make_dataset):
    return make_dataset()


@pytest.mark.parametrize("stored", [False, True])
def test_shapes_order_and_values(dataset, tmp_path, stored):
    source = write_store(tmp_path / "a.zarr", dataset, {"kind": "x"}) if stored else dataset
    arrays = to_arrays(source, ["s05", "s02"], *PERIOD, FORCINGS, ["slope", "area"], "discharge")
    assert arrays.forcings.shape == (3, 2, 2)
    assert arrays.attributes.shape == (2, 2)
    assert arrays.target.shape == (3, 2)
    assert arrays.dates.astype(str).tolist() == ["2000-02-28", "2000-02-29", "2000-03-01"]
    assert arrays.sites == ("s05", "s02")
    for array in (arrays.forcings, arrays.attributes, arrays.target):
        assert array.dtype == np.float32
    assert arrays.forcings[:, 1, 0].flags["C_CONTIGUOUS"]
    assert arrays.target[:, 1].flags["C_CONTIGUOUS"]
    expected = dataset["precipitation"].sel(site="s02", time="2000-02-29").item()
    assert arrays.forcings[1, 1, 1] == expected
    assert arrays.target[2, 0] == dataset["discharge"].sel(site="s05", time="2000-03-01").item()
    assert arrays.attributes[0, 1] == dataset["area"].sel(site="s05").item()


def test_missing_targets_stay_missing(dataset):
    dataset["discharge"].loc[{"site": "s02", "time": "2000-02-29"}] = np.nan
    arrays = to_arrays(dataset, ["s02"], *PERIOD, FORCINGS, [], "discharge")
    assert np.isnan(arrays.target[:, 0]).tolist() == [False, True, False]
    assert arrays.attributes.shape == (1, 0)


def test_one_day(dataset):
    arrays = to_arrays(dataset, ["s02"], date(2000, 2, 29), date(2000, 2, 29), FORCINGS, [], "discharge")
    assert arrays.forcings.shape == (1, 1, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sites": ["s02", "s2x"]}, "unknown site: 's2x'"),
        ({"sites": []}, "no sites are asked for"),
        ({"forcings": ["temperatur"]}, "unknown forcing: 'temperatur'; did you mean 'temperature'"),
        ({"forcings": ["area"]}, "unknown forcing: 'area'"),
        ({"attributes": ["temperature"]}, "unknown attribute: 'temperature'"),
        ({"target": "flow"}, "unknown target: 'flow'"),
        ({"end": date(2010, 1, 1)}, r"2010-01-01 is outside the store, which has 1999-12-30\.\.2002-03-08"),
        ({"end": date(2000, 1, 1)}, "empty, 2000-02-28 is after 2000-01-01"),
    ],
)
def test_refusals(dataset, changes, message):
    arguments = {
        "sites": ["s02"],
        "start": PERIOD[0],
        "end": PERIOD[1],
        "forcings": FORCINGS,
        "attributes": ["area"],
        "target": "discharge",
    } | changes
    with pytest.raises(InputError, match=message):
        to_arrays(dataset, **arguments)


def test_a_missing_forcing_is_named_by_site_and_day(dataset):
    dataset["temperature"].loc[{"site": "s03", "time": slice("2000-02-29", "2000-03-05")}] = np.nan
    with pytest.raises(InputError, match="'temperature' is missing at site s03 on 2 days, first 2000-02-29"):
        to_arrays(dataset, ["s01", "s03"], *PERIOD, FORCINGS, [], "discharge")
    to_arrays(dataset, ["s01", "s02"], *PERIOD, FORCINGS, [], "discharge")


def test_a_missing_attribute_is_named_by_site(dataset):
    dataset["area"].values[3] = np.nan
    with pytest.raises(InputError, match="attribute 'area' is missing at 1 of 2 sites, first s03"):
        to_arrays(dataset, ["s01", "s03"], *PERIOD, FORCINGS, ["area"], "discharge")
