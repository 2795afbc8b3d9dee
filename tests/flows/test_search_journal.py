"""The journal of a search, whose it is, and what is made of its trials: the Pareto set and the noise."""

import json
import statistics
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from thalweg.flows.cell_spec import Cell
from thalweg.flows.experiment import Experiment, Search
from thalweg.flows.halving import brackets
from thalweg.flows.journal import NAME, Journal, begin
from thalweg.flows.noise import indistinct, noise_of
from thalweg.flows.search_claim import claim
from thalweg.flows.search_result import content as result
from thalweg.flows.trials import Leg, Outcome, Trial, Trials
from thalweg.storage.errors import InputError

RATE = {"training.learning_rate": {"log_uniform": [1e-4, 1.0]}}


def spec(**changes):
    return Search.model_validate({"algorithm": "random", "model": "hybrid", "space": RATE, **changes})


def leg(number, rate, seed=1, **changes):
    return Leg(number, seed, {"training.learning_rate": rate}, f"trials/{number:04d}", **changes)


def done(*scores, **measures):
    rows = [
        {"epoch": epoch, "loss": 0.1, "validation": score, "seconds": 2.0}
        for epoch, score in enumerate(scores, 1)
    ]
    return Outcome(rows, "done", measures)


def read(journal, search):
    trials = Trials(search, "s", "0", 3)
    journal.read(trials)
    return trials


def test_a_journal_gives_back_what_was_written(tmp_path):
    journal = Journal(tmp_path / "search")
    assert journal.header() is None
    journal.begin({"search": {}})
    journal.begun(leg(1, 0.1))
    journal.begun(leg(2, 0.2))
    journal.ended(leg(1, 0.1), done(0.5, 0.75, parameters=7.0))
    journal.begun(leg(1, 0.1, seed=2), repeat=True)
    journal.ended(leg(1, 0.1, seed=2), Outcome([], "failed", message="broke", accident=True), repeat=True)
    assert journal.header() == {"format": 1, "search": {}}
    trials = read(journal, spec())
    assert (trials.found[1].state, trials.found[1].score, trials.found[1].seconds) == ("done", 0.75, 4.0)
    assert trials.found[1].measures == {"parameters": 7.0}
    assert (trials.found[2].state, trials.found[2].score) == ("paused", None)
    assert trials.found[2].drawn == {"training.learning_rate": 0.2}
    assert trials.repeated[1, 2].message == "broke"


def test_legs_of_a_population_are_read_with_their_parents(tmp_path):
    journal = Journal(tmp_path)
    journal.begin({})
    for number, score in ((1, 0.5), (2, 0.25)):
        journal.begun(leg(number, 0.1 * number, start=0, parent=number))
        journal.ended(leg(number, 0.1 * number, start=0, parent=number), done(score))
    journal.begun(leg(2, 0.08, start=1, parent=1))
    trials = read(journal, spec(algorithm="pbt"))
    assert trials.found[2].ends == {0: 0.25}
    assert trials.found[2].legs[1] == ({"training.learning_rate": 0.08}, 1)
    assert trials.found[2].state == "paused"
    assert list(trials.schedule(trials.found[2]).values()) == [
        {"training.learning_rate": 0.1},
        {"training.learning_rate": 0.08},
    ]


@pytest.mark.parametrize("kept", range(0, 400, 7))
def test_a_journal_cut_off_anywhere_is_read_and_goes_on(tmp_path, kept):
    journal = Journal(tmp_path)
    journal.begin({"search": 1})
    journal.begun(leg(1, 0.1))
    journal.ended(leg(1, 0.1), done(0.5))
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[: len(whole) - min(kept, len(whole))])
    before = read(journal, spec())
    if journal.header() is None:
        journal.begin({"search": 1})
    journal.begun(leg(2, 0.2))
    after = read(journal, spec())
    assert set(after.found) == {*before.found, 2}
    assert {trial.state for trial in before.found.values()} <= {"paused", "done"}
    assert journal.header() == {"format": 1, "search": 1}


def test_a_journal_of_a_newer_version_is_not_touched(tmp_path):
    (tmp_path / NAME).write_text('{"format": 99}\n')
    with pytest.raises(InputError, match="format 99 is unknown here"):
        Journal(tmp_path).header()


@pytest.fixture
def cell(content):
    def make(**changes):
        changed = json.loads(json.dumps(content))
        changed["search"] = spec(**changes.pop("search", {})).model_dump(exclude_none=True)
        for key, value in changes.items():
            place, _, last = key.rpartition(".")
            target = changed
            for part in filter(None, place.split(".")):
                target = target[part]
            target[last] = value
        fold = SimpleNamespace(split="temporal", fold="0")
        return Cell(Experiment.model_validate(changed), "hybrid", fold, 1, "v1")

    return make


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"search": {"space": {"training.learning_rate": {"uniform": [0.1, 0.2]}}}}, "search.space.training"),
        ({"search": {"algorithm": "asha"}}, "search.algorithm"),
        ({"search": {"seed": 2}}, "search.seed"),
        ({"training.window": 60}, "training.window"),
        ({"training.warmup": 91}, "training.warmup"),
        ({"models.hybrid.components": 3}, "models.hybrid.components"),
    ],
)
def test_another_search_under_the_same_name_is_refused(cell, tmp_path, changes, says):
    claim(cell(), tmp_path)
    with pytest.raises(InputError, match=f"made by another search .differs in .*{says}.*--force"):
        claim(cell(**changes), tmp_path)
    journal = Journal(tmp_path / "search")
    journal.begun(leg(1, 0.1))
    claim(cell(**changes), tmp_path, force=True)
    assert not read(journal, spec()).found
    claim(cell(**changes), tmp_path)


def test_what_makes_no_difference_to_a_search_is_not_refused(cell, tmp_path):
    claim(cell(), tmp_path)
    Journal(tmp_path / "search").begun(leg(1, 0.1))
    # the searched key itself, more trials, repetitions, another model, the machine, how often it is saved
    same = cell(
        **{
            "training.learning_rate": 0.5,
            "training.checkpoint_every": 2,
            "models.climatology": {"kind": "persistence"},
            "resources": {"workers": 2},
            "search": {"trials": 40, "repeats": 3},
        }
    )
    claim(same, tmp_path)
    claim(same, tmp_path, force=True)
    assert list(read(Journal(tmp_path / "search"), spec()).found) == [1]


def test_results_without_a_journal_are_not_replaced(cell, tmp_path):
    (tmp_path / "search.json").write_text("{}")
    with pytest.raises(InputError, match="its journal is not there"):
        claim(cell(), tmp_path)
    claim(cell(), tmp_path, force=True)
    assert not (tmp_path / "search.json").exists()


def made(search, *scores, **measures):
    trials = Trials(search, "s", "0", 1)
    for number, score in enumerate(scores, 1):
        trial = begin(trials, leg(number, 0.1))
        trial.take(done(score, **{key: values[number - 1] for key, values in measures.items()}))
    return trials


def test_the_pareto_set_is_what_nothing_beats():
    search = spec(objectives=["validation", "gap", "cost"])
    trials = made(
        search, 0.9, 0.8, 0.8, 0.7, 0.95,
        gap=[0.2, 0.1, 0.1, 0.2, 0.3], parameters=[100, 100, 100, 100, 50],
    )  # fmt: skip
    assert [trial.trial for trial in trials.pareto()] == [1, 2, 3, 5]
    assert trials.best().trial == 5
    trials.found[5].state = "cut"  # at another epoch: not to be compared
    assert [trial.trial for trial in trials.pareto()] == [1, 2, 3]
    found = result(trials)
    assert found["pareto"] == [1, 2, 3]
    assert found["trials"][1]["objectives"] == {"validation": 0.9, "gap": 0.2, "cost": 100.0}
    first_gap = made(spec(objectives=["gap"]), 0.9, 0.5, gap=[0.3, 0.1])
    assert first_gap.best().trial == 2


def test_the_cost_may_be_seconds():
    trials = made(spec(objectives=["validation", "cost"], cost="seconds"), 0.9, 0.9, parameters=[5, 1])
    trials.found[2].rows[0]["seconds"] = 1.0
    assert [trial.trial for trial in trials.pareto()] == [2]


def test_noise_is_the_spread_over_seeds_and_says_which_trials_are_within():
    trials = made(spec(repeats=3), 0.80, 0.79, 0.60, 0.70)
    assert noise_of(trials) is None
    for seed, score in ((2, 0.78), (3, 0.79), (4, 0.81)):
        trials.repeated[1, seed] = Trial(1, seed, {}, "done", done(score).rows, repeats=1)
    trials.repeated[1, 5] = Trial(1, 5, {}, "failed", done(9.0).rows, repeats=1)
    # of a trial that was the best once
    trials.repeated[2, 2] = Trial(2, 2, {}, "done", done(9.0).rows, repeats=2)
    noise = noise_of(trials)
    assert noise.scores == [0.78, 0.79, 0.81]
    assert noise.mean == pytest.approx(0.79333, abs=1e-4)
    assert noise.spread == pytest.approx(statistics.stdev([0.80, 0.78, 0.79, 0.81]))
    assert noise.floor == pytest.approx(3.1824 * 2**0.5 * noise.spread, rel=1e-4)  # Student's t, 3 degrees
    assert [trial.trial for trial in indistinct(trials, noise)] == [2]
    assert [trial["trial"] for trial in result(trials)["trials"] if trial["within_noise"]] == [2]


def test_the_floor_holds_for_differences_of_the_seed_alone():
    import numpy as np

    random = np.random.default_rng(1)
    within = 0
    for _ in range(300):
        scores = random.normal(0.7, 0.02, 5)
        trials = made(spec(repeats=3), scores[0])
        for seed, score in enumerate(scores[1:4], 2):
            trials.repeated[1, seed] = Trial(1, seed, {}, "done", done(float(score)).rows, repeats=1)
        within += abs(random.normal(0.7, 0.02) - random.normal(0.7, 0.02)) <= noise_of(trials).floor
    assert 0.9 < within / 300 < 0.99


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lag": 4}, "no use for 'lag' with random: it is for bayesian"),
        ({"algorithm": "bayesian", "reduction": 4}, "no use for 'reduction' with bayesian: it is for asha"),
        ({"algorithm": "asha", "interval": 4}, "no use for 'interval' with asha: it is for pbt"),
        ({"algorithm": "asha", "objectives": ["gap"]}, "stops trials by their validation"),
        ({"objectives": ["gap", "gap"]}, "names an objective twice"),
        ({"algorithm": "pbt", "trials": 1}, "at least 2 trials"),
    ],
)
def test_keys_of_a_search_that_would_be_without_effect(changes, says):
    with pytest.raises(ValueError, match=says):
        spec(**changes)


def test_the_example_of_the_documentation_is_a_search():
    text = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
    example = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
    assert Search.model_validate(example["search"]).repeats == 4
    assert sum(each.sizes[0] for each in brackets(spec(algorithm="hyperband"), 30)) == 49  # as it says
