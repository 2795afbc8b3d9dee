"""Comparisons by the paired bootstrap: gains that are there or not, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.signal import lfilter

from thalweg.evaluation.significance import compare_series, draw_sites
from thalweg.evaluation.skill import METRICS, skill
from thalweg.storage.errors import InputError


def wrap(values: np.ndarray) -> xr.DataArray:
    names = [f"s{number:03d}" for number in range(len(values))]
    coords = {"site": names, "time": pd.date_range("1989-10-01", periods=values.shape[1])}
    return xr.DataArray(values, coords, ("site", "time"))


def rivers(sites: int = 30, days: int = 2192, seed: int = 0) -> tuple[dict[str, xr.DataArray], xr.DataArray]:
    """Models "good" and "fair", and "other", as good as "good" but with errors of its own."""
    generator = np.random.default_rng(seed)
    observed = generator.lognormal(0, 1, (sites, days))
    spread = {"good": 0.3, "fair": 0.45, "other": 0.3}
    models = {
        name: wrap(observed * generator.lognormal(0, width, observed.shape)) for name, width in spread.items()
    }
    return models, wrap(observed)


@pytest.mark.parametrize("over", [("time", "site"), ("time",), ("site",)])
def test_what_is_clear_is_said_and_what_is_not_is_not(over: tuple[str, ...]) -> None:
    models, observed = rivers()
    found = compare_series(models, observed, metrics=["nse", "bias", "kge_np"], over=over, samples=300)
    assert [(item.metric, item.a, item.b) for item in found[:3]] == [
        ("nse", "good", "fair"),
        ("nse", "good", "other"),
        ("nse", "fair", "other"),
    ]
    verdicts = {(item.metric, item.a, item.b): item.verdict for item in found}
    assert verdicts["nse", "good", "fair"] == verdicts["kge_np", "good", "fair"] == "a"
    assert verdicts["nse", "fair", "other"] == "b"
    assert verdicts["nse", "good", "other"] == "none"
    assert "no clear difference between good and other in Nash-Sutcliffe" in found[1].sentence
    clear = found[0]
    assert 0.0 < clear.difference.low < clear.difference.median < clear.difference.high
    assert clear.difference.sites == 30
    assert clear.sentence.startswith(
        "good is better than fair in Nash-Sutcliffe efficiency (median difference +"
    )


def test_the_better_side_of_a_metric_is_known() -> None:
    models, observed = rivers(sites=8)
    wrong = {"high": observed * 1.5, "low": observed * 0.8}
    (bias,) = compare_series(wrong, observed, metrics=["bias"], samples=50)
    assert bias.verdict == "b", "-20 % is nearer to zero than +50 %"
    assert bias.difference.median == pytest.approx(30.0)
    (error,) = compare_series(models, observed, metrics=["rmse"], pairs=[("fair", "good")], samples=100)
    assert error.verdict == "b"
    assert error.difference.median > 0


def test_a_model_against_itself_is_no_clear_difference() -> None:
    models, observed = rivers(sites=6)
    same = {"a": models["good"], "b": models["good"].copy()}
    for item in compare_series(same, observed, samples=50):
        assert item.verdict == "none", item.metric
        assert item.difference[:3] == (0.0, 0.0, 0.0)


def test_neighbours_drawn_together_widen_the_interval() -> None:
    generator = np.random.default_rng(4)
    observed = generator.normal(0, 1, (300, 1000))
    regions = np.repeat(np.arange(20), 15)
    # how much better a is depends on the region alone
    gain = np.repeat(generator.uniform(0.0, 0.2, 20), 15)[:, None]
    noise = generator.normal(0, 1, observed.shape)
    models = {"a": wrap(observed + 0.8 * noise), "b": wrap(observed + (0.8 + gain) * noise)}
    settings = {"metrics": ["nse"], "over": ("site",), "samples": 300}
    (alone,) = compare_series(models, wrap(observed), **settings)
    (together,) = compare_series(models, wrap(observed), clusters=regions, **settings)
    assert together.difference.median == alone.difference.median
    width = [item.difference.high - item.difference.low for item in (alone, together)]
    assert width[1] > 1.5 * width[0]


def test_few_sites_few_blocks_and_wrong_names() -> None:
    models, observed = rivers(sites=4)
    (few,) = compare_series(models, observed, metrics=["nse"], pairs=[("good", "fair")], samples=50)
    assert few.verdict == "unknown"
    with pytest.raises(InputError, match="2 blocks of a water year"):
        compare_series({name: one[:, :700] for name, one in models.items()}, observed[:, :700])
    with pytest.raises(InputError, match="no series of model best; there are good, fair, other"):
        compare_series(models, observed, pairs=[("good", "best")])
    with pytest.raises(InputError, match="over \\['days'\\]"):
        compare_series(models, observed, over=["days"])
    with pytest.raises(InputError, match="3 clusters of sites; at least 5"):
        compare_series(models, observed, clusters=["1", "1", "2", "3"])
    with pytest.raises(InputError, match="one label for each of 4 sites"):
        compare_series(models, observed, clusters=["1"])


def test_sites_without_a_score_of_both_are_counted_and_left_out() -> None:
    models, observed = rivers(sites=12)
    models["good"][0, 5] = np.nan
    observed[1] = np.nan
    (item,) = compare_series(models, observed, metrics=["nse"], pairs=[("good", "fair")], samples=50)
    assert item.difference.sites == 10
    assert (item.only_a, item.only_b) == (0, 1)
    assert item.verdict == "a"


def test_draws_of_sites_keep_clusters_whole_and_repeat_with_the_seed() -> None:
    labels = np.array(["a", "b", "c", "d", "e", "b", "b"])
    drawn = draw_sites(7, labels, samples=200)
    assert (drawn == draw_sites(7, labels, samples=200)).all()
    for row in drawn:
        counts = np.bincount(row[row >= 0], minlength=7)
        assert counts[1] == counts[5] == counts[6]
        assert counts[[0, 1, 2, 3, 4]].sum() == 5
    assert draw_sites(50, samples=10).shape == (10, 50)


def test_equal_models_are_called_different_about_one_time_in_ten() -> None:
    """Errors with a memory of weeks that neighbouring sites share: independence would be wrong twice."""
    generator = np.random.default_rng(7)
    wrong = 0
    for trial in range(60):
        shared, own = (generator.normal(0, 1, (2, size, 2192)) for size in (1, 8))
        error = lfilter([1.0], [1.0, -0.9], shared + 0.5 * own)
        observed = np.exp(generator.normal(0, 0.5, (8, 2192))) + 100.0
        models = {"a": wrap(observed + error[0]), "b": wrap(observed + error[1])}
        (item,) = compare_series(
            models, wrap(observed), metrics=["rmse"], over=("time",), blocks=90, samples=150, seed=trial
        )
        wrong += item.verdict != "none"
    assert wrong / 60 < 0.22


def test_every_metric_can_be_compared() -> None:
    models, observed = rivers(sites=6)
    found = compare_series(models, observed, pairs=[("good", "fair")], samples=30)
    assert [item.metric for item in found] == list(METRICS)
    assert sum(item.verdict == "a" for item in found) > 7


def test_scores_of_several_seeds_are_averaged() -> None:
    models, observed = rivers(sites=8)
    settings = {"metrics": ["nse", "fhv"], "samples": 40}
    (nse, fhv) = compare_series({"a": models["good"], "b": models["fair"]}, observed, **settings)
    twice = {"a": [models["good"]] * 2, "b": models["fair"]}
    again = compare_series(twice, observed, **settings)
    assert [one.difference for one in again] == [
        pytest.approx(one.difference, rel=1e-6) for one in (nse, fhv)
    ]
    seeds = [models["good"], models["other"]]
    (found,) = compare_series({"a": seeds, "b": models["fair"]}, observed, metrics=["nse"], samples=40)
    mean = np.mean([skill(one, observed)["nse"].values for one in seeds], axis=0)
    gain = mean - skill(models["fair"], observed)["nse"].values
    assert found.difference.median == pytest.approx(np.median(gain))
    assert found.difference.low < found.difference.median < found.difference.high
