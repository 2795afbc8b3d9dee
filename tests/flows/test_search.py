"""`thalweg search` on Ray: its cost, its trials, what it writes, and how it goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from thalweg.flows import cli
from thalweg.flows.check import check
from thalweg.flows.experiment import Experiment
from thalweg.flows.journal import begin
from thalweg.flows.plans import make_plan
from thalweg.flows.proposals import decode
from thalweg.flows.search import begun_before, search_cell
from thalweg.flows.search_result import to_paste
from thalweg.flows.searching import search_experiment, show_trials
from thalweg.flows.space import check_cost, cost_text, count_trials
from thalweg.flows.trial_worker import TrialWorker, pack
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run

SPACE = {
    "training.learning_rate": {"log_uniform": [1e-3, 1e-1]},
    "models.hybrid.network.hidden": {"choice": [[4], [8, 8]]},
    "models.hybrid.components": {"integer": [1, 3]},
}
RATE = {"training.learning_rate": {"log_uniform": [1e-4, 1.0]}}


@pytest.fixture
def spec(content, write, folder):
    """Write the small experiment with a search over ``SPACE``."""
    shutil.copy(Path(__file__).with_name("train_fakes.py"), folder)

    def write_search(**search):
        given = {"algorithm": "random", "model": "hybrid", "space": SPACE, **search}
        if given["algorithm"] != "grid":
            given = {"trials": 4, **given}
        content["search"] = given
        return write(content)

    return write_search


def search(path, train="train", root="runs", **options):
    return search_experiment(path, Path(root), train=f"train_fakes:{train}", **options)


def alone(path, changes):
    """Run the search in this process, one leg after the other."""
    checked = check(path, changes)
    cell = search_cell(checked.experiment, checked.folds)
    worker = TrialWorker(pack(cell), ".", 1, "train_fakes:train", ("alone", ""))
    worker.ready()
    trials = begun_before(cell, Path("alone"))
    plan = make_plan(trials.search, trials.epochs, cell.seed, count_trials(cell.experiment))
    while (leg := plan.next(trials)) is not None:
        begin(trials, leg).take(worker.run(leg))
    return trials


def found(trials):
    return {
        trial.trial: (trial.drawn, trial.state, trial.epoch, trial.score) for trial in trials.found.values()
    }


def trained():
    """Count how often each epoch of each trial was trained, from what the fakes write."""
    counts = Counter()
    for path in Path().glob("trained-*.txt"):
        counts.update((path.stem.removeprefix("trained-"), int(line)) for line in path.read_text().split())
    return counts


# ---- the cost


@pytest.mark.parametrize(
    ("search", "count", "text"),
    [
        ({"algorithm": "random", "trials": 4}, 4, "4 trials: 8 epochs in all"),
        (
            {
                "algorithm": "asha",
                "trials": 9,
                "repeats": 2,
                "space": {"training.epochs": {"integer": [1, 5]}},
            },
            9,
            "9 trials, and 2 repetitions of the best: at most 55 epochs in all",
        ),
        (
            {"algorithm": "hyperband", "space": {"training.epochs": {"choice": [81]}}},
            143,
            "143 trials: 1,581 epochs in all",
        ),
        (
            {
                "algorithm": "grid",
                "space": {
                    "training.epochs": {"integer": [1, 4]},
                    "training.window": {"choice": [10, 20, 30]},
                },
            },
            12,
            "12 trials: 48 epochs in all",
        ),
    ],
)
def test_the_cost_is_known_before(content, search, count, text):
    content["search"] = {"model": "hybrid", "space": SPACE, **search}
    experiment = Experiment.model_validate(content)
    assert count_trials(experiment) == count == check_cost(experiment, yes=False)
    assert cost_text(experiment) == text


EIGHT = (
    "training.epochs",
    "training.window",
    "training.patience",
    "training.batch_sites",
    "training.steps_per_epoch",
    "training.checkpoint_every",
    "models.hybrid.components",
    "training.learning_rate",
)


def test_eight_keys_of_eight_values_are_refused_and_start_nothing(spec):
    space = {key: {"choice": [1, 2, 3, 4, 5, 6, 7, 8]} for key in EIGHT}
    path = spec(algorithm="grid", space=space)
    says = r"16,777,216 trials \(8 x 8 x 8 x 8 x 8 x 8 x 8 x 8\) are more than 1,000: .* --yes"
    started = time.perf_counter()
    with pytest.raises(InputError, match=says):
        search(path)
    assert time.perf_counter() - started < 20
    assert not Path("runs").exists()
    assert check_cost(check(path).experiment, yes=True) == 8**8


def test_values_that_do_not_fit_the_store_are_told_before_anything_starts(spec, content):
    content["data"]["forcings"] = ["precipitation", "temperature", "potential_evapotranspiration"]
    path = spec(
        space={
            "training.window": {"choice": [90, 5000]},
            "data.forcings": {"choice": [["precipitation", "temperature"], ["precipitation", "rain"]]},
            "training.learning_rate": {"choice": [0.1, 0.2]},
            "training.precision": {"choice": ["bf16", "fp16"]},
            "training.accumulate": {"integer": [1, 9]},
        }
    )
    problems = check(path).problems
    assert len(problems) == 4
    assert re.search(r"space.training.precision: fp16: fp16 needs a GPU", problems[2])
    assert re.search(r"space.training.accumulate: 9: a batch of 4 sites has no 9 parts", problems[3])
    assert re.search(r"space.training.window: 5000: warmup 90 \+ window 5000 days do not fit", problems[0])
    assert "search.space.data.forcings: ['precipitation', 'temperature']: hbv needs" in problems[1]


def test_a_population_can_change_only_what_a_checkpoint_can_go_on_with(spec, content):
    content["training"]["patience"] = 3
    space = {
        "training.learning_rate": {"uniform": [0.1, 0.2]},
        "models.hybrid.components": {"integer": [1, 3]},
        "models.hybrid.network.dropout": {"uniform": [0.0, 0.4]},
    }
    problems = check(spec(algorithm="pbt", space=space)).problems
    assert len(problems) == 2
    assert "search.space.models.hybrid.components: pbt changes values while it trains" in problems[1]
    assert "set training.patience to null" in problems[0]


# ---- trials


def test_trials_of_a_real_model_with_a_gap_and_a_cost(spec, ray_cluster, capsys):
    changes = {"training.epochs": 2, "training.steps_per_epoch": 1, "resources.workers": 1}
    path = spec(trials=3, objectives=["validation", "gap", "cost"], repeats=1)
    trials, folder = search_experiment(path, Path("runs"), changes)
    ranked = trials.ranked()
    assert [(trial.state, trial.epoch) for trial in ranked] == [("done", 2)] * 3
    scores = [trial.score for trial in ranked]
    assert scores == sorted(scores, reverse=True)
    table = pd.read_csv(folder / "search.csv")
    assert list(table["score"]) == pytest.approx(scores)
    assert table["training.learning_rate"].between(1e-3, 1e-1).all()
    assert table["models.hybrid.components"].isin([1, 2, 3]).all()
    assert table["gap"].notna().all()
    written = json.loads((folder / "search.json").read_text())
    assert written["best"]["values"] == trials.values(ranked[0])
    assert written["noise"]["scores"] == [trials.repeated[ranked[0].trial, 2].score]
    assert written["noise"]["scores"] != [ranked[0].score]
    assert written["pareto"]
    said = capsys.readouterr().err
    assert "random search of hybrid on temporal, fold 0: 3 trials, and 1 repetition of the best" in said
    assert "8 epochs in all" in said
    # the gap is the training part's efficiency less that of validation, by the same function
    assert all(abs(trial.measures["gap"]) < 10 for trial in ranked)
    by_size = sorted(ranked, key=lambda trial: trial.measures["parameters"])
    assert by_size[0].measures["parameters"] < by_size[-1].measures["parameters"]
    show_trials(trials, folder)
    text = capsys.readouterr().out
    assert "Pareto set of validation, gap, cost (*): trial " in text
    assert "again with 1 other seed" in text
    assert re.search(r"\ntook .* of work, .* windows a second in training", text)
    pasted = yaml.safe_load(text[text.index("to paste:") + 9 :])
    assert pasted["models"]["hybrid"]["components"] == trials.values(ranked[0])["models.hybrid.components"]
    assert not list(folder.glob("search/**/checkpoint*"))  # nothing goes on from them
    ledger = json.loads((folder / "search/trials/0001/ledger.json").read_text())
    assert ledger["total"]["samples"] > 0


def test_a_grid_has_every_combination_and_says_what_failed(spec, ray_cluster, capsys):
    # the fake diverges above a learning rate of 1, and crashes once at batches of 13 sites
    space = {
        "training.learning_rate": {"choice": [0.01, 5.0]},
        "training.batch_sites": {"choice": [3, 13]},
        "models.hybrid.components": {"integer": [1, 2]},
    }
    trials, folder = search(spec(algorithm="grid", space=space))
    values = {trial.trial: tuple(trials.values(trial).values()) for trial in trials.ranked()}
    assert [values[number] for number in range(1, 9)] == [
        (rate, batch, components) for rate in (0.01, 5.0) for batch in (3, 13) for components in (1, 2)
    ]
    states = {values[trial.trial]: trial.state for trial in trials.ranked()}
    assert {state for values, state in states.items() if values[0] == 0.01} == {"done"}
    assert {state for values, state in states.items() if values[0] == 5.0} == {"failed"}
    assert Path("crashed").exists()
    assert trials.ranked()[-1].score is None
    assert trials.ranked()[-1].message == "the loss became nan"
    show_trials(trials, folder)
    assert "the loss became nan" in capsys.readouterr().out
    kept = json.loads((folder / "search" / "trials" / "0005" / "status.json").read_text())
    assert (kept["state"], kept["message"]) == ("failed", "the loss became nan")


@pytest.mark.parametrize(
    ("algorithm", "more"),
    [
        ("asha", {"trials": 7}),
        pytest.param("bayesian", {"lag": 3, "trials": 14}, marks=pytest.mark.slow),
        pytest.param("hyperband", {"trials": None}, marks=pytest.mark.slow),
        pytest.param("pbt", {"trials": 4, "interval": 2}, marks=pytest.mark.slow),
    ],
)
def test_the_same_seed_gives_the_same_search_on_any_number_of_workers(spec, ray_cluster, algorithm, more):
    path = spec(algorithm=algorithm, space=RATE, **more)
    changes = {"training.epochs": 9 if algorithm != "bayesian" else 1}
    one = alone(path, changes)
    two, _ = search(path, "slow", changes=changes)
    assert found(one) == found(two)
    states = Counter(trial.state for trial in one.found.values())
    assert states["cut"] > 0 or algorithm in ("bayesian", "pbt")
    told = Counter(Run(path.parent).state for path in Path("runs/small/search").glob("trials/*/status.json"))
    assert told == {{"cut": "stopped"}.get(state, state): count for state, count in states.items()}


# ---- going on


def test_a_worker_that_is_killed_is_replaced(spec, ray_cluster):
    trials, _ = search(spec(space=RATE), "killed_once", changes={"training.epochs": 3})
    assert {trial.state for trial in trials.found.values()} == {"done"}
    assert Path("killed").exists()
    counts = trained()
    assert counts["0003", 1] == 1  # kept by its checkpoint
    assert counts["0003", 2] == 2
    assert {count for (name, _), count in counts.items() if name != "0003"} == {1}


def test_more_trials_are_the_same_and_some_more(spec, ray_cluster, capsys):
    before, _ = search(spec(trials=3, space=RATE))
    again, _ = search(spec(trials=3, space=RATE))
    assert found(again) == found(before)
    assert max(trained().values()) == 1
    assert "3 of them done before" in capsys.readouterr().err
    more, folder = search(spec(trials=5, space=RATE, repeats=2))
    assert max(trained().values()) == 1
    assert {number: found(more)[number] for number in (1, 2, 3)} == found(before)
    assert len(more.found) == 5
    assert {seed for _, seed in more.repeated} == {2, 3}
    with pytest.raises(InputError, match=r"made by another search \(differs in search.seed\): .* --force"):
        search(spec(trials=5, space=RATE, seed=9))
    assert len(json.loads((folder / "search.json").read_text())["trials"]) == 5


DRIVER = """
import sys
from pathlib import Path
from thalweg.flows.searching import search_experiment
search_experiment(Path("experiment.yaml"), Path("runs"), {"training.epochs": 9}, train="train_fakes:slow")
"""


def drive():
    """Run the search in a process of its own, on the same Ray."""
    import ray

    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    return subprocess.Popen([sys.executable, "-c", DRIVER], env=environment, stderr=subprocess.DEVNULL)


def test_a_driver_that_is_killed_goes_on_as_it_would_have(spec, ray_cluster):
    path = spec(algorithm="asha", trials=8, space=RATE)
    driver = drive()
    journal = Path("runs/small/search/journal.jsonl")
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and (not journal.exists() or journal.read_text().count('"ended"') < 4):
        time.sleep(0.02)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    kept = journal.read_text().count('"ended"')
    assert kept >= 4
    trials, _ = search(path, "slow", changes={"training.epochs": 9})
    again = {key: count for key, count in trained().items() if count > 1}
    # what was finished is not trained again; what was under way repeats one epoch at most
    assert all(count == 2 for count in again.values())
    assert len({name for name, _ in again}) == len(again) <= 2
    assert found(trials) == found(alone(path, {"training.epochs": 9}))


@pytest.mark.slow
def test_branin_on_ray(spec, ray_cluster):
    space = {
        "training.learning_rate": {"uniform": [1e-9, 1.0]},
        "models.hybrid.network.dropout": {"uniform": [0.0, 0.999999]},
    }
    regrets = []
    for seed in range(3):
        path = spec(algorithm="bayesian", trials=36, space=space, seed=seed)
        trials, _ = search(path, "branin", root=f"runs-{seed}", changes={"training.epochs": 1})
        regrets.append(-trials.best().score - 0.39788735772973816)
    assert sorted(regrets)[1] <= 0.05


def test_no_search_section(content, write):
    with pytest.raises(InputError, match="has no `search` section"):
        search(write(content))


def test_pasting(content):
    content["search"] = {"algorithm": "random", "model": "hybrid", "space": SPACE}
    section = Experiment.model_validate(content).search
    drawn = {"training.learning_rate": 0.01, "models.hybrid.network.hidden": 1, "models.hybrid.components": 2}
    values = decode(section, drawn)
    assert values["models.hybrid.network.hidden"] == [8, 8]
    assert yaml.safe_load(to_paste(values)) == {
        "training": {"learning_rate": 0.01},
        "models": {"hybrid": {"network": {"hidden": [8, 8]}, "components": 2}},
    }


def test_an_experiment_with_only_a_search_is_shown(spec, ray_cluster, capsys):
    search(spec(algorithm="random", repeats=1))
    with pytest.raises(SystemExit) as ended:
        cli.main(["show", "small", "--json"])
    assert ended.value.code == 0
    content = json.loads(capsys.readouterr().out)["search"]
    assert content["states"] == {"done": 4}
    assert content["best"]["values"]
    assert content["noise"]["floor"] >= 0 or content["noise"] is None
    with pytest.raises(SystemExit):
        cli.main(["show", "small"])
    shown = capsys.readouterr().out
    assert "small: random search of hybrid on temporal, fold 0: 4 done" in shown
    assert "best of 4 trials (all in runs/small/search.csv)" in shown
    Path("runs/small/search.json").write_text("{")
    with pytest.raises(SystemExit) as ended:
        cli.main(["show", "small"])
    assert ended.value.code == 2
    assert "runs/small/search.json: cannot be read" in capsys.readouterr().err
