"""Parameters as maps, their responses to attributes, and whether seeds agree on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.evaluation.interpretation.identifiability import identifiability, intraclass_correlation
from thalweg.evaluation.interpretation.parameter_maps import (
    attribute_response,
    binned_response,
    parameter_table,
)

SITES = [f"s{number:02d}" for number in range(40)]


def parameters(**variables: object) -> xr.Dataset:
    coords = {"site": SITES, "latitude": ("site", np.linspace(30, 50, 40)), "region": ("site", ["A"] * 40)}
    return xr.Dataset(variables, coords)


def table(values: np.ndarray, seed: int | None = None) -> pd.DataFrame:
    found = parameter_table(parameters(capacity=("site", values, {"units": "mm"})), {"capacity": (0.0, 10.0)})
    return found if seed is None else found.assign(seed=seed)


def test_a_row_a_site_and_parameter() -> None:
    time = pd.date_range("2000-01-01", periods=4)
    moving = np.tile([1.0, 3.0, 1.0, 3.0], (40, 1))
    dataset = parameters(
        capacity=(("site", "component"), np.tile([2.0, 4.0], (40, 1)), {"units": "mm"}),
        exponent=(("site", "time"), moving, {"units": "1"}),
        timescale=("site", np.arange(40.0)),
    ).assign_coords(time=time)
    found = parameter_table(dataset, {"capacity": (0.0, 10.0)}).groupby("parameter").first()
    assert found.loc["capacity", ["value", "place", "components"]].tolist() == [3.0, 0.3, 1.0]
    assert found.loc["exponent", ["value", "time"]].tolist() == [2.0, 1.0]
    assert np.isnan(found.loc["timescale", ["place", "components", "time"]].astype(float)).all()
    assert found.loc["capacity", ["latitude", "region", "units"]].tolist() == [30.0, "A", "mm"]


def test_components_count_by_their_weight() -> None:
    weight = np.tile([0.75, 0.25], (40, 1))
    dataset = parameters(
        capacity=(("site", "component"), np.tile([2.0, 6.0], (40, 1))),
        component_weight=(("site", "component"), weight),
    )
    found = parameter_table(dataset)
    assert set(found["parameter"]) == {"capacity"}
    assert found["value"].unique().tolist() == [3.0]
    np.testing.assert_allclose(found["components"], np.sqrt(0.75 * 1 + 0.25 * 9))


def test_responses_by_rank_and_in_bins_with_chance_corrected_for() -> None:
    random = np.random.default_rng(0)
    slope = random.random(40)
    noise = pd.DataFrame(random.random((40, 60)), SITES, [f"noise{n}" for n in range(60)])
    attributes = noise.assign(slope=slope, flat=1.0)
    found = attribute_response(table(np.exp(5 * slope)), attributes).set_index("attribute")
    assert found.loc["slope", "correlation"] == pytest.approx(1.0)
    assert np.isnan(found.loc["flat", "correlation"])
    noisy = found.drop(["slope", "flat"])
    assert (noisy["p_value"] < 0.05).any(), "some correlate by chance"
    assert not (noisy["q_value"] < 0.05).any(), "and the correction knows"
    bins = binned_response(table(slope), attributes[["slope", "flat"]], bins=4)
    steep = bins[bins["attribute"] == "slope"]
    assert (len(steep), steep["sites"].sum()) == (4, 40)
    assert steep["median"].is_monotonic_increasing
    assert len(bins[bins["attribute"] == "flat"]) == 1


def test_few_sites_have_no_correlation() -> None:
    few = table(np.arange(40.0)).head(4)
    found = attribute_response(few, pd.DataFrame({"slope": np.arange(4.0)}, SITES[:4]))
    assert found[["correlation", "q_value"]].isna().all(axis=None)


def test_icc_of_a_textbook_example() -> None:
    """Shrout and Fleiss (1979), table 2: four judges of six targets; ICC(1,1) = 0.17."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert intraclass_correlation(np.array(ratings, dtype=float)) == pytest.approx(0.166, abs=5e-4)


def test_verdicts() -> None:
    random = np.random.default_rng(1)
    truth = 1 + 8 * random.random(40)

    def verdict(values: list[np.ndarray]) -> pd.Series:
        return identifiability(pd.concat([table(v, seed) for seed, v in enumerate(values)])).iloc[0]

    same = verdict([truth + 0.2 * random.standard_normal(40) for _ in range(4)])
    assert (same["verdict"], same["seeds"], same["sites"]) == ("identified", 4, 40)
    assert same["icc"] > 0.98
    assert same["agreement"] > 0.95
    assert same["contraction"] > 0.99
    assert same["seed_spread"] == pytest.approx(0.02, rel=0.2)
    other = verdict([10 * random.random(40) for _ in range(4)])
    assert other["verdict"] == "not identified"
    assert other["contraction"] == pytest.approx(0.0, abs=0.15), "as wide as the range itself"
    assert verdict([np.full(40, 5.0) for _ in range(3)])["verdict"] == "same everywhere"
    assert verdict([truth])["verdict"] == "unknown"


def test_sites_that_not_all_seeds_have_are_left_out() -> None:
    both = pd.concat([table(np.arange(40.0), 0), table(np.arange(40.0), 1).head(30)])
    assert identifiability(both)["sites"].tolist() == [30]
