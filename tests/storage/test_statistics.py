"""Scaling statistics: of the training part, and of nothing else."""

from datetime import date

import numpy as np
import pytest

from thalweg.storage.errors import InputError
from thalweg.storage.moments import block_statistics
from thalweg.storage.splits import Part, make_folds
from thalweg.storage.statistics import Statistics, fit_statistics, site_statistics
from thalweg.storage.store import write_store

FORCINGS, ATTRIBUTES = ["precipitation", "temperature"], ["area", "slope"]


@pytest.fixture
def dataset(make_dataset):
    return make_dataset()


def part(*sites):
    return Part(sites, date(2000, 1, 1), date(2000, 12, 31))


def test_mean_and_deviation_by_hand(dataset):
    chosen = part("s01", "s04")
    statistics = fit_statistics(dataset, chosen, FORCINGS, ATTRIBUTES)
    rain = (
        dataset["precipitation"]
        .sel(site=["s01", "s04"], time=slice("2000-01-01", "2000-12-31"))
        .values.astype(float)
    )
    assert rain.shape == (2, 366)
    assert statistics.mean["precipitation"] == pytest.approx(rain.mean())
    assert statistics.deviation["precipitation"] == pytest.approx(rain.std(ddof=0))
    area = dataset["area"].sel(site=["s01", "s04"]).values.astype(float)
    assert statistics.mean["area"] == pytest.approx(area.mean())
    # the same everywhere: left unscaled rather than divided by zero
    assert statistics.deviation["slope"] == 1.0


@pytest.mark.parametrize("stored", [False, True])
def test_held_out_data_cannot_change_anything(make_dataset, tmp_path, stored):
    """Held-out sites and the held-out period get wild values; every statistic stays bitwise the same."""
    dataset = make_dataset()
    spec = {
        "kind": "ungauged_sites",
        "folds": 3,
        "train": ["2000-01-01", "2000-12-31"],
        "validate_share": 0.2,
    }
    fold = make_folds(dataset, spec, 1)[0]
    before = fit_statistics(dataset, fold.train, FORCINGS, ATTRIBUTES)
    wild = dataset.copy(deep=True)
    out = ~np.isin(dataset["site"].values, fold.train.sites)
    later = dataset["time"].values > np.datetime64("2000-12-31")
    earlier = dataset["time"].values < np.datetime64("2000-01-01")
    for name in (*FORCINGS, "discharge"):
        wild[name].values[out] = 1e6
        wild[name].values[:, later | earlier] = -1e6
        wild[name].values[out, 100] = np.nan
    for name in ATTRIBUTES:
        wild[name].values[out] = -1e9
    if stored:
        wild = write_store(tmp_path / "wild.zarr", wild, {"kind": "x"})
    after = fit_statistics(wild, fold.train, FORCINGS, ATTRIBUTES)
    assert after == before
    assert after.hash == before.hash
    # the same change inside the training part is seen
    wild = dataset.copy(deep=True)
    wild["precipitation"].loc[{"site": fold.train.sites[0], "time": "2000-05-05"}] += 1.0
    assert fit_statistics(wild, fold.train, FORCINGS, ATTRIBUTES).hash != before.hash


def test_the_order_of_sites_does_not_matter(dataset):
    first = fit_statistics(dataset, part("s01", "s04", "s07"), FORCINGS, ATTRIBUTES)
    turned = dataset.isel(site=slice(None, None, -1))
    assert fit_statistics(turned, part("s07", "s01", "s04"), FORCINGS, ATTRIBUTES) == first


def test_missing_values_are_left_out(dataset):
    dataset["precipitation"].values[1, 5:200] = np.nan
    dataset["area"].values[4] = np.nan
    statistics = fit_statistics(dataset, part("s01", "s04"), FORCINGS, ATTRIBUTES)
    assert np.isfinite(list(statistics.mean.values())).all()


def test_json_gives_exactly_the_same_back(dataset):
    statistics = fit_statistics(dataset, part("s01", "s04"), FORCINGS, ATTRIBUTES)
    again = Statistics.from_json(statistics.to_json())
    assert again == statistics
    assert again.hash == statistics.hash
    with pytest.raises(InputError, match="not the JSON of means"):
        Statistics.from_json('{"mean": 1}')


def test_scale(dataset):
    statistics = fit_statistics(dataset, part("s01", "s04"), FORCINGS, ATTRIBUTES)
    values = dataset["temperature"].sel(site=["s01", "s04"], time="2000").values
    scaled = statistics.scale(values[..., None], ["temperature"])
    assert scaled.dtype == np.float32
    assert (scaled.mean(), scaled.std()) == pytest.approx((0.0, 1.0), abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((part("s01", "s99"), FORCINGS, ATTRIBUTES), "unknown site: 's99'"),
        ((part("s01"), ["rain"], ATTRIBUTES), "unknown variable: 'rain'"),
        ((part("s01"), FORCINGS, ["areas"]), "unknown attribute: 'areas'; did you mean 'area'"),
        ((part("s01"), FORCINGS, ["geology"]), "'geology' is text"),
        (
            (Part(("s01",), date(1990, 1, 1), date(2000, 1, 1)), FORCINGS, []),
            "1990-01-01 is outside the store",
        ),
    ],
)
def test_refusals(dataset, arguments, message):
    with pytest.raises(InputError, match=message):
        fit_statistics(dataset, *arguments)


def test_nothing_to_fit(dataset):
    dataset["temperature"].values[1] = np.nan
    with pytest.raises(InputError, match="'temperature': no value at the training sites"):
        fit_statistics(dataset, part("s01"), FORCINGS, [])


PERIODS = [
    (date(2000, 1, 1), date(2000, 12, 31)),
    (date(2000, 10, 1), date(2002, 3, 4)),
    (date(2000, 3, 1), date(2000, 5, 1)),
    (date(1999, 12, 30), date(2002, 3, 8)),
]


@pytest.mark.parametrize("period", PERIODS)
def test_stored_years_and_the_days_at_both_ends_give_the_same_bits(dataset, period):
    chosen = Part(("s04", "s01", "s07"), *period)
    stored = block_statistics(dataset)
    read = fit_statistics(dataset, chosen, FORCINGS, ATTRIBUTES)
    assert fit_statistics(dataset, chosen, FORCINGS, ATTRIBUTES, stored) == read
    some = stored.sel(year=[2001])  # a store whose later years are being ingested
    assert fit_statistics(dataset, chosen, FORCINGS, ATTRIBUTES, some) == read
    values = dataset["temperature"].sel(site=list(chosen.sites), time=slice(*map(str, period)))
    assert read.mean["temperature"] == pytest.approx(float(values.astype(float).mean()), rel=1e-12)
    assert read.deviation["temperature"] == pytest.approx(float(values.astype(float).std()), rel=1e-12)


def test_whole_years_are_not_read_again(dataset):
    chosen, stored = Part(("s01", "s04"), date(2000, 1, 1), date(2001, 12, 31)), block_statistics(dataset)
    expected = fit_statistics(dataset, chosen, FORCINGS, ATTRIBUTES)
    for name in FORCINGS:
        dataset[name].values[:] = 1e9
    assert fit_statistics(dataset, chosen, FORCINGS, ATTRIBUTES, stored) == expected


def test_each_site_over_some_days(dataset):
    found = site_statistics(dataset, ["s07", "s01"], date(2000, 2, 1), date(2001, 4, 1), ["discharge"])
    values = dataset["discharge"].sel(site=["s01", "s07"], time=slice("2000-02-01", "2001-04-01"))
    assert found["site"].values.tolist() == ["s07", "s01"]
    found = found.sel(site=["s01", "s07"])
    np.testing.assert_allclose(found["mean"].squeeze(), values.astype(float).mean("time"), rtol=1e-12)
    np.testing.assert_array_equal(found["maximum"].squeeze(), values.max("time"))
