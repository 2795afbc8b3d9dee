"""Proposals: a function of seed, number and results; a known answer; scores without a lower bound."""

import statistics

import numpy as np
import pytest

from thalweg.flows.experiment import Search
from thalweg.flows.plans import Bayesian
from thalweg.flows.proposals import decode, draw, grid_point, learned_point, random_point
from thalweg.flows.trials import Trial, Trials

BRANIN = {"x": {"uniform": [-5.0, 10.0]}, "y": {"uniform": [0.0, 15.0]}}
MINIMUM = 0.39788735772973816
MIXED = {
    "rate": {"log_uniform": [1e-4, 1.0]},
    "hidden": {"choice": [[4], [8, 8], [16]]},
    "components": {"integer": [1, 9]},
    "dropout": {"uniform": [0.0, 0.5]},
}


def branin(x, y):
    return (
        (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x)
        + 10
    )


def spec(space, **changes):
    return Search.model_validate({"algorithm": "bayesian", "model": "m", "space": space, **changes})


def ended(number, drawn, score, state="done"):
    row = {"epoch": 1, "loss": 0.0, "validation": score, "seconds": 0.0}
    return Trial(number, 1, drawn, state, [] if score is None else [row])


def search(search_spec, function, count):
    """Run a search as fast as its proposals allow: all that can run at once ends at once."""
    plan = Bayesian(search_spec, 1, 1, count)
    trials = Trials(search_spec, "s", "0", 1)
    for number in range(1, count + 1):
        drawn = plan.propose(number, trials)
        trials.found[number] = ended(number, drawn, function(**drawn))
    return trials


@pytest.mark.parametrize("seeds", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_branin_in_36_trials(seeds):
    regrets = {"random": [], "bayesian": []}
    for seed in range(seeds):
        found = search(spec(BRANIN, seed=seed), lambda x, y: -branin(x, y), 36)
        regrets["bayesian"].append(-found.best().score - MINIMUM)
        drawn = [random_point(spec(BRANIN, seed=seed), number) for number in range(1, 37)]
        regrets["random"].append(min(branin(**point) for point in drawn) - MINIMUM)
    median = {name: statistics.median(values) for name, values in regrets.items()}
    assert min(min(values) for values in regrets.values()) >= 0
    assert median["bayesian"] <= 0.05
    assert median["bayesian"] <= median["random"] / 10


def test_scores_far_below_do_not_hide_what_is_good():
    def efficiency(x, y):
        return 0.8 - 0.02 * branin(x, y) - (50 * np.exp(y - 12) if y > 12 else 0.0)  # down to -1000

    best = 0.8 - 0.02 * MINIMUM
    assert best - search(spec(BRANIN), efficiency, 36).best().score < 0.02  # without a bound: 0.03


def test_a_proposal_follows_from_what_is_told_alone():
    given = spec(MIXED)
    told = [
        (random_point(given, number), [float(np.cos(3.0 * number))] if number % 4 else None)
        for number in range(1, 18)
    ]
    pending = [random_point(given, number) for number in (18, 19, 20)]
    first = learned_point(given, 21, told, pending)
    assert learned_point(given, 21, told, pending) == first
    assert learned_point(given, 21, told, pending[:1]) != first
    assert learned_point(given, 22, told, pending) != first
    assert learned_point(spec(MIXED, seed=2), 21, told, pending) != first
    values = decode(given, first)
    assert 1e-4 <= values["rate"] <= 1.0
    assert values["hidden"] in ([4], [8, 8], [16])
    assert values["components"] in range(1, 10)
    assert learned_point(given, 21, told[:5], pending) == random_point(given, 21)  # too few to learn from
    assert learned_point(spec(MIXED, sampler="tpe"), 21, told, pending) != first


def test_two_objectives_lead_to_their_trade_off():
    # a skill that rises with x and a gap that rises with its square: the front is all x, nothing has y > 0
    given = spec(
        {"x": {"uniform": [0.0, 1.0]}, "y": {"uniform": [0.0, 1.0]}}, objectives=["validation", "gap"]
    )
    plan, trials = Bayesian(given, 1, 1, 22), Trials(given, "s", "0", 1)
    for number in range(1, 23):
        drawn = plan.propose(number, trials)
        trial = ended(number, drawn, drawn["x"] - drawn["y"])
        trial.measures["gap"] = drawn["x"] ** 2 + drawn["y"]
        trials.found[number] = trial
    late = [trials.found[number].drawn["y"] for number in range(17, 23)]
    assert statistics.median(late) < 0.05
    front = trials.pareto()
    assert len(front) > 5
    for one in front:
        for other in front:
            better = other.score > one.score and other.measures["gap"] < one.measures["gap"]
            assert not better


def test_what_is_drawn_at_random_is_within_the_space_and_spread_over_it():
    given = spec(MIXED)
    points = [random_point(given, number) for number in range(1, 2001)]
    rates = np.log10([point["rate"] for point in points])
    assert rates.min() >= -4
    assert rates.max() <= 0
    assert np.histogram(rates, 4, (-4, 0))[0].min() > 440
    assert np.bincount([point["hidden"] for point in points]).min() > 600
    assert sorted({point["components"] for point in points}) == list(range(1, 10))
    assert points[:5] == [random_point(given, number) for number in range(1, 6)]
    assert draw(given.space["hidden"], np.random.default_rng(1)) in (0, 1, 2)


def test_a_grid_has_every_point_once_and_in_order():
    given = spec({"a": {"integer": [3, 4]}, "b": {"choice": ["x", "y", "z"]}}, algorithm="grid")
    values = [decode(given, grid_point(given, number)) for number in range(1, 7)]
    assert [tuple(each.values()) for each in values] == [(a, b) for a in (3, 4) for b in "xyz"]
    assert list(values[0]) == ["a", "b"]


@pytest.mark.parametrize("lag", [1, 4, 7])
def test_a_proposal_waits_for_all_trials_but_the_last_few(lag):
    given = spec(BRANIN, lag=lag)
    plan, trials = Bayesian(given, 1, 1, 40), Trials(given, "s", "0", 1)
    for number in range(1, 21):
        trials.found[number] = ended(number, random_point(given, number), 0.1 * number)
    due = plan.propose(21, trials)
    for number in range(21 - lag + 1, 21):  # whether the last few have ended makes no difference
        trials.found[number].state = "running"
    assert plan.propose(21, trials) == due
    trials.found[21 - lag].state = "running"
    assert plan.propose(21, trials) is None
    assert plan.width(trials) <= lag
