"""The Lyne-Hollick filter against the published example and against a plain loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.evaluation.interpretation.baseflow import baseflow, baseflow_index
from thalweg.storage.errors import InputError

# Daily flow of the Bass River at Loch (ML/day) with missing days, as in the example of Ladson et al.
# (2013), 10.7158/W12-028.2013.17.1, https://github.com/TonyLadson/BaseflowSeparation_LyneHollick
BASS_RIVER = [
    np.nan, 5, 7, 108, 117, 57, 36, 26, 95, 1169, 308, 144, 89, 62, 48, 40, 35, 73, 82, 342, 393,
    310, 275, 260, 245, 256, 141, 119, 934, 382, 158, 96, 122, 103, 83, 67, 148, np.nan, 366, 161,
    119, 82, 330, 294, 261, 266, 153, 247, 703, 498, 286, 163, 124, 85, 94, 81, 62, 47, 37, 30, 26,
    24, 24, 22, 21, 20, 19, 18, 18, 17, 16, np.nan, 20, 19, 18, 18, np.nan,
]  # fmt: skip


def discharge(values: np.ndarray) -> xr.DataArray:
    rows = np.atleast_2d(values)
    coords = {
        "site": [f"s{number}" for number in range(len(rows))],
        "time": pd.date_range("2000-01-01", periods=rows.shape[1]),
        "region": ("site", ["01"] * len(rows)),
    }
    return xr.DataArray(rows, coords, ("site", "time"))


def test_the_published_example() -> None:
    index = baseflow_index(discharge(np.array(BASS_RIVER)), alpha=0.98)
    assert float(index[0]) == pytest.approx(0.1411197, abs=5e-8)


def plain_pass(flow: list[float], alpha: float) -> list[float]:
    quick = [flow[0]]
    for day in range(1, len(flow)):
        quick.append(alpha * quick[-1] + (1 + alpha) / 2 * (flow[day] - flow[day - 1]))
    return [q - max(f, 0.0) for q, f in zip(flow, quick, strict=True)]


def test_against_a_plain_loop() -> None:
    flow = np.random.default_rng(1).lognormal(0, 1, 400)
    slow = [*flow[30:0:-1], *flow, *flow[-2:-32:-1]]
    slow = plain_pass(slow, 0.925)
    slow = plain_pass(slow[::-1], 0.925)[::-1]
    slow = plain_pass(slow, 0.925)
    expected = np.maximum(slow[30:-30], 0)
    np.testing.assert_allclose(baseflow(discharge(flow))[0], expected, rtol=1e-9, atol=1e-12)
    assert float(baseflow_index(discharge(flow))[0]) == pytest.approx(expected.sum() / flow.sum())


def test_steady_slow_and_flashy_rivers_are_in_order() -> None:
    days = np.arange(1000)
    rain = np.where(days % 20 == 0, 20.0, 0.0)
    rivers = [np.ones(1000)]
    for memory in (0.98, 0.7, 0.1):
        store, flow = 0.0, []
        for amount in rain:
            store = memory * store + (1 - memory) * amount
            flow.append(store)
        rivers.append(np.array(flow))
    index = baseflow_index(discharge(np.stack(rivers)))
    values = index.values
    # reflection leaves 0.925^30, 10 % of the start as quick flow that fades in a month
    assert values[0] == pytest.approx(1.0, abs=0.01)
    assert values[0] > values[1] > values[2] > values[3]
    assert values[3] < 0.25
    assert index["region"].values.tolist() == ["01"] * 4
    slow = baseflow(discharge(np.stack(rivers)))
    assert (slow >= 0).all()
    assert (slow.values <= np.stack(rivers) + 1e-12).all()


def test_gaps_short_records_and_dry_rivers() -> None:
    flow = np.random.default_rng(1).lognormal(0, 1, 400)
    gap = flow.copy()
    gap[200] = np.nan
    gap[220] = np.nan  # the 19 days between are too few
    separated = baseflow(discharge(gap))
    assert separated[0].isnull().values.nonzero()[0].tolist() == list(range(200, 221))
    first, last = (baseflow_index(discharge(part)).item() for part in (flow[:200], flow[221:]))
    expected = (200 * first + 179 * last) / 379
    assert baseflow_index(discharge(gap)).item() == pytest.approx(expected)
    for hopeless in (np.zeros(400), np.full(400, np.nan), flow[:30]):
        assert np.isnan(baseflow_index(discharge(hopeless)).item())


def test_bad_settings_are_refused() -> None:
    flow = discharge(np.ones(100))
    for settings in ({"alpha": 1.0}, {"passes": 2}, {"passes": -1}):
        with pytest.raises(InputError, match="baseflow filter"):
            baseflow_index(flow, **settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="dimensions"):
        baseflow_index(flow[0])
