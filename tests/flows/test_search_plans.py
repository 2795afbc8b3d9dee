"""Plans: the same trials, trained equally far, on any number of workers; ASHA, HyperBand, populations."""

import heapq
import math
import random

import numpy as np
import pytest

from thalweg.flows.experiment import Search
from thalweg.flows.halving import brackets, cutoff, rungs
from thalweg.flows.journal import begin
from thalweg.flows.plans import Repeats, make_plan
from thalweg.flows.population import changed
from thalweg.flows.proposals import random_point
from thalweg.flows.trials import Outcome, Trials

RATE = {"training.learning_rate": {"log_uniform": [1e-4, 1.0]}}


def spec(algorithm, space=RATE, **changes):
    return Search.model_validate({"algorithm": algorithm, "model": "m", "space": space, **changes})


def curve(drawn, epoch):
    """Score after an epoch: the best rate is 0.01; larger ones are quicker at first."""
    rate = drawn["training.learning_rate"]
    return 1 - abs(math.log10(rate) + 2) / 4 - math.exp(-epoch * rate * 10) - 0.3 / epoch


def simulate(search, epochs, count, workers, speed=lambda trial: 1.0, score=curve, fail=()):
    """Run a plan on a clock of its own; gives the trials, the time it took and the epochs trained."""
    trials = Trials(search, "s", "0", epochs)
    plan = make_plan(search, epochs, 1, count)
    running, clock, trained, order = [], 0.0, 0, 0
    leg = plan.next(trials)
    while leg or running:
        if leg and len(running) < workers:
            trial = begin(trials, leg)
            kept = {row["epoch"]: row for row in trial.rows}
            if leg.start:  # of a population: the weights of another, and their history
                parent = trials.found[leg.parent]
                kept = {row["epoch"]: row for row in parent.rows if row["epoch"] <= leg.start}
            rows, state, best = [], "done", -math.inf
            for epoch in range(1, epochs + 1):
                if epoch not in kept:
                    trained += 1
                rows.append(
                    kept.get(epoch) or {"epoch": epoch, "validation": score(leg.drawn, epoch), "seconds": 1.0}
                )
                best = max(best, rows[-1]["validation"])
                if (leg.trial, epoch) in fail and epoch not in kept:
                    state = "failed"
                elif best < leg.cutoffs.get(epoch, -math.inf):
                    state = "cut"
                elif leg.until is not None and leg.until <= epoch < epochs:
                    state = "paused"
                if state != "done":
                    break
            order += 1
            new = len(rows) - len(kept)
            ends = clock + new * speed(leg.trial)
            heapq.heappush(running, (ends, order, leg, Outcome(rows, state)))
            leg = plan.next(trials)
            continue
        clock, _, ended, outcome = heapq.heappop(running)
        trials.found[ended.trial].take(outcome)
        leg = leg or plan.next(trials)
    return trials, clock, trained


def summary(trials):
    return {
        trial.trial: (trial.drawn, trial.state, trial.epoch, trial.score, trial.legs)
        for trial in trials.found.values()
    }


CASES = {
    "random": (spec("random"), 12),
    "asha": (spec("asha"), 27),
    "hyperband": (spec("hyperband"), None),
    "pbt": (spec("pbt", interval=3), 8),
    "bayesian": (spec("bayesian", lag=3, sampler="tpe"), 18),
}


@pytest.mark.parametrize("name", CASES)
def test_the_search_is_the_same_on_any_number_of_workers(name):
    search, count = CASES[name]
    count = count or sum(bracket.sizes[0] for bracket in brackets(search, 27))
    alone, time_alone, epochs_alone = simulate(search, 27, count, workers=1)
    for workers in (2, 5, 64):
        for speeds in (1, 2):
            slowness = [random.Random(speeds * 100 + i).uniform(0.2, 5.0) for i in range(count + 1)]
            found, _, epochs = simulate(search, 27, count, workers, lambda trial: slowness[trial])  # noqa: B023
            assert summary(found) == summary(alone), (workers, speeds)
            assert epochs == epochs_alone
    _, parallel, _ = simulate(search, 27, count, workers=4)
    assert parallel < 0.6 * time_alone


def test_asha_stops_as_ray_tune_does_with_one_worker():
    async_hyperband = pytest.importorskip("ray.tune.schedulers.async_hyperband")

    class Reported:
        def __init__(self, number):
            self.trial_id = number

    trials, _, trained = simulate(spec("asha"), 27, 60, workers=7)
    bracket = async_hyperband._Bracket(3, 27, 3, 0)
    for trial in trials.found.values():
        for epoch in range(1, 28):
            if epoch == 27:
                break
            best = max(curve(trial.drawn, each) for each in range(1, epoch + 1))
            stops = bracket.on_result(Reported(trial.trial), epoch, best) == "STOP"
            if stops:
                break
        if stops:
            assert (trial.state, trial.epoch) == ("cut", epoch)
        else:
            assert (trial.state, trial.epoch) == ("done", 27)
    states = [trial.state for trial in trials.found.values()]
    assert states.count("cut") > 35
    assert trained < 0.4 * 60 * 27
    possible = [curve(trial.drawn, 27) for trial in trials.found.values()]
    assert trials.best().score > np.quantile(possible, 0.9)


def test_rungs_of_asha():
    assert rungs(spec("asha"), 30) == [4, 12]
    assert rungs(spec("asha", least_epochs=1, reduction=4), 64) == [1, 4, 16]
    assert rungs(spec("asha"), 1) == []
    assert cutoff([], 3) == -math.inf
    assert cutoff([0.0, 1.0, 2.0, 3.0], 4) == pytest.approx(np.percentile([0, 1, 2, 3], 75))
    assert cutoff([None, None, 0.5], 3) == -math.inf


def test_brackets_are_those_of_the_paper():
    # Li et al. 2018, table 1: R = 81, eta = 3
    found = brackets(spec("hyperband"), 81)
    assert [bracket.sizes[0] for bracket in found] == [81, 34, 15, 8, 5]
    assert [bracket.rungs for bracket in found] == [
        (1, 3, 9, 27, 81), (3, 9, 27, 81), (9, 27, 81), (27, 81), (81,)
    ]  # fmt: skip
    assert found[0].sizes == (81, 27, 9, 3, 1)
    assert [bracket.first for bracket in found] == [1, 82, 116, 131, 139]
    shared = brackets(spec("hyperband", trials=20), 81)
    assert [bracket.sizes[0] for bracket in shared] == [11, 5, 2, 1, 1]
    assert sum(bracket.sizes[0] for bracket in brackets(spec("hyperband", trials=3), 81)) == 3
    assert brackets(spec("hyperband"), 1)[0].rungs == (1,)


def test_hyperband_trains_what_its_brackets_say():
    search = spec("hyperband", least_epochs=3)
    trials, _, _ = simulate(search, 27, 17, workers=3)
    for bracket in brackets(search, 27):
        members = [trials.found[bracket.first + i] for i in range(bracket.sizes[0])]
        reached = [sum(trial.epoch >= rung for trial in members) for rung in bracket.rungs]
        assert tuple(reached) == bracket.sizes
        best = max(members, key=lambda trial: trial.epoch)
        assert best.state == "done"
        others = [trial for trial in members if trial.state == "cut" and trial.epoch == bracket.rungs[-2]]
        assert all(trial.best(bracket.rungs[-2]) <= best.best(bracket.rungs[-2]) for trial in others)


def test_what_fails_gives_way_and_changes_no_decision_before_it():
    search, count = CASES["hyperband"][0], 17
    good, _, _ = simulate(search, 9, count, workers=1)
    first = max((t for t in good.found.values() if t.trial <= 9), key=lambda t: t.epoch)
    one, _, _ = simulate(search, 9, count, workers=1, fail={(first.trial, 5)})
    many, _, _ = simulate(search, 9, count, workers=20, fail={(first.trial, 5)})
    assert summary(one) == summary(many)
    assert one.found[first.trial].state == "failed"


def test_a_population_takes_over_what_is_best():
    search, count = CASES["pbt"]
    trials, _, _ = simulate(search, 27, count, workers=3)
    for start in range(3, 27, 3):
        scores = {trial.trial: trial.ends[start - 3] for trial in trials.found.values()}
        order = sorted(scores, key=scores.get, reverse=True)
        parents = {trial.trial: trial.legs[start][1] for trial in trials.found.values()}
        # a fifth of 8, rounded up
        assert [number for number in order if parents[number] != number] == order[-2:]
        assert {parents[number] for number in order[-2:]} <= set(order[:2])
    # a schedule goes back to the weights' own past
    for trial in trials.found.values():
        schedule = trials.schedule(trial)
        assert list(schedule) == list(range(0, 27, 3))
        assert schedule[24] == trial.drawn
    first = [random_point(search, number)["training.learning_rate"] for number in range(1, 9)]
    last = [trial.drawn["training.learning_rate"] for trial in trials.found.values()]
    assert np.median(np.abs(np.log10(last) + 2)) < np.median(np.abs(np.log10(first) + 2))


def test_a_member_that_fails_is_replaced_and_a_population_that_fails_ends():
    search, count = CASES["pbt"]
    trials, _, _ = simulate(search, 27, count, workers=3, fail={(2, 4)})
    assert trials.found[2].ends[3] is None
    assert trials.found[2].legs[6][1] != 2
    assert trials.found[2].state == "done"
    all_failed, _, _ = simulate(search, 27, count, workers=3, fail={(i, 4) for i in range(1, 9)})
    assert {trial.state for trial in all_failed.found.values()} == {"failed"}
    assert all_failed.best() is None


def test_values_change_a_little_and_stay_in_the_space():
    space = spec(
        "pbt",
        {
            "rate": {"log_uniform": [1e-4, 1.0]},
            "choice": {"choice": ["a", "b", "c", "d"]},
            "whole": {"integer": [1, 9]},
        },
    ).space
    generator = np.random.default_rng(0)
    drawn = {"rate": 0.9, "choice": 3, "whole": 8}
    found = [changed(space, drawn, generator) for _ in range(2000)]
    for key, near in (("rate", (0.72, 1.0)), ("choice", (2, 3)), ("whole", (6, 9))):
        share = np.mean([min(abs(each[key] - value) for value in near) < 1e-9 for each in found])
        assert share > 0.74, key  # the others are drawn anew
    assert max(each["rate"] for each in found) <= 1.0
    assert {each["choice"] for each in found} == {0, 1, 2, 3}
    assert changed(space, {"rate": 0.5, "choice": 0, "whole": 1}, np.random.default_rng(3))


def test_repetitions_follow_the_schedule_of_the_best():
    search, count = CASES["pbt"]
    trials, _, _ = simulate(search, 9, count, workers=3)
    best = trials.best()
    plan = Repeats(best, trials.schedule(best), range(2, 4))
    legs = []
    while (leg := plan.next(trials)) is not None:
        legs.append(leg)
        trial = begin(trials, leg, repeat=True)
        end = leg.until or 9
        rows = [{"epoch": epoch, "validation": 0.5, "seconds": 1.0} for epoch in range(1, end + 1)]
        trial.take(Outcome(rows, "done" if end == 9 else "paused"))
    assert [(leg.seed, leg.until) for leg in legs] == [(2, 3), (2, 6), (2, None), (3, 3), (3, 6), (3, None)]
    assert [leg.drawn for leg in legs[:3]] == list(trials.schedule(best).values())
    assert [trial.epoch for trial in trials.repeats_of(best)] == [9, 9]
