"""Scores of fields against scores and xskillscore, tiles that add up, and a globe whose areas are known."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import xskillscore
from hypothesis import given, settings
from hypothesis import strategies as st
from scores import continuous
from scores.functions import create_latitude_weights

from thalweg.evaluation import gridded as module
from thalweg.evaluation.gridded import GridSums, bias_map, cell_areas, gridded_skill
from thalweg.storage.errors import InputError

SPACE = ["latitude", "longitude"]


def fields(seed: int = 0, times: int = 6) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Simulated and observed fields, with an ocean, and their climatology (K)."""
    generator = np.random.default_rng(seed)
    coords = {
        "time": pd.date_range("2000-01-01", periods=times),
        "latitude": np.arange(-87.5, 90, 5.0),
        "longitude": np.arange(0, 360, 20.0),
    }
    usual = xr.DataArray(
        280 + 20 * np.cos(np.deg2rad(coords["latitude"])), {"latitude": coords["latitude"]}, ("latitude",)
    )
    anomaly = xr.DataArray(generator.normal(0, 3, (times, 36, 18)), coords, ("time", *SPACE))
    observed = (usual + anomaly).transpose("time", ...).assign_attrs(units="K")
    simulated = observed + generator.normal(0.5, 2, anomaly.shape)
    ocean = (observed["longitude"] > 200) & (observed["latitude"] < 0)
    return simulated, observed.where(~ocean), usual


def test_area_weighted_errors_against_other_programs() -> None:
    simulated, observed, _ = fields()
    weights = create_latitude_weights(observed["latitude"])
    found = GridSums.of(simulated, observed)
    given_weights = {"weights": weights.broadcast_like(observed[0]), "skipna": True}
    for name, one, other in (
        ("rmse", continuous.rmse, xskillscore.rmse),
        ("mae", continuous.mae, xskillscore.mae),
        ("bias", continuous.additive_bias, xskillscore.me),
    ):
        values = getattr(found, name)()
        assert values.dims == ("time",)
        assert values.attrs["units"] == "K"
        first = one(simulated, observed, reduce_dims=SPACE, weights=weights)
        second = other(simulated, observed, SPACE, **given_weights)
        # cos φ and the true area of a cell differ by the same factor at all latitudes
        np.testing.assert_allclose(values, first, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(values, second, rtol=1e-9, err_msg=name)


def test_anomaly_correlation_against_xskillscore_and_by_hand() -> None:
    simulated, observed, usual = fields()
    weights = create_latitude_weights(observed["latitude"]).broadcast_like(observed[0])
    sums = GridSums.of(simulated, observed, climatology=usual)
    pearson = xskillscore.pearson_r(simulated - usual, observed - usual, SPACE, weights=weights, skipna=True)
    np.testing.assert_allclose(sums.acc(centred=True), pearson, rtol=1e-9)
    s, o = simulated - usual, observed - usual
    there = weights.where(observed.notnull())
    plain = (there * s * o).sum(SPACE) / np.sqrt((there * s**2).sum(SPACE) * (there * o**2).sum(SPACE))
    np.testing.assert_allclose(sums.acc(), plain, rtol=1e-9)
    assert (sums.acc() < sums.acc(centred=True)).all(), (
        "a bias of 0.5 K costs correlation where not taken off"
    )
    assert (GridSums.of(simulated, observed).acc() > 0.999).all(), (
        "without climatology all of Kelvin is anomaly"
    )


def test_maps_over_time() -> None:
    simulated, observed, _ = fields()
    found = bias_map(simulated, observed)
    assert found.dims == ("latitude", "longitude")
    np.testing.assert_allclose(found, (simulated - observed).mean("time"), rtol=1e-9, atol=1e-12)
    assert found.isnull().sum() == observed[0].isnull().sum()
    rmse = GridSums.of(simulated, observed, ("time",)).rmse()
    np.testing.assert_allclose(rmse, np.sqrt(((simulated - observed) ** 2).mean("time")), rtol=1e-9)


def test_all_together_and_missing_simulations() -> None:
    simulated, observed, usual = fields()
    table = gridded_skill(simulated, observed, usual)
    assert table["rmse"].dims == ()
    assert table["rmse_time"].dims == ("time",)
    assert table["acc_map"].dims == ("latitude", "longitude")
    np.testing.assert_allclose(table["rmse"] ** 2, (table["rmse_time"] ** 2).mean(), rtol=1e-9)
    simulated[2, 0, 0] = np.nan
    simulated[3, 0, 17] = np.nan
    assert np.isnan(observed[3, 0, 17])
    rmse = GridSums.of(simulated, observed).rmse()
    assert rmse.isnull().values.tolist() == [False, False, True, False, False, False]


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 36), max_size=5),
    dim=st.sampled_from(["latitude", "time"]),
    seed=st.integers(0, 99),
    rows=st.integers(50, 5000),
)
def test_tiles_and_parts_of_the_record_add_up_to_the_last_bit(
    cuts: list[int], dim: str, seed: int, rows: int
) -> None:
    simulated, observed, usual = fields(seed)
    over = ("time", *SPACE)
    weights = cell_areas(observed["latitude"])
    whole = GridSums.of(simulated, observed, over, climatology=usual, weights=weights).scores()
    edges = sorted({0, *(min(cut, observed.sizes[dim]) for cut in cuts), observed.sizes[dim]})
    parts = []
    for first, last in pairwise(edges):
        part = {dim: slice(first, last)}
        cut = [
            array.isel(part) if dim in array.dims else array
            for array in (simulated, observed, usual, weights)
        ]
        parts.append(GridSums.of(cut[0], cut[1], over, climatology=cut[2], weights=cut[3]))
    xr.testing.assert_identical(reduce(add, parts).scores(), whole)
    before = module._CELLS_AT_ONCE
    module._CELLS_AT_ONCE = rows
    try:
        pieces = GridSums.of(simulated, observed, climatology=usual).scores()
    finally:
        module._CELLS_AT_ONCE = before
    xr.testing.assert_identical(pieces, GridSums.of(simulated, observed, climatology=usual).scores())


def test_areas_of_a_globe() -> None:
    latitude = xr.DataArray(np.arange(-90, 91, 30.0), dims="latitude")
    area = cell_areas(latitude)
    bounds = np.sin(np.deg2rad([-90, -75, -45, -15, 15, 45, 75, 90]))
    np.testing.assert_allclose(area, np.diff(bounds) / 2 * 7, rtol=1e-12)
    assert float(area[0]) > 0, "cos φ would leave the pole out"
    np.testing.assert_allclose(cell_areas(latitude[::-1]), area[::-1])
    # the mean of sin² φ over a sphere is 1/3
    fine = xr.DataArray(np.arange(-89.5, 90), {"latitude": np.arange(-89.5, 90)}, ("latitude",))
    zero = xr.zeros_like(fine)
    assert float(GridSums.of(np.sin(np.deg2rad(fine)), zero, ("latitude",)).rmse() ** 2) == pytest.approx(
        1 / 3, rel=1e-4
    )
    assert cell_areas(latitude[:1]).values.tolist() == [1.0]


def test_what_does_not_fit_is_refused() -> None:
    simulated, observed, usual = fields()
    for arrays, over, match in (
        ((simulated.isel(latitude=slice(1, None)), observed), SPACE, "differ along latitude"),
        (
            (simulated.assign_coords(longitude=simulated["longitude"] - 180), observed),
            SPACE,
            "differ along longitude",
        ),
        ((simulated[0], observed), SPACE, "simulated has dimensions"),
        ((simulated, observed), ["level"], "over \\['level'\\]"),
        ((simulated, observed), [], "over \\[\\]"),
    ):
        with pytest.raises(InputError, match=match):
            GridSums.of(*arrays, over)
    with pytest.raises(InputError, match="climatology has dimensions"):
        GridSums.of(simulated, observed, climatology=usual.expand_dims(month=12))
    with pytest.raises(InputError, match="do not add up"):
        GridSums.of(simulated, observed) + GridSums.of(simulated[:2], observed[:2])
    for wrong in ([0.0, 0.0], [0.0, 95.0], [0.0, 10.0, 5.0]):
        with pytest.raises(InputError, match="latitude: centres"):
            cell_areas(xr.DataArray(wrong, dims="latitude"))


def test_constant_anomalies_have_no_correlation() -> None:
    simulated, observed, _ = fields()
    flat = xr.full_like(observed, 280.0)
    assert GridSums.of(simulated, flat, climatology=xr.DataArray(280.0)).acc().isnull().all()
    assert GridSums.of(simulated, flat).acc(centred=True).isnull().all()
    assert GridSums.of(simulated, flat).rmse().notnull().all()
