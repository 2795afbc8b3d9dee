"""Batches from data in memory and streamed from elsewhere: what is drawn, how often, and going on."""

import threading
import time

import pytest
import torch

from thalweg.models.batches import InMemory, Streamed
from thalweg.models.inputs import Inputs, cut
from thalweg.models.networks import Lstm
from thalweg.models.training import Trainer, TrainingOptions
from thalweg.models.training_data import StreamedData, TrainingData

DAYS, SITES, WINDOW, WARMUP = 120, 23, 20, 10
GROUPS = [list(range(first, min(first + 4, SITES))) for first in range(0, SITES, 4)]


def everything(days=DAYS):
    """Site and day can be read off every value: 1000 * site + day."""
    value = 1000.0 * torch.arange(SITES) + torch.arange(float(days)).unsqueeze(1)
    sequence = torch.stack([value, -value], -1)
    inputs = Inputs(
        {"precipitation": value}, sequence, torch.arange(SITES)[:, None] * 1.0, torch.arange(SITES)
    )
    return TrainingData(inputs, value.clone(), 1.0 + torch.arange(SITES))


def some(data, places):
    chosen = torch.tensor(list(places))
    inputs = data.inputs
    return TrainingData(
        Inputs(
            {name: series[:, chosen] for name, series in inputs.forcing.items()},
            inputs.sequence[:, chosen],
            inputs.attributes[chosen],
            inputs.site[chosen],
        ),
        data.observed[:, chosen],
        data.deviation[chosen],
    )


class Disk:
    """Gives sites, and remembers what it was asked for."""

    def __init__(self, data, pause=0.0):
        self.data, self.pause, self.asked, self.threads = data, pause, [], set()

    def __call__(self, places):
        self.asked.append(list(places))
        self.threads.add(threading.current_thread())
        time.sleep(self.pause)
        return some(self.data, places)


def streamed_data(disk, block_sites=8):
    known = torch.isfinite(disk.data.observed[WARMUP:]).sum(0)
    attributes, deviation = disk.data.attributes, disk.data.deviation
    return StreamedData(disk, attributes, deviation, known, GROUPS, DAYS, block_sites)


def streamed(seed=0, disk=None, batch=3, block_sites=8):
    return Streamed(streamed_data(disk or Disk(everything()), block_sites), WINDOW, WARMUP, batch, seed)


def in_memory(seed=0):
    return InMemory(everything(), WINDOW, WARMUP, 3, seed)


def first_days(batch):
    return batch.inputs.forcing["precipitation"][0] - 1000 * batch.inputs.site


def steps_of_passes(batches, passes):
    """Draw whole passes."""
    drawn = []
    while batches.place[0] < passes:
        drawn.append(batches.draw())
    return drawn


def same(a, b):
    return (
        torch.equal(a.inputs.sequence, b.inputs.sequence)
        and torch.equal(a.observed, b.observed)
        and torch.equal(a.deviation, b.deviation)
    )


@pytest.mark.parametrize("make", [streamed, in_memory])
def test_a_batch_holds_each_sites_own_window(make):
    batches = make()
    for _ in range(30):
        batch = batches.draw()
        sites, days = batch.inputs.site, first_days(batch) + torch.arange(30.0).unsqueeze(1)
        torch.testing.assert_close(batch.inputs.forcing["precipitation"], 1000.0 * sites + days)
        torch.testing.assert_close(batch.inputs.sequence[..., 1], -1000.0 * sites - days)
        torch.testing.assert_close(batch.observed, 1000.0 * sites + days[WARMUP:])
        torch.testing.assert_close(batch.inputs.attributes[:, 0], sites * 1.0)
        torch.testing.assert_close(batch.deviation, 1.0 + sites)


LAYOUTS = {
    "days, sites, variables": torch.randn(50, 6, 3),
    "sites, variables, days": torch.randn(6, 3, 50).permute(2, 0, 1),
    "sites, days, variables": torch.randn(6, 50, 3).transpose(0, 1),
    "some of the sites": torch.randn(9, 50, 3).transpose(0, 1)[:, 2:8],
    "every other day": torch.randn(6, 100, 3).transpose(0, 1)[::2],
}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_cutting_is_indexing_whatever_lies_side_by_side_in_memory(layout):
    series = LAYOUTS[layout]
    sites, starts = torch.tensor([4, 0, 4]), torch.tensor([0, 43, 11])
    days = starts.unsqueeze(0) + torch.arange(7).unsqueeze(1)
    found = cut(series, sites, starts, 7)
    assert torch.equal(found, series[days, sites])
    one = cut(series[..., 1], sites, starts, 7)
    assert torch.equal(one, series[days, sites, 1])
    assert one.is_contiguous()


def test_every_site_is_drawn_equally_often_in_every_pass():
    batches = streamed()
    for turn in (1, 2, 3):
        drawn = steps_of_passes(batches, turn)
        seen = torch.bincount(torch.cat([batch.inputs.site for batch in drawn]), minlength=SITES)
        # 110 days of targets in windows of 20: five or six a pass
        assert seen.tolist() == [batches.rounds] * SITES
        assert batches.rounds in (5, 6)


def test_every_first_day_is_equally_likely():
    batches = streamed()
    days = torch.cat([first_days(batch) for batch in steps_of_passes(batches, 150)])
    seen = torch.bincount(days.long(), minlength=DAYS - WINDOW - WARMUP + 1)
    assert len(seen) == DAYS - WINDOW - WARMUP + 1
    expected = len(days) / len(seen)
    assert float(((seen - expected) ** 2 / expected).sum()) < 135  # chi-squared, 90 degrees of freedom, 0.1 %


def test_groups_share_another_block_in_every_pass():
    disk = Disk(everything())
    batches = streamed(disk=disk)
    steps_of_passes(batches, 40)
    together = {tuple(sorted({place // 4 for place in block})) for block in disk.asked}
    assert len(together) >= 14, "15 pairs of six groups are possible"
    for block in disk.asked:
        assert len(block) <= 8
        for group in GROUPS:
            assert set(group) <= set(block) or not set(group) & set(block)


def test_batches_of_a_block_differ_by_at_most_one_site():
    sizes = {len(batch.deviation) for batch in steps_of_passes(streamed(), 3)}
    assert sizes <= {2, 3, 4}
    assert 3 in sizes


@pytest.mark.parametrize("make", [streamed, in_memory])
@pytest.mark.parametrize("steps", [0, 1, 7, 16, 45])
def test_going_on_from_a_state_draws_the_same(make, steps):
    whole, first, second = make(3), make(3), make(3)
    expected = [whole.draw() for _ in range(steps + 40)]
    for _ in range(steps):
        first.draw()
    second.draw()
    second.restore(first.state())
    found = [second.draw() for _ in range(40)]
    assert all(same(a, b) for a, b in zip(found, expected[steps:], strict=True))
    assert not all(same(make(4).draw(), expected[0]) for _ in range(2))


def test_the_next_block_is_read_beside_the_training_and_no_more_than_that():
    disk = Disk(everything())
    batches = streamed(disk=disk)
    batches.draw()
    time.sleep(0.2)
    assert len(disk.asked) == 2, "the one that trains and the one after it"
    assert threading.current_thread() not in disk.threads
    batches.close()
    batches.draw()
    assert len(disk.threads) == 2


def test_a_failure_to_read_is_raised_where_it_is_waited_for():
    def broken(places):
        raise OSError(5, "Input/output error")

    data = streamed_data(Disk(everything()))
    batches = Streamed(StreamedData(**{**vars(data), "read": broken}), WINDOW, WARMUP, 3, 0)
    with pytest.raises(OSError, match="Input/output"):
        batches.draw()


def test_a_site_never_observed_is_neither_read_nor_drawn():
    data = everything()
    data.observed[WARMUP:, 5] = torch.nan
    disk = Disk(data)
    seen = torch.cat([batch.inputs.site for batch in steps_of_passes(streamed(disk=disk), 2)])
    assert 5 not in seen
    assert all(5 not in block for block in disk.asked)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="do not fit into the 120 days"):
        Streamed(streamed_data(Disk(everything())), 111, 10, 3, 0)
    data = everything()
    data.observed[:] = torch.nan
    with pytest.raises(ValueError, match="no training site"):
        streamed(disk=Disk(data))
    with pytest.raises(ValueError, match=r"in memory.*set resources.memory"):
        streamed().restore(in_memory().state())
    with pytest.raises(ValueError, match=r"streamed.*set resources.memory"):
        in_memory().restore(streamed().state())


OPTIONS = TrainingOptions(
    epochs=3, steps_per_epoch=11, window=WINDOW, warmup=WARMUP, batch_sites=3, checkpoint_seconds=0.0
)


def trainer(data, checkpoint=None):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    return Trainer(Lstm(2, 1, 4, 0.3, 1.0), data, OPTIONS, seed=5, checkpoint=checkpoint)


def weather():
    """Numbers that a network can be trained on."""
    draw = torch.Generator().manual_seed(0)
    data = everything()
    sequence = torch.randn(DAYS, SITES, 2, generator=draw)
    inputs = Inputs(data.inputs.forcing, sequence, data.inputs.attributes / SITES, data.inputs.site)
    return TrainingData(inputs, sequence[..., 0].exp(), torch.ones(SITES))


@pytest.mark.parametrize("kind", ["streamed", "in memory"])
@pytest.mark.parametrize("after", [1, 15, 32])
def test_stopped_in_the_middle_of_an_epoch_and_resumed_is_bitwise_the_same(kind, after, tmp_path):
    def data():
        return weather() if kind == "in memory" else streamed_data(Disk(weather()))

    whole = trainer(data())
    expected = whole.fit()
    cut_off = trainer(data(), tmp_path / "c.pt")
    draw, drawn = cut_off.batches.draw, []

    def stop():
        if len(drawn) == after:
            raise KeyboardInterrupt
        drawn.append(draw())
        return drawn[-1]

    cut_off.batches.draw = stop
    with pytest.raises(KeyboardInterrupt):
        cut_off.fit()
    torch.manual_seed(999)
    resumed = trainer(data(), tmp_path / "c.pt")
    again, counted = resumed.batches.draw, []
    resumed.batches.draw = lambda: counted.append(1) or again()
    found = resumed.fit()
    assert len(counted) == 33 - after, "work was done twice or left out"
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])
    assert [e.loss for e in found.epochs] == [e.loss for e in expected.epochs]
    assert [e.learning_rate for e in found.epochs] == [e.learning_rate for e in expected.epochs]


def test_the_time_spent_waiting_is_told():
    slow = trainer(streamed_data(Disk(weather(), pause=0.1), block_sites=4)).fit()
    assert slow.epochs[0].waiting >= 0.1, "nothing is read ahead of the first block"
    assert all(0.0 < epoch.waiting < epoch.seconds for epoch in slow.epochs)
    quick = trainer(weather()).fit()
    assert sum(e.waiting for e in quick.epochs) < 0.3 * sum(e.seconds for e in quick.epochs)
