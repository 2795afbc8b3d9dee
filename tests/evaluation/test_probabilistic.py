"""Probabilistic scores: against scores and xskillscore, split over days, and what cannot be said."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pandas as pd
import pytest
import scores.continuous
import scores.probability
import xarray as xr
import xskillscore
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from thalweg.evaluation.uncertainty import probabilistic as module
from thalweg.evaluation.uncertainty.forecasts import Distribution, Ensemble, Quantiles
from thalweg.evaluation.uncertainty.probabilistic import exceedance_probability, pool, probabilistic_skill
from thalweg.evaluation.uncertainty.score_sums import BINS, SCORES, ScoreSums
from thalweg.storage.errors import InputError

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


def rivers(sites: int = 3, days: int = 400, seed: int = 0) -> xr.DataArray:
    """Skewed discharge (mm/day) with gaps and dry days."""
    generator = np.random.default_rng(seed)
    coords = {
        "site": [f"river_{k}" for k in range(sites)],
        "time": pd.date_range("2000-10-01", periods=days),
        "region": ("site", ["north"] * sites),
    }
    flow = np.maximum(generator.lognormal(0, 1, (sites, days)) - 0.2, 0.0)
    flow[generator.random((sites, days)) < 0.1] = np.nan
    return xr.DataArray(flow, coords, ("site", "time"))


def members(observed: xr.DataArray, count: int = 20, seed: int = 1) -> xr.DataArray:
    generator = np.random.default_rng(seed)
    values = np.maximum(generator.lognormal(0, 1, (count, *observed.shape)) - 0.2, 0.0)
    return xr.DataArray(values, observed.coords, ("member", "site", "time"))


def quantiles(observed: xr.DataArray) -> xr.DataArray:
    return members(observed, 60).quantile(LEVELS, "member").rename(quantile="quantile")


def distributions(observed: xr.DataArray, skewed: bool = False, components: int = 2) -> xr.Dataset:
    generator = np.random.default_rng(2)
    shape = (components, *observed.shape)

    def variable(values: np.ndarray) -> xr.DataArray:
        return xr.DataArray(values, observed.coords, ("component", "site", "time"))

    forecast = xr.Dataset(
        {
            "weight": variable(np.full(shape, 1.0 / components)),
            "location": variable(generator.normal(1.0, 0.5, shape)),
            "scale": variable(generator.lognormal(-0.5, 0.3, shape)),
        },
        attrs={"floor": 0.0},
    )
    return forecast.assign(asymmetry=variable(generator.uniform(0.2, 0.5, shape))) if skewed else forecast


FORECASTS = {
    "members": members,
    "quantiles": quantiles,
    "normal": distributions,
    "cmal": lambda observed: distributions(observed, skewed=True),
}


@pytest.mark.parametrize("fair", [True, False])
def test_crps_of_members_is_that_of_scores_and_xskillscore(fair: bool) -> None:
    observed = rivers()
    forecast = members(observed)
    table = probabilistic_skill(forecast, observed, fair=fair)
    method = "fair" if fair else "ecdf"
    reference = scores.probability.crps_for_ensemble(
        forecast, observed, "member", method=method, preserve_dims="site"
    )
    np.testing.assert_allclose(table["crps"], reference, rtol=1e-12)
    if not fair:
        other = xskillscore.crps_ensemble(observed, forecast, dim=[]).mean("time")
        np.testing.assert_allclose(table["crps"], other, rtol=1e-12)


def test_crps_of_a_normal_distribution_is_that_of_xskillscore() -> None:
    observed = rivers()
    forecast = distributions(observed, components=1)
    forecast.attrs = {}
    one = forecast.isel(component=0)
    table = probabilistic_skill(forecast, observed)
    reference = xskillscore.crps_gaussian(observed, one["location"], one["scale"], dim=[]).mean("time")
    np.testing.assert_allclose(table["crps"], reference, rtol=1e-12)
    density = -stats.norm.logpdf(observed, one["location"], one["scale"])
    np.testing.assert_allclose(table["log_score"], np.nanmean(density, axis=1), rtol=1e-12)
    assert "weight" not in forecast.drop_vars("weight")
    xr.testing.assert_equal(probabilistic_skill(forecast.drop_vars("weight"), observed), table)


def test_pinball_and_interval_scores_are_those_of_scores() -> None:
    observed = rivers()
    forecast = quantiles(observed)
    table = probabilistic_skill(forecast, observed, levels=(0.5, 0.9))
    edges = np.concatenate([[0.0], (LEVELS[1:] + LEVELS[:-1]) / 2, [1.0]])
    losses = [
        scores.continuous.quantile_score(forecast.sel(quantile=k), observed, k, preserve_dims=["site"])
        for k in LEVELS
    ]
    np.testing.assert_allclose(table["crps"], 2 * np.diff(edges) @ np.stack(losses), rtol=1e-12)
    for level, low, high in ((0.5, 0.25, 0.75), (0.9, 0.05, 0.95)):
        bounds = forecast.sel(quantile=low, drop=True), forecast.sel(quantile=high, drop=True)
        reference = scores.continuous.interval_score(*bounds, observed, level, preserve_dims=["site"])
        name = f"{100 * level:g}"
        np.testing.assert_allclose(table[f"winkler_{name}"], reference["total"], rtol=1e-12)
        width = (bounds[1] - bounds[0]).where(observed.notnull()).mean("time")
        np.testing.assert_allclose(table[f"width_{name}"], width, rtol=1e-12)
        held = ((observed >= bounds[0]) & (observed <= bounds[1])).where(observed.notnull()).mean("time")
        np.testing.assert_allclose(table[f"coverage_{name}"], held, rtol=1e-12)
        assert table[f"coverage_{name}"].attrs["perfect"] == level


@pytest.mark.parametrize("kind", sorted(FORECASTS))
def test_the_pit_histogram_is_that_of_scores(kind: str) -> None:
    observed = rivers(sites=1, days=800)
    forecast = FORECASTS[kind](observed)
    table = probabilistic_skill(forecast, observed)
    along = module._checked(forecast, observed)
    truth = observed.transpose("site", "time").values
    below, upto = module._forecast(forecast, along, True).pit(np.where(np.isnan(truth), 0.0, truth))
    limits = [xr.DataArray(part, dims=("site", "time")).where(~np.isnan(truth)) for part in (upto, below)]
    reference = scores.probability.PitFcstAtObs(limits[0], fcst_at_obs_left=limits[1], preserve_dims="site")
    np.testing.assert_allclose(table["pit"], reference.hist_values(BINS), atol=1e-9)
    assert float(table["pit"].sum()) == pytest.approx(1.0)
    alpha = 1.0 - 2.0 * float(reference.alpha_score()[0])
    assert float(table["pit_reliability"][0]) == pytest.approx(alpha, abs=0.02)


def test_ranks_of_members_are_those_of_xskillscore() -> None:
    observed = rivers(sites=1, days=900).fillna(1.0) + 0.01
    forecast = members(observed, 19) + 1e-6 * np.arange(19)[:, None, None]
    table = probabilistic_skill(forecast, observed)
    reference = xskillscore.rank_histogram(observed, forecast, dim="time")
    np.testing.assert_allclose(table["pit"] * 900, reference, atol=1e-8)


@pytest.mark.parametrize("kind", sorted(FORECASTS))
def test_the_truth_is_reliable_and_other_forecasts_score_worse(kind: str) -> None:
    generator = np.random.default_rng(0)
    mean = generator.normal(5, 2, (2, 4000))
    observed = xr.DataArray(mean + generator.normal(size=mean.shape), dims=("site", "time"))

    def forecast(shift: float, spread: float) -> xr.DataArray | xr.Dataset:
        centre = mean + shift
        if kind == "members":
            drawn = centre + spread * np.random.default_rng(3).normal(size=(40, *mean.shape))
            return xr.DataArray(drawn, dims=("member", "site", "time"))
        if kind == "quantiles":
            values = centre + spread * stats.norm.ppf(LEVELS)[:, None, None]
            return xr.DataArray(values, {"quantile": LEVELS}, ("quantile", "site", "time"))
        dims = ("component", "site", "time")
        if kind == "normal":
            return xr.Dataset(
                {"location": (dims, centre[None]), "scale": (dims, np.full((1, *mean.shape), spread))}
            )
        # a symmetric Laplace distribution is not the truth, but as wide
        part = {"location": centre[None], "scale": np.full((1, *mean.shape), spread / 8**0.5)}
        return xr.Dataset({n: (dims, v) for n, v in (part | {"asymmetry": 0.5 + 0 * centre[None]}).items()})

    true = probabilistic_skill(forecast(0.0, 1.0), observed)
    for shift, spread in ((0.5, 1.0), (0.0, 2.0), (0.0, 0.5)):
        worse = probabilistic_skill(forecast(shift, spread), observed)
        for name in ("crps", "winkler_90", "log_score"):
            if name in true:
                assert bool((worse[name] > true[name]).all()), (name, shift, spread)
        assert bool((worse["pit_reliability"] < true["pit_reliability"]).all())
    if kind != "cmal":
        np.testing.assert_allclose(true["coverage_90"], 0.9, atol=0.02)
        np.testing.assert_allclose(true["pit"], 1 / BINS, atol=0.12 if kind == "quantiles" else 0.02)
    if kind in ("members", "normal"):
        np.testing.assert_allclose(true["spread_skill"], 1.0, atol=0.03)
        # the CRPS of a normal distribution as its own forecast is its deviation over √π; the climate's is √5
        np.testing.assert_allclose(true["crps"], 1 / np.pi**0.5, atol=0.02)
        np.testing.assert_allclose(true["crpss"], 1 - 1 / 5**0.5, atol=0.02)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=6), seed=st.integers(0, 100), shuffled=st.booleans())
@pytest.mark.parametrize("kind", sorted(FORECASTS))
def test_any_split_over_time_gives_the_same_numbers_to_the_last_bit(
    kind: str, cuts: list[int], seed: int, shuffled: bool
) -> None:
    observed = rivers(sites=2, days=300, seed=seed)
    forecast = FORECASTS[kind](observed)
    along = module._checked(forecast, observed)

    def sums(days: slice) -> ScoreSums:
        some = observed.isel(time=days).transpose("site", "time").values
        return ScoreSums.of(module._forecast(forecast.isel(time=days), along, True), some)

    whole = sums(slice(None)).scores()
    parts = [sums(slice(a, b)) for a, b in pairwise([0, *sorted(cuts), 300]) if a < b]
    if shuffled:
        np.random.default_rng(seed).shuffle(parts)  # type: ignore[arg-type]
    merged = reduce(add, parts).scores()
    assert merged.keys() == whole.keys()
    for name, values in whole.items():
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(merged[name], values, err_msg=name)


def test_sites_are_worked_on_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    observed = rivers(sites=5)
    for kind, make in FORECASTS.items():
        forecast = make(observed)
        whole = probabilistic_skill(forecast, observed)
        monkeypatch.setattr(module, "VALUES_AT_ONCE", 10_000)
        xr.testing.assert_equal(probabilistic_skill(forecast, observed), whole)
        monkeypatch.undo()
        assert whole["region"].values.tolist() == ["north"] * 5, kind
        assert whole["n_days"].values.tolist() == observed.notnull().sum("time").values.tolist()


def test_what_a_kind_cannot_say_is_left_out() -> None:
    observed = rivers()
    full = set(probabilistic_skill(distributions(observed), observed))
    levels = {f"{name}_{level}" for name in ("coverage", "width", "winkler") for level in (50, 90)}
    assert full == (set(SCORES) - {"coverage", "width", "winkler"}) | levels | {"pit", "n_days"}
    some = set(probabilistic_skill(members(observed, 18), observed))
    assert full - some == {"log_score", "coverage_90", "width_90", "winkler_90"}, "18 members reach no 90 %"
    assert "coverage_90" in probabilistic_skill(members(observed, 19), observed)
    assert full - set(probabilistic_skill(quantiles(observed), observed)) == {
        "log_score", "spread", "error", "spread_skill"
    }  # fmt: skip
    narrow = quantiles(observed).isel(quantile=[1, 2, 3])
    assert "coverage_90" not in probabilistic_skill(narrow, observed)
    between = probabilistic_skill(quantiles(observed), observed, levels=(0.7,))
    low, high = (quantiles(observed).interp(quantile=level, method="linear") for level in (0.15, 0.85))
    np.testing.assert_allclose(between["width_70"], (high - low).where(observed.notnull()).mean("time"))


def test_nothing_infinite_and_nothing_from_a_broken_forecast() -> None:
    observed = rivers(sites=4)
    observed[1, :380] = np.nan
    observed[2] = 0.0
    for kind, make in FORECASTS.items():
        forecast = make(rivers(sites=4))
        broken = forecast.where(
            ~((forecast["site"] == "river_0") & (forecast["time"] == observed["time"][7]))
        )
        observed[0, 7] = 1.0
        table = probabilistic_skill(broken, observed)
        for name in set(table) - {"n_days"}:
            assert not np.isinf(table[name]).any(), (kind, name)
            assert np.isnan(table[name][:2]).all(), (kind, name)
        assert np.isnan(table["crpss"][2]), "no skill over a climate that is always dry"
        assert np.isfinite(table["crps"][2:]).all()
        assert np.isfinite(table["crpss"][3])


def test_dry_days_are_spread_over_what_was_forecast_for_them() -> None:
    dry = np.zeros((1, 40))
    forecast = Distribution.of(
        "normal", np.ones((1, 1, 40)), [np.zeros((1, 1, 40)), np.ones((1, 1, 40))], 0.0
    )
    below, upto = forecast.pit(dry)
    assert (below == 0.0).all()
    np.testing.assert_allclose(upto, 0.5)
    pit = ScoreSums.of(forecast, dry).scores()["pit"][0]
    np.testing.assert_allclose(pit, [0.1] * 10 + [0.0] * 10, atol=1e-12)
    same = Quantiles(LEVELS, np.concatenate([np.zeros((3, 1, 40)), np.ones((2, 1, 40))]))
    assert [float(part[0, 0]) for part in same.pit(dry)] == [0.0, 0.5]
    assert [float(part[0, 0]) for part in same.pit(dry + 1.0)] == [0.75, 0.95]
    assert [float(part[0, 0]) for part in same.pit(dry + 2.0)] == [0.95, 1.0]
    assert [float(part[0, 0]) for part in same.pit(dry + 0.2)] == pytest.approx([0.55, 0.55])
    tied = Ensemble(np.concatenate([np.zeros((3, 1, 40)), np.ones((1, 1, 40))]))
    assert [float(part[0, 0]) for part in tied.pit(dry)] == [0.0, 0.8]


def test_pooling_two_seeds_is_the_mixture_of_both() -> None:
    observed = rivers()
    one, two = distributions(observed, components=1), distributions(observed, components=1)
    two["location"] = two["location"] + 1.0
    both = pool([one, two.drop_vars("weight")])
    assert both.sizes["component"] == 2
    assert both.attrs == {"floor": 0.0}
    np.testing.assert_array_equal(both["weight"], 0.5)
    table = probabilistic_skill(both, observed)
    singles = [probabilistic_skill(some, observed) for some in (one, two)]
    assert bool((table["crps"] < 0.5 * (singles[0]["crps"] + singles[1]["crps"])).all())
    with pytest.raises(InputError, match="one family"):
        pool([one, distributions(observed, skewed=True)])
    with pytest.raises(InputError, match="same sites and days"):
        pool([one, two.isel(time=slice(5))])


def test_refusals_say_what_would_be_right() -> None:
    observed = rivers()
    good = members(observed)
    for forecast, message in (
        (good.rename(member="run"), "one must be member or quantile"),
        (good[:1], "two or more members"),
        (good[:, :, 1:], "along time"),
        (good.rename(member="quantile"), "as the coordinate quantile"),
        (quantiles(observed)[::-1], "must rise"),
        (distributions(observed).drop_vars("scale"), "needs location and scale"),
        (distributions(observed).drop_vars("weight"), "needs their weight"),
    ):
        with pytest.raises(InputError, match=message):
            probabilistic_skill(forecast, observed)
    with pytest.raises(InputError, match="between 0 and 1"):
        probabilistic_skill(good, observed, levels=(90,))
    with pytest.raises(ValueError, match="do not add up"):
        ScoreSums.of(Ensemble(good.values), observed.values) + ScoreSums.of(
            Ensemble(good.values), observed.values, levels=()
        )


def test_the_probability_of_more_than_a_threshold() -> None:
    observed = rivers(3, 50)
    threshold = xr.DataArray([0.0, 1.0, np.nan], {"site": observed["site"].values}, ("site",))
    given = members(observed)
    share = (given > threshold).mean("member")
    np.testing.assert_allclose(exceedance_probability(given, threshold)[:2], share[:2])
    assert exceedance_probability(given, threshold)[2].isnull().all()
    normal = xr.Dataset(
        {name: (("component", "site", "time"), np.full((1, 3, 50), 1.0)) for name in ("location", "scale")},
        observed.coords,
        {"floor": 0.0},
    )
    found = exceedance_probability(normal, threshold)
    # what lies below zero lies on it: a wet day is all that is above
    np.testing.assert_allclose(found[:2, 0], stats.norm.sf([0.0, 1.0], 1.0), rtol=1e-9)
    levels = xr.DataArray(
        np.broadcast_to(np.array([0.0, 0.5, 1.5])[:, None, None], (3, 3, 50)).copy(),
        {"quantile": [0.2, 0.5, 0.9], "site": observed["site"].values, "time": observed["time"].values},
        ("quantile", "site", "time"),
    )
    high = threshold.fillna(2.0)
    # on a quantile; on the line from 0.5 to 0.9; above the highest, where the middle of the tenth is taken
    np.testing.assert_allclose(exceedance_probability(levels, high)[:, 0], [0.8, 0.3, 0.05])
    with pytest.raises(InputError, match="one for each of 3 sites"):
        exceedance_probability(given, threshold[:2])
