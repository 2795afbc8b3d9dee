"""Windows where only some days train: none is empty, and each day is as likely as any other."""

import numpy as np
import pytest
import torch

from thalweg.models.batches import InMemory, Streamed
from thalweg.models.inputs import Inputs
from thalweg.models.sampling import ObservedStarts, Windows
from thalweg.models.training_data import StreamedData, TrainingData

DAYS, SITES, WINDOW, WARMUP = 700, 5, 40, 30


def observed():
    """Site 0 has two years, site 1 one week, site 2 nothing, site 3 all days, site 4 the first days alone."""
    values = torch.full((DAYS, SITES), torch.nan)
    values[100:200, 0] = values[400:450, 0] = 1.0
    values[300:307, 1] = 1.0
    values[:, 3] = 1.0
    values[: WARMUP + 1, 4] = 1.0
    return values


def data(sparse=True):
    series = torch.zeros(DAYS, SITES)
    inputs = Inputs(
        {"precipitation": series}, series.unsqueeze(-1), torch.zeros(SITES, 1), torch.arange(SITES)
    )
    return TrainingData(inputs, observed(), torch.ones(SITES), sparse=sparse)


def held(values, sites, starts):
    """How many observed days each window holds."""
    return [
        int(torch.isfinite(values[start + WARMUP : start + WARMUP + WINDOW, site]).sum())
        for site, start in zip(sites.tolist(), starts.tolist(), strict=True)
    ]


def test_every_window_holds_an_observation():
    windows = Windows(observed(), WINDOW, WARMUP, 4, seed=1, sparse=True)
    assert windows.sites.tolist() == [0, 1, 3, 4]
    found = [windows.draw() for _ in range(300)]
    assert all(min(held(observed(), *draw)) > 0 for draw in found)
    starts = torch.stack([draw[1][draw[0].argsort()] for draw in found])
    assert starts[:, 1].min() == 300 - WARMUP - WINDOW + 1
    assert starts[:, 1].max() == 306 - WARMUP
    assert starts[:, 2].max() <= DAYS - WINDOW - WARMUP
    assert set(starts[:, 3].tolist()) == {0}


def test_an_observed_day_is_as_likely_as_any_other():
    starts = ObservedStarts(observed(), WINDOW, WARMUP)
    drawn = starts.draw(torch.zeros(20_000, dtype=torch.long), torch.Generator().manual_seed(0))
    times = np.zeros(DAYS)
    for start in drawn.tolist():
        times[start + WARMUP : start + WARMUP + WINDOW] += 1
    for block in (slice(100, 200), slice(400, 450)):
        assert times[block] == pytest.approx(20_000 * WINDOW / (139 + 89), rel=0.08)


def test_the_same_seed_goes_on_with_the_same_windows():
    one = InMemory(data(), WINDOW, WARMUP, 3, seed=4)
    for _ in range(5):
        one.draw()
    two = InMemory(data(), WINDOW, WARMUP, 3, seed=4)
    two.restore(one.state())
    for _ in range(5):
        assert torch.equal(one.windows.draw()[1], two.windows.draw()[1])


def test_a_dense_part_draws_as_it_always_did():
    values = torch.ones(DAYS, SITES)
    windows = Windows(values, WINDOW, WARMUP, 3, seed=4)
    generator = torch.Generator().manual_seed(4)
    order = torch.randperm(SITES, generator=generator)
    starts = torch.randint(DAYS - WINDOW - WARMUP + 1, (3,), generator=generator)
    found = windows.draw()
    assert torch.equal(found[0], order[:3])
    assert torch.equal(found[1], starts)


def test_streamed_windows_hold_an_observation_too():
    whole = data()

    def read(places):
        chosen = torch.tensor(list(places))
        return TrainingData(
            whole.inputs.pick(chosen, torch.zeros(len(chosen), dtype=torch.long), DAYS),
            whole.observed[:, chosen],
            whole.deviation[chosen],
            sparse=True,
        )

    there = torch.isfinite(whole.observed[WARMUP:]).sum(0)
    streamed = StreamedData(read, whole.attributes, whole.deviation, there, [[0, 1, 2], [3, 4]], DAYS, 3)
    batches = Streamed(streamed, WINDOW, WARMUP, 2, seed=0)
    try:
        for _ in range(60):
            assert torch.isfinite(batches.draw().observed).any(0).all()
    finally:
        batches.close()
