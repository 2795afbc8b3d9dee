"""Conformal intervals hold what they promise, where calibration and test are exchangeable, and only there."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from thalweg.evaluation.uncertainty.conformal import (
    errors_around,
    errors_beyond,
    interval_around,
    interval_beyond,
    margin,
)
from thalweg.evaluation.uncertainty.coverage import coverage
from thalweg.storage.errors import InputError


def series(values: np.ndarray) -> xr.DataArray:
    coords = {"site": [f"river_{k}" for k in range(len(values))]}
    return xr.DataArray(values, coords, ("site", "time"))


@pytest.mark.parametrize(
    "noise", [stats.norm(), stats.t(2), stats.expon()], ids=["normal", "t2", "exponential"]
)
def test_100_points_at_90_percent_cover_91_of_101(noise: stats.rv_continuous) -> None:
    generator = np.random.default_rng(0)
    repetitions, expected = 4000, 91 / 101
    errors = series(noise.rvs((repetitions, 100), random_state=generator))
    reach = margin(errors_around(errors, 0.0 * errors), 0.9, "each_site")
    assert reach.sizes == {"site": repetitions}
    share = noise.cdf(reach) - noise.cdf(-reach)
    assert share.mean() == pytest.approx(expected, abs=0.002)
    # the coverage of one calibration is itself random: Beta(91, 10), Vovk (2012), 10.48550/arXiv.1209.2673
    assert stats.kstest(share, stats.beta(91, 10).cdf).pvalue > 0.001


def test_the_whole_way_covers_as_much() -> None:
    generator = np.random.default_rng(1)
    predicted = series(generator.lognormal(0, 1, (4000, 350)))
    observed = predicted + 0.3 * generator.normal(size=predicted.shape)
    past, future = slice(0, 100), slice(100, None)
    reach = margin(errors_around(observed[:, past], predicted[:, past]), 0.9, "each_site")
    interval = interval_around(predicted[:, future], reach, floor=None)
    table = coverage(observed[:, future], interval)
    assert table["coverage"][0] == pytest.approx(91 / 101, abs=0.002)
    assert (table["sites"][0], table["days"][0]) == (4000, 1_000_000)
    assert table["width"][0] == pytest.approx(2 * float(reach.mean()))
    assert interval["lower"].dims == ("site", "time")
    assert interval["upper"].attrs == {"long_name": "upper bound", "units": "mm/day"}


def heteroscedastic(sites: int, days: int, seed: int) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    generator = np.random.default_rng(seed)
    predicted = series(generator.lognormal(0, 1, (sites, days)))
    scale = 0.05 + 0.4 * predicted
    return predicted + scale * generator.normal(size=predicted.shape), predicted, scale


def test_local_scales_and_quantiles_hold_at_low_and_at_high_flow() -> None:
    calibration, test = heteroscedastic(20, 500, 0), heteroscedastic(20, 2000, 1)
    observed, predicted, scale = test
    # too narrow by half, as a network that is too sure
    bounds = [(p - 0.8 * s, p + 0.8 * s) for _, p, s in (calibration, test)]
    intervals = {
        "split": interval_around(predicted, margin(errors_around(*calibration[:2])), floor=None),
        "scaled": interval_around(predicted, margin(errors_around(*calibration)), scale, floor=None),
        "quantiles": interval_beyond(
            *bounds[1], margin(errors_beyond(calibration[0], *bounds[0])), floor=None
        ),
    }
    high = predicted > predicted.median()
    found = {
        name: [
            float(coverage(observed.where(part), interval)["coverage"][0])
            for part in (high | True, high, ~high)
        ]
        for name, interval in intervals.items()
    }
    for name, (every, at_high, at_low) in found.items():
        assert every == pytest.approx(0.9, abs=0.01), name
        if name == "scaled":
            assert at_high == pytest.approx(at_low, abs=0.02)
    assert found["split"][1] < 0.84, "one width for all is too narrow at high flow"
    assert found["split"][2] > 0.96
    assert found["quantiles"][1] > found["split"][1]
    width = {name: float((i["upper"] - i["lower"]).mean()) for name, i in intervals.items()}
    assert width["scaled"] < width["split"]


def test_a_new_site_needs_whole_sites_to_calibrate_on() -> None:
    generator = np.random.default_rng(3)
    shares: dict[str, list[float]] = {"days": [], "new_site": []}
    for _ in range(400):
        sites = 12
        # rivers differ in how wrong the model is; the well-known ones have the longest records
        wrong = generator.lognormal(0, 0.8, sites)
        errors = np.abs(generator.normal(size=(sites, 300))) * wrong[:, None]
        errors[np.arange(300)[None] > (600 / (1 + wrong**2))[:, None]] = np.nan
        new = generator.lognormal(0, 0.8)
        for pooling, found in shares.items():
            reach = float(margin(series(errors), 0.8, pooling))  # type: ignore[arg-type]
            found.append(2 * stats.norm.cdf(reach / new) - 1)
    assert np.mean(shares["days"]) < 0.75, "many days at few sites pass for much knowledge"
    assert 0.8 <= np.mean(shares["new_site"]) < 0.88


def test_the_quantile_of_a_new_site_in_a_small_example() -> None:
    errors = series(np.array([[1.0, 2.0, 3.0, 4.0], [10.0, np.nan, np.nan, 20.0], [np.nan] * 4]))
    # two sites of weight 1/3: 1/12 on each of four days, 1/6 on each of two
    assert [float(margin(errors, level, "new_site")) for level in (0.25, 0.34, 0.5, 0.6)] == [
        3.0,
        10.0,
        10.0,
        20.0,
    ]
    assert float(margin(errors, 0.7, "new_site")) == np.inf
    alike = series(np.random.default_rng(0).random((99, 1)))
    assert float(margin(alike, 0.9, "new_site")) == float(margin(alike, 0.9, "days"))


def test_places_in_the_order_and_too_few_days() -> None:
    def reach(count: int, level: float) -> float:
        return float(margin(series(np.arange(1.0, count + 1)[None]), level))

    assert reach(100, 0.9) == 91.0
    assert reach(9, 0.9) == 9.0, "0.9 times 10 is 9, whatever the last bit says"
    assert reach(8, 0.9) == np.inf
    assert reach(1, 0.5) == 1.0
    assert [reach(19, 0.95), reach(39, 0.95), reach(999, 0.7)] == [19.0, 38.0, 700.0]
    gaps = series(np.array([[1.0, np.nan, 2.0, 3.0], [np.nan] * 4]))
    assert margin(gaps, 0.5, "each_site").values.tolist() == [2.0, np.inf]
    endless = interval_around(gaps, margin(gaps, 0.9), floor=0.0)
    assert float(endless["upper"][0, 0]) == np.inf
    assert float(endless["lower"][0, 0]) == 0.0


def test_a_missing_prediction_is_as_wrong_as_can_be() -> None:
    observed = series(np.array([[1.0, 2.0, np.nan, 4.0]]))
    predicted = series(np.array([[1.5, np.nan, 3.0, 3.0]]))
    assert errors_around(observed, predicted).values.tolist()[0][:2] == [0.5, np.inf]
    assert np.isnan(errors_around(observed, predicted)[0, 2])
    beyond = errors_beyond(observed, predicted - 0.2, predicted + 0.2)
    np.testing.assert_allclose(beyond[0], [0.3, np.inf, np.nan, 0.8])
    table = coverage(observed, interval_around(predicted, xr.DataArray(1.0)))
    assert table["coverage"][0] == pytest.approx(2 / 3)


def test_an_interval_too_wide_is_narrowed_at_most_to_its_middle() -> None:
    low, high = series(np.array([[1.0, 0.0]])), series(np.array([[5.0, 1.0]]))
    inner = interval_beyond(low, high, xr.DataArray(-1.0), floor=None)
    assert inner["lower"].values.tolist() == [[2.0, 0.5]]
    assert inner["upper"].values.tolist() == [[4.0, 0.5]]
    wide = interval_beyond(low, high, xr.DataArray(2.0))
    assert wide["lower"].values.tolist() == [[0.0, 0.0]], "discharge is not below zero"


def test_a_bound_on_the_floor_is_none() -> None:
    generator = np.random.default_rng(0)
    flow = generator.lognormal(0, 1, (30, 400)) * (generator.random((30, 400)) > 0.3)
    observed, low, high = series(flow), series(0 * flow), series(4 + 0 * flow)
    past, future = slice(0, 100), slice(100, None)
    errors = errors_beyond(observed, low, high)
    np.testing.assert_allclose(errors, observed - 4)
    assert float(margin(errors_beyond(observed, low, high, floor=None))) == 0.0, "dry days lie on their bound"
    reach = margin(errors[:, past])
    interval = interval_beyond(low[:, future], high[:, future], reach)
    assert bool((interval["lower"] == 0.0).all())
    assert coverage(observed[:, future], interval)["coverage"][0] == pytest.approx(0.9, abs=0.015)
    missing = errors_beyond(observed[:, :3], low[:, :3] * np.nan, high[:, :3])
    assert bool(np.isinf(missing).all())


def test_a_region_that_was_not_calibrated_on_is_shown_apart() -> None:
    generator = np.random.default_rng(5)
    observed, predicted, _ = heteroscedastic(60, 400, 6)
    region = xr.DataArray(["gauged"] * 40 + ["ungauged"] * 20, dims="site")
    observed[40:] += generator.normal(size=(20, 400))
    reach = margin(errors_around(*heteroscedastic(40, 400, 7)[:2]))
    interval = interval_around(predicted, reach, floor=None)
    table = coverage(observed, interval, region).set_index("group")
    assert table["verdict"].to_dict() == {"gauged": "holds", "ungauged": "too low"}
    assert table.loc["gauged", "coverage"] == pytest.approx(0.9, abs=0.01)
    assert table.loc["ungauged", "high"] < 0.85
    assert table["sites"].tolist() == [40, 20]
    wide = interval_around(predicted, 3 * reach, floor=None)
    assert coverage(observed[:40], wide.isel(site=slice(40)))["verdict"].tolist() == ["too high"]
    for few in (1, 4):
        unsure = coverage(observed[-few:], interval.isel(site=slice(-few, None)))
        assert unsure["verdict"].tolist() == ["unknown"], "too few sites to blame the intervals"
    again = coverage(observed, interval, region, seed=0)
    assert again.set_index("group").equals(table)


def test_refusals_say_what_would_be_right() -> None:
    observed, predicted, scale = heteroscedastic(2, 20, 0)
    with pytest.raises(InputError, match="level 90 must be between"):
        margin(errors_around(observed, predicted), 90)
    with pytest.raises(InputError, match="there are days, each_site, new_site"):
        margin(errors_around(observed, predicted), pooling="region")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no observed day"):
        margin(errors_around(observed * np.nan, predicted))
    with pytest.raises(InputError, match="must be above 0"):
        errors_around(observed, predicted, 0 * scale)
    reach = margin(errors_around(observed, predicted), 0.9, "each_site")
    with pytest.raises(InputError, match="of other sites or days"):
        interval_around(predicted.assign_coords(site=["river_0", "river_9"]), reach)
    with pytest.raises(InputError, match="along time"):
        errors_around(observed, predicted[:, :5])
    with pytest.raises(InputError, match="3 labels for 2 sites"):
        coverage(
            observed,
            interval_around(predicted, xr.DataArray(1.0)),
            xr.DataArray(["a", "b", "c"], dims="site"),
        )
