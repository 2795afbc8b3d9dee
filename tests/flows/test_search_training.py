"""Legs of a real model: they add up to the same bits, and go on with other values."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from thalweg.flows.cell import CHECKPOINT, prepare, train_cell
from thalweg.flows.check import check
from thalweg.flows.experiment import override
from thalweg.flows.journal import begin
from thalweg.flows.plans import Repeats, make_plan
from thalweg.flows.prediction import validation_score
from thalweg.flows.search import search_cell
from thalweg.flows.search_result import write
from thalweg.flows.trial_worker import TRAIN_CELL, TrialWorker, pack
from thalweg.flows.trials import Leg, Trials
from thalweg.models.checkpoint import load_checkpoint

RATE = "training.learning_rate"
SPACE = {RATE: {"log_uniform": [1e-4, 1.0]}}


@pytest.fixture
def make_cell(content, write):
    def make(epochs=4, **search):
        content["search"] = {"algorithm": "pbt", "model": "hybrid", "space": SPACE, **search}
        content["training"] |= {"epochs": epochs, "steps_per_epoch": 2}
        checked = check(write(content))
        checked.raise_problems()
        return search_cell(checked.experiment, checked.folds, str(checked.dataset.attrs["snapshot"]))

    return make


@pytest.fixture
def cell(make_cell):
    return make_cell(objectives=["validation", "gap"])


def employ(cell, folder, train=TRAIN_CELL):
    made = TrialWorker(pack(cell), str(folder), 1, train, (str(folder / "search"), ""))
    made.ready()
    return made


@pytest.fixture
def worker(cell, folder):
    return employ(cell, folder)


def leg(number, rate=0.02, **changes):
    return Leg(number, 1, {RATE: rate}, f"trials/{number:04d}", **changes)


def kept(folder, number, place="checkpoint"):
    path = folder / "search" / "trials" / f"{number:04d}" / place / CHECKPOINT
    return load_checkpoint(path, torch.device("cpu"))


def told(outcome):
    return [(row["epoch"], row["loss"], row["validation"]) for row in outcome.rows]


def test_legs_add_up_to_the_same_bits(worker, folder):
    whole = worker.run(leg(1))
    assert (whole.state, len(whole.rows)) == ("done", 4)
    paused = worker.run(leg(2, until=1))
    assert (paused.state, told(paused)) == ("paused", told(whole)[:1])
    assert told(worker.run(leg(2, until=1))) == told(paused)  # a leg that is done trains nothing
    assert kept(folder, 2)["epochs"][-1]["epoch"] == 1
    worker.run(leg(2, until=3))
    ended = worker.run(leg(2))
    assert (ended.state, told(ended)) == ("done", told(whole))
    assert ended.measures == whole.measures
    first, second = kept(folder, 1), kept(folder, 2)
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
    assert torch.equal(first["random"], second["random"])
    ledger = json.loads((folder / "search/trials/0002/ledger.json").read_text())
    once = json.loads((folder / "search/trials/0001/ledger.json").read_text())
    assert ledger["total"]["samples"] == once["total"]["samples"] > 0  # each epoch is counted once
    assert ledger["total"]["attempts"] == 4


def test_a_trial_below_the_cutoff_is_stopped_there_and_stays_stopped(worker):
    cut = worker.run(leg(1, cutoffs={2: 2.0}))
    assert (cut.state, len(cut.rows)) == ("cut", 2)
    assert (worker.run(leg(1, cutoffs={2: 2.0})).state, len(cut.rows)) == ("cut", 2)
    assert worker.run(leg(2, cutoffs={2: -1e9})).state == "done"


def test_a_member_goes_on_from_another_one_with_its_own_rate(worker, folder, cell):
    donor = worker.run(leg(1, 0.02, until=2, start=0, parent=1))
    source = "trials/0001/checkpoint-0000"
    clone = worker.run(leg(2, 0.005, until=3, start=2, source=source, parent=1))
    assert told(clone)[:2] == told(donor)
    assert len(clone.rows) == 3
    rates = [row["learning_rate"] for row in clone.rows]
    # the cosine's place goes on, its height is the member's own
    full = [row["learning_rate"] for row in worker.run(leg(3, 0.02)).rows]
    assert rates == pytest.approx([full[0], full[1], full[2] * 0.25])
    # the same rate goes on to the same bits as without a change
    same = worker.run(leg(4, 0.02, until=4, start=2, source=source, parent=1))
    assert told(same) == told(worker.run(leg(5, 0.02)))
    assert kept(folder, 1, "checkpoint-0000")["epochs"][-1]["epoch"] == 2  # the donor's is untouched
    missing = worker.run(leg(6, 0.02, start=2, source="trials/0009/checkpoint-0000", parent=9))
    assert missing.state == "failed"
    assert "is not there on this node" in missing.message


def test_the_gap_is_what_training_scores_above_validation(cell, tmp_path):
    seen = []
    measures = train_cell(cell, tmp_path, lambda row: seen.append(row["validation"]))
    prepared = prepare(cell)
    from thalweg.flows.cell import make_trainer

    trainer = make_trainer(cell, prepared, tmp_path / CHECKPOINT)
    trainer.fit()  # to its end already: the best weights are loaded
    validation = validation_score(trainer.model, prepared.validation())
    assert validation == pytest.approx(max(seen))
    training = validation_score(trainer.model, prepared.training_records())
    assert measures["gap"] == pytest.approx(training - validation)
    (record,) = prepared.training_records()
    assert record.sites == cell.fold.train.sites
    assert (record.days[0].date(), record.days[-1].date()) == (cell.fold.train.start, cell.fold.train.end)
    plain = replace(cell, experiment=override(cell.experiment, {}).model_copy(update={"search": None}))
    assert set(train_cell(plain, None)) == {"parameters"}


def test_a_rate_that_diverges_is_kept_and_marked(worker, folder):
    diverged = worker.run(leg(1, 3e37))
    assert diverged.state == "failed"
    assert "became" in diverged.message
    status = json.loads((folder / "search/trials/0001/status.json").read_text())
    assert (status["state"], status["message"]) == ("failed", diverged.message)
    assert np.isfinite([row["loss"] for row in diverged.rows if row["loss"] is not None]).all()


def test_a_population_solves_what_no_fixed_values_can(make_cell, folder):
    # Jaderberg et al. 2017, figure 2: fixed values come to 0.39 at most, the optimum is 1.2
    shutil.copy(Path(__file__).with_name("train_fakes.py"), folder)
    space = {"training.gradient_clip": {"choice": [1.0, 2.0]}}
    cell = make_cell(24, trials=5, interval=2, space=space)
    worker = employ(cell, folder, "train_fakes:two_parts")
    trials = Trials(cell.experiment.search, "temporal", "0", 24)
    plan = make_plan(trials.search, 24, 1, 5)
    while (leg := plan.next(trials)) is not None:
        begin(trials, leg).take(worker.run(leg))
    best = trials.best()
    assert best.score > 1.1
    assert max(trial.best(2) for trial in trials.found.values()) < 0.4
    schedule = trials.schedule(best)
    assert len({drawn["training.gradient_clip"] for drawn in schedule.values()}) == 2
    again = Repeats(best, schedule, range(2, 3))
    while (leg := again.next(trials)) is not None:
        begin(trials, leg, repeat=True).take(worker.run(leg))
    assert [trial.score for trial in trials.repeats_of(best)] == [best.score]  # by its schedule
    (folder / "runs").mkdir()
    write(trials, folder / "runs")
    written = json.loads((folder / "runs" / "search.json").read_text())["best"]["schedule"]
    assert [each["after_epoch"] for each in written] == list(range(0, 24, 2))
