"""Yes-or-no events against hand counts and the scores package, and tables that add up."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scores.categorical import BinaryContingencyManager

from thalweg.evaluation.events import EVENT_METRICS, Contingency, event_skill, exceedance
from thalweg.storage.errors import InputError


def wrap(values: np.ndarray) -> xr.DataArray:
    names = [f"s{number}" for number in range(len(values))]
    coords = {"site": names, "time": pd.date_range("1999-10-01", periods=values.shape[1])}
    return xr.DataArray(values, coords, ("site", "time"))


def events(sites: int = 4, days: int = 500, seed: int = 0) -> tuple[xr.DataArray, xr.DataArray]:
    generator = np.random.default_rng(seed)
    observed = (generator.random((sites, days)) < 0.2).astype(float)
    forecast = np.where(generator.random((sites, days)) < 0.8, observed, 1 - observed)
    observed[generator.random((sites, days)) < 0.1] = np.nan
    return wrap(forecast), wrap(observed)


def test_by_hand() -> None:
    # the tornado forecasts of Finley (1884), of which Wilks (2019), example 9.1, gives the scores
    finley = Contingency(*(np.array([count]) for count in (28, 23, 72, 2680)))
    value = {name: metric.function(finley)[0] for name, metric in EVENT_METRICS.items()}
    assert value["pod"] == pytest.approx(0.549, abs=5e-4)
    assert value["far"] == pytest.approx(0.720, abs=5e-4)
    assert value["csi"] == pytest.approx(0.228, abs=5e-4)
    assert value["pofd"] == pytest.approx(0.0262, abs=5e-5)
    assert value["frequency_bias"] == pytest.approx(1.96, abs=5e-3)
    assert value["ets"] == pytest.approx(0.216, abs=5e-4)
    assert value["peirce"] == pytest.approx(0.523, abs=5e-4)


def test_against_the_scores_package() -> None:
    forecast, observed = events()
    table = event_skill(forecast, observed)
    reference = BinaryContingencyManager(forecast, observed).transform(reduce_dims="time")
    for name, expected in {
        "pod": reference.probability_of_detection(),
        "far": reference.false_alarm_ratio(),
        "pofd": reference.probability_of_false_detection(),
        "csi": reference.critical_success_index(),
        "frequency_bias": reference.frequency_bias(),
        "ets": reference.equitable_threat_score(),
        "peirce": reference.peirce_skill_score(),
    }.items():
        np.testing.assert_allclose(table[name], expected, rtol=1e-12, err_msg=name)
    for name, key in (("hits", "tp_count"), ("misses", "fn_count"), ("false_alarms", "fp_count")):
        np.testing.assert_array_equal(table[name], reference.get_counts()[key])


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 500), max_size=8))
def test_tables_of_parts_add_up(cuts: list[int]) -> None:
    forecast, observed = (series.values for series in events())
    whole = Contingency.of(forecast, observed)
    parts = [Contingency.of(forecast[:, a:b], observed[:, a:b]) for a, b in pairwise([0, *sorted(cuts), 500])]
    merged = reduce(add, parts)
    for name in vars(whole):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))


def test_perfect_absent_and_unknown_events() -> None:
    observed = wrap(np.array([[1, 0, 0, 1], [0, 0, 0, 0], [np.nan] * 4]))
    table = event_skill(observed, observed)
    for name, metric in EVENT_METRICS.items():
        assert float(table[name][0]) == metric.perfect, name
        assert np.isnan(table[name][2]), name
    assert np.isnan(table["pod"][1]), "there was nothing to detect"
    never = event_skill(wrap(np.zeros((3, 4))), observed)
    assert float(never["pod"][0]) == 0.0
    assert np.isnan(never["far"][0]), "nothing was forecast"
    assert table["hits"].attrs["units"] == "days"


def test_thresholds_make_events() -> None:
    flow = wrap(np.array([[1.0, 2.0, np.nan, 4.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]))
    limit = xr.DataArray([1.5, 3.0, np.nan], {"site": flow["site"]}, ("site",))
    nan = np.nan
    np.testing.assert_array_equal(exceedance(flow, limit), [[0, 1, nan, 1], [0, 0, 0, 1], [nan] * 4])
    np.testing.assert_array_equal(exceedance(flow, 2.0)[1], [0, 0, 1, 1])
    assert event_skill(flow > 2, flow > 3)["pofd"].values.tolist() == [0.0, 1 / 3, 1 / 3]
    with pytest.raises(InputError, match="forecast events must be 0, 1 or NaN"):
        event_skill(flow, exceedance(flow, 2.0))
    with pytest.raises(InputError, match="along time"):
        event_skill(exceedance(flow, 2.0)[:, 1:], exceedance(flow, 2.0))
