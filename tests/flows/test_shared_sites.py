"""The sites of a store, shared out to the workers of one model."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from thalweg.flows.cell import make_model, prepare
from thalweg.flows.check import check
from thalweg.flows.plan import cells_of
from thalweg.flows.prediction import validation_score
from thalweg.models.group import Group
from thalweg.models.training_data import SharedData, StreamedData
from thalweg.storage.errors import InputError

WORKERS = 3


class Threads(Group):
    """A group of threads of this process."""

    def __init__(self, rank, size, table, barrier):
        super().__init__(rank, size)
        self.table, self.barrier = table, barrier

    def collect(self, content):
        self.table[self.rank] = content
        self.barrier.wait(60)
        found = list(self.table)
        self.barrier.wait(60)
        return found

    def sum(self, values):
        return torch.stack(self.collect(values)).sum(0).to(values.dtype)


def in_group(work, size=WORKERS):
    table, barrier = [None] * size, threading.Barrier(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: work(Threads(rank, size, table, barrier)), range(size)))


@pytest.fixture
def cell(content, write):
    """A cell whose data may take so many GB."""

    one_at_a_time = threading.Lock()  # all write the one file

    def make(memory=1.0):
        with one_at_a_time:
            content["resources"] = {"memory": memory}
            checked = check(write(content))
            checked.raise_problems()
            return cells_of(checked.experiment, checked.folds)[1]

    return make


def prepared(cell, group):
    found = prepare(cell)
    found.group, found.near = group, None if not group.alone else found.near
    return found


def test_each_worker_holds_its_sites_and_knows_a_little_of_all(cell):
    whole = prepare(cell()).training(90, 90)
    shares = in_group(lambda group: prepared(cell(), group).training(90, 90))
    sites = [share.held.inputs.site.tolist() for share in shares]
    assert sorted(site for share in sites for site in share) == list(range(8))
    assert [len(share) for share in sites] == [3, 3, 2]
    for share, own in zip(shares, sites, strict=True):
        assert isinstance(share, SharedData)
        assert torch.equal(share.held.observed.nan_to_num(-1), whole.observed[:, own].nan_to_num(-1))
        assert torch.equal(share.local[own], torch.arange(len(own)))
        assert int((share.local >= 0).sum()) == len(own)
        assert torch.equal(share.attributes, whole.attributes)
        assert torch.equal(share.deviation, whole.deviation)
        assert torch.equal(share.donors, whole.donors)
        assert torch.equal(share.observed_days, whole.observed_days(90))


def test_what_must_be_streamed_is_so_in_all_workers_or_in_none(cell):
    small = 9e-6  # one site takes 7.6 kB, so that three workers need up to 23 kB each
    shares = in_group(lambda group: prepared(cell(small), group).training(90, 90))
    assert all(isinstance(share, StreamedData) for share in shares)
    held = torch.stack([share.held for share in shares])
    assert held.sum(0).tolist() == [1] * 8
    assert held.sum(1).tolist() == [3, 3, 2]
    assert len({share.block_sites for share in shares}) == 1

    def uneven(group):
        preparation = prepared(cell(), group)
        preparation.budget = 10**9 if group.rank else 9000
        return preparation.training(90, 90)

    assert all(isinstance(share, StreamedData) for share in in_group(uneven))


def test_validation_is_shared_out_and_its_score_the_same(cell):
    alone = prepare(cell())
    model = make_model(cell(), alone, alone.training(90, 90))
    expected = validation_score(model, alone.validation())

    def score(group):
        records = prepared(cell(), group).validation(share=True)
        return len(records.sites), validation_score(model, records, group)

    found = in_group(score)
    assert [sites for sites, _ in found] == [3, 3, 2]
    assert {value for _, value in found} == {expected}


def test_more_workers_than_sites_are_refused(cell):
    preparation = prepare(cell())
    preparation.group = Group(0, 9)
    with pytest.raises(InputError, match="8 training sites cannot be shared out to 9 workers"):
        preparation.training(90, 90)
