"""The hash of a content, from hashes of sites and years."""

import numpy as np
import pytest
import xarray as xr

from thalweg.storage.snapshot import combined_hash, content_hash, year_hashes


def merged(*tables):
    return xr.concat(tables, "site", join="outer", fill_value=np.uint8(0))


def test_the_order_of_sites_variables_and_blocks_does_not_count(make_dataset):
    dataset = make_dataset(sites=6)
    shuffled = dataset.isel(site=[3, 0, 5, 1, 4, 2])[sorted(dataset.data_vars, reverse=True)]
    assert content_hash(shuffled) == content_hash(dataset)
    parts = [dataset.isel(site=rows) for rows in ([4, 5], [0], [3, 1, 2])]
    assert combined_hash(dataset, merged(*map(year_hashes, parts))) == content_hash(dataset)


def test_years_hashed_one_by_one(make_dataset):
    dataset = make_dataset(sites=3)
    years = [year_hashes(part) for _, part in dataset.groupby("time.year")]
    joined = xr.concat(years, "year")
    assert joined.equals(year_hashes(dataset))
    assert joined["year"].values.tolist() == [1999, 2000, 2001, 2002]


def test_a_year_without_values_counts_as_no_year(make_dataset):
    """A site that begins late has the same hashes whether the axis begins before it or with it."""
    dataset = make_dataset(sites=2, days=1200)
    late = dataset.copy(deep=True)
    for name in ("precipitation", "temperature", "discharge"):
        late[name].values[:, :500] = np.nan
    long, short = year_hashes(late), year_hashes(late.isel(time=slice(500, None)))
    assert not long["hash"].sel(year=[1999, 2000]).values.any()
    for year in short["year"].values:
        np.testing.assert_array_equal(long["hash"].sel(year=year), short["hash"].sel(year=year))
    # but the store's days do count
    assert content_hash(late) != content_hash(late.isel(time=slice(500, None)))


def test_a_value_moved_by_a_day_is_another_content(make_dataset):
    dataset = make_dataset(sites=1, days=5)
    for name in ("precipitation", "temperature", "discharge"):
        dataset[name].values[:] = np.nan
    one, two = dataset.copy(deep=True), dataset.copy(deep=True)
    one["discharge"].values[0, 3] = 1.0
    two["discharge"].values[0, 4] = 1.0
    assert content_hash(one) != content_hash(two)
    other = dataset.copy(deep=True)
    other["precipitation"].values[0, 3] = 1.0
    assert content_hash(one) != content_hash(other)


def test_all_kinds_of_nan_are_one(make_dataset):
    one, two = make_dataset(sites=2), make_dataset(sites=2)
    one["discharge"].values[0, 5] = np.nan
    two["discharge"].values[0, 5] = np.array([0xFFC12345], dtype=np.uint32).view(np.float32)[0]
    assert content_hash(one) == content_hash(two)


def test_the_input_is_not_changed(make_dataset):
    dataset = make_dataset(sites=2)
    before = dataset.copy(deep=True)
    content_hash(dataset)
    xr.testing.assert_identical(dataset, before)


def test_known_content():
    """The hash of a format must never change: it stands in manifests."""
    days = np.arange("2000-01-01", "2000-01-04", dtype="datetime64[D]").astype("datetime64[ns]")
    dataset = xr.Dataset(
        {
            "discharge": (
                ("site", "time"),
                np.array([[1, 2, np.nan]], "f4"),
                {"units": "mm/day", "role": "target"},
            ),
            "area": ("site", np.array([3], "f4"), {"units": "km2", "role": "attribute"}),
        },
        coords={"site": np.array(["a"], dtype=object), "time": days},
    )
    assert content_hash(dataset) == ("531f6c586e62d6d0319d8d4e83bc0ed9c765868844e88064fcea3390e3c00d66")


def test_a_site_without_hashes_is_refused(make_dataset):
    dataset = make_dataset(sites=2)
    with pytest.raises(ValueError, match="no hash of site s01"):
        combined_hash(dataset, year_hashes(dataset.isel(site=[0])))
