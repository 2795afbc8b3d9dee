"""Statistics that merge: equal to numpy's of all values, however the values are cut."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.storage import moments
from thalweg.storage.moments import block_statistics, deviation, merge, pool, quantiles

NAMES = ["flow", "temperature"]


def block(seed=0, sites=6, first="1999-12-30", days=900, missing=0.1):
    rng = np.random.default_rng(seed)
    shape = (sites, days)
    values = {"flow": rng.gamma(0.3, 8.0, shape), "temperature": rng.normal(5.0, 10.0, shape)}
    gaps = rng.random(shape) < missing
    return xr.Dataset(
        {name: (("site", "time"), np.where(gaps, np.nan, v).astype("f4")) for name, v in values.items()},
        {"site": [f"s{i:02}" for i in range(sites)], "time": pd.date_range(first, periods=days)},
    )


def of(dataset, name):
    """All known values in float64."""
    values = dataset[name].values.astype(float)
    return values[np.isfinite(values)]


def assert_close(found, expected):
    for name in ("count", "minimum", "maximum", "sketch"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    for name in ("mean", "m2"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-9, err_msg=name)


def test_each_site_and_year_is_what_numpy_gives():
    dataset = block()
    found = block_statistics(dataset)
    assert found["year"].values.tolist() == [1999, 2000, 2001, 2002]
    for year in (1999, 2000, 2002):
        values = dataset["flow"].sel(site="s03", time=str(year)).values.astype(float)
        one = found.sel(variable="flow", site="s03", year=year)
        assert one["count"] == np.isfinite(values).sum() == one["sketch"].sum()
        assert float(one["mean"]) == pytest.approx(np.nanmean(values), rel=1e-13)
        assert float(deviation(one)) == pytest.approx(np.nanstd(values), rel=1e-12)
        assert (float(one["minimum"]), float(one["maximum"])) == (np.nanmin(values), np.nanmax(values))


@pytest.mark.parametrize("over", [("site", "year"), ("site",), ("year",)])
def test_pooled_is_what_numpy_gives(over):
    dataset = block(1)
    pooled = pool(block_statistics(dataset), over)
    for name in NAMES:
        values = dataset[name].astype(float)
        if "year" in over:
            groups = values.stack(all=("site", "time")) if "site" in over else values.rename(time="all")
        else:
            groups = values.sel(time="2000").stack(all=("site", "time"))
        one = pooled.sel(variable=name) if "year" in over else pooled.sel(variable=name, year=2000)
        np.testing.assert_allclose(one["mean"], groups.mean("all"), rtol=1e-12)
        np.testing.assert_allclose(deviation(one), groups.std("all"), rtol=1e-12)


def test_numbers_do_not_depend_on_what_else_is_in_the_block():
    dataset = block(2, sites=40, days=1500)
    whole = block_statistics(dataset)
    for rows, years in ((slice(7, 8), slice("2001", "2001")), (slice(0, 33), slice("2000", "2002"))):
        part = block_statistics(dataset.isel(site=rows).sel(time=years))
        assert part.identical(whole.isel(site=rows).sel(year=part["year"]))
    turned = dataset.isel(site=slice(None, None, -1))
    assert pool(block_statistics(turned)).identical(pool(whole))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    cuts=st.lists(st.integers(1, 899), min_size=2, max_size=2, unique=True).map(sorted),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_merging_is_associative_and_commutative_and_equals_the_whole(seed, cuts, missing):
    dataset = block(seed, sites=2, missing=missing)
    a, b, c = (
        block_statistics(dataset.isel(time=slice(*ends)))
        for ends in ((0, cuts[0]), (cuts[0], cuts[1]), (cuts[1], None))
    )
    assert merge(a, b).identical(merge(b, a))
    assert_close(merge(merge(a, b), c), merge(a, merge(b, c)))
    assert_close(merge(c, a, b), block_statistics(dataset))
    assert_close(pool(merge(c, a, b)), pool(block_statistics(dataset)))


def test_blocks_of_other_sites_and_years_are_only_put_together():
    dataset = block(3, days=366 + 365 + 2, sites=5)
    whole = block_statistics(dataset)
    parts = [
        block_statistics(dataset.isel(site=rows).sel(time=years))
        for rows in (slice(0, 2), slice(2, 5))
        for years in ("1999", slice("2000", "2001"))
    ]
    found = merge(*parts[::-1])
    for name in ("mean", "m2", "minimum", "maximum", "count", "sketch"):
        np.testing.assert_array_equal(found[name], whole[name])


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32, allow_subnormal=False), min_size=1, max_size=300),
    probability=st.floats(0, 1),
)
def test_a_quantile_is_within_the_stated_error(values, probability):
    days = pd.date_range("2001-01-01", periods=len(values))
    data = xr.Dataset({"x": (("site", "time"), np.array([values], "f4"))}, {"site": ["a"], "time": days})
    found = float(quantiles(pool(block_statistics(data)), [probability]).squeeze())
    exact = float(np.sort(np.array(values, "f4"))[int(np.floor(probability * (len(values) - 1)))])
    assert abs(found - exact) <= max(abs(exact) / 16, 0.001)


def test_quantiles_of_many_values_are_much_nearer():
    dataset = block(4, sites=20, days=3650)
    wanted = [0.0, 0.05, 0.5, 0.95, 0.999, 1.0]
    found = quantiles(pool(block_statistics(dataset)), wanted).sel(variable="flow")
    exact = np.quantile(of(dataset, "flow"), wanted, method="lower")
    np.testing.assert_allclose(found[1:], exact[1:], rtol=0.02, atol=0.001)
    assert found[0] == exact[0]
    assert found[-1] == exact[-1]
    one_site = quantiles(pool(block_statistics(dataset), ["year"]), [0.5]).sel(variable="flow", site="s07")
    assert float(one_site.squeeze()) == pytest.approx(
        float(np.nanmedian(dataset["flow"].sel(site="s07"))), rel=0.07
    )


def test_borders():
    nothing = block_statistics(block(missing=1.0, days=400))
    assert int(nothing["count"].sum()) == 0
    assert np.isnan(deviation(nothing)).all()
    assert np.isnan(quantiles(pool(nothing), [0.5])).all()
    one = block_statistics(block(days=1, sites=1, missing=0.0), sketch=False)
    assert "sketch" not in one
    assert float(deviation(one).max()) == 0.0
    empty = block_statistics(block().isel(site=[]))
    assert empty.sizes["site"] == 0
    infinite = block(days=30, missing=0.0)
    infinite["flow"].values[0, 3] = np.inf
    assert int(block_statistics(infinite)["count"].sel(variable="flow", site="s00").sum()) == 29
    with pytest.raises(ValueError, match="from 0 to 1"):
        quantiles(nothing, [50])


def test_large_offsets_lose_nothing():
    """The textbook formula, mean of squares less square of the mean, would give rubbish here."""
    days = pd.date_range("2000-01-01", periods=731)
    values = 1e6 + np.random.default_rng(5).normal(0, 0.5, (3, 731))
    data = xr.Dataset({"pressure": (("site", "time"), values)}, {"site": list("abc"), "time": days})
    found = pool(block_statistics(data))
    assert float(deviation(found).squeeze()) == pytest.approx(values.std(), rel=1e-9)


def test_the_bins_edges_are_where_their_values_go():
    lower, upper = moments._edges()
    inside = np.nextafter(upper, lower).astype("f4")[1:-1]
    middle = ((lower + upper) / 2).astype("f4")
    np.testing.assert_array_equal(moments._bins(middle), np.arange(moments.BINS))
    assert (np.diff(lower) > 0).all()
    assert len(inside) == moments.BINS - 2
