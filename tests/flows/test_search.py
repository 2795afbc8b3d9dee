"""`thalweg search`: its cost, its trials, what it writes."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from thalweg.flows.experiment import Experiment
from thalweg.flows.searching import search_experiment, show_trials
from thalweg.flows.space import check_cost, count_trials, decode
from thalweg.flows.trials import Trial, Trials, to_paste
from thalweg.storage.errors import InputError

SPACE = {
    "training.learning_rate": {"log_uniform": [1e-3, 1e-1]},
    "models.hybrid.network.hidden": {"choice": [[4], [8, 8]]},
    "models.hybrid.components": {"integer": [1, 3]},
}


@pytest.fixture
def spec(content, write, folder):
    """Write the small experiment with a search over ``SPACE``."""
    shutil.copy(Path(__file__).with_name("train_fakes.py"), folder)

    def write_search(**search):
        content["search"] = {"algorithm": "random", "trials": 4, "model": "hybrid", "space": SPACE, **search}
        return write(content)

    return write_search


def search(path, **options):
    return search_experiment(path, Path("runs"), train="train_fakes:train", **options)


@pytest.mark.parametrize(
    ("algorithm", "space", "count"),
    [
        ("random", SPACE, 4),
        ("grid", {"training.epochs": {"integer": [1, 4]}, "training.window": {"choice": [10, 20, 30]}}, 12),
        (
            "grid",
            {
                f"training.{key}": {"integer": [1, 8]}
                for key in ("epochs", "window", "patience", "batch_sites")
            },
            4096,
        ),
    ],
)
def test_the_cost_is_known_before(content, algorithm, space, count):
    content["search"] = {"algorithm": algorithm, "trials": 4, "model": "hybrid", "space": space}
    section = Experiment.model_validate(content).search
    assert count_trials(section) == count
    if count > 1000:
        with pytest.raises(InputError, match=r"4,096 trials \(8 x 8 x 8 x 8\) are more than 1,000: .* --yes"):
            check_cost(section, yes=False)
    assert check_cost(section, yes=True) == count


def test_too_many_trials_start_nothing(spec):
    with pytest.raises(InputError, match="5,000 trials are more than 1,000"):
        search(spec(trials=5000))
    assert not Path("runs").exists()


def test_random_trials_of_a_real_model(spec, ray_cluster, capsys):
    changes = {"training.epochs": 1, "training.steps_per_epoch": 1, "resources.workers": 1}
    trials, folder = search_experiment(spec(trials=3), Path("runs"), changes)
    ranked = trials.ranked()
    assert [(trial.state, trial.epoch) for trial in ranked] == [("done", 1)] * 3
    scores = [trial.score for trial in ranked]
    assert scores == sorted(scores, reverse=True)
    table = pd.read_csv(folder / "search.csv")
    assert list(table["score"]) == pytest.approx(scores)
    assert table["training.learning_rate"].between(1e-3, 1e-1).all()
    assert table["models.hybrid.components"].isin([1, 2, 3]).all()
    written = json.loads((folder / "search.json").read_text())
    assert written["best"]["values"] == ranked[0].values
    assert "random: 3 trials of hybrid on temporal, fold 0, 1 epoch each" in capsys.readouterr().err
    show_trials(trials, folder)
    text = capsys.readouterr().out
    pasted = yaml.safe_load(text[text.index("to paste:") + 9 :])
    assert pasted["models"]["hybrid"]["components"] == ranked[0].values["models.hybrid.components"]


def test_a_grid_has_every_combination_and_says_what_failed(spec, ray_cluster, capsys):
    # the fake diverges above a learning rate of 1, and crashes once at batches of 13 sites
    space = {
        "training.learning_rate": {"choice": [0.01, 5.0]},
        "training.batch_sites": {"choice": [3, 13]},
        "models.hybrid.components": {"integer": [1, 2]},
    }
    trials, folder = search(spec(algorithm="grid", space=space))
    drawn = sorted(tuple(trial.values.values()) for trial in trials.ranked())
    assert drawn == [
        (rate, batch, components) for rate in (0.01, 5.0) for batch in (3, 13) for components in (1, 2)
    ]
    states = {tuple(trial.values.values()): trial.state for trial in trials.ranked()}
    assert {state for values, state in states.items() if values[0] == 0.01} == {"done"}
    assert {state for values, state in states.items() if values[0] == 5.0} == {"failed"}
    assert Path("crashed").exists()
    assert trials.ranked()[-1].score is None
    assert "the loss became nan" in trials.ranked()[-1].message
    show_trials(trials, folder)
    assert "the loss became nan" in capsys.readouterr().out


def test_bayesian_search_learns(spec, ray_cluster):
    space = {"training.learning_rate": {"log_uniform": [1e-4, 1.0]}}
    trials, _ = search(spec(algorithm="bayesian", trials=24, space=space), changes={"resources.workers": 1})
    # the score of the fake is highest at a learning rate of 0.01
    assert 0.004 < trials.ranked()[0].values["training.learning_rate"] < 0.025
    late = [trial.score for trial in sorted(trials.ranked(), key=lambda trial: trial.trial)[-8:]]
    early = [trial.score for trial in sorted(trials.ranked(), key=lambda trial: trial.trial)[:8]]
    assert sum(late) > sum(early)


def test_asha_cuts_the_worst_and_draws_by_the_seed(spec, ray_cluster):
    trials, _ = search(
        spec(algorithm="asha", trials=9), changes={"training.epochs": 9, "resources.workers": 1}
    )
    states = [trial.state for trial in trials.ranked()]
    assert states[0] == "done"
    assert "cut" in states
    assert all(trial.epoch < 9 for trial in trials.ranked() if trial.state == "cut")
    first = min(trials.ranked(), key=lambda trial: trial.trial)
    assert first.values["training.learning_rate"] == pytest.approx(0.01055956, rel=1e-5)


def test_no_search_section(content, write):
    with pytest.raises(InputError, match="has no `search` section"):
        search(write(content))


def test_ranking_and_pasting(content):
    content["search"] = {"algorithm": "random", "model": "hybrid", "space": SPACE}
    section = Experiment.model_validate(content).search
    drawn = {"training.learning_rate": 0.01, "models.hybrid.network.hidden": 1, "models.hybrid.components": 2}
    values = decode(section, drawn)
    assert values["models.hybrid.network.hidden"] == [8, 8]
    found = {"a": Trial(1, values), "b": Trial(2, values, score=-0.5), "c": Trial(3, values, score=0.5)}
    assert [trial.trial for trial in Trials(section, "temporal", "0", found).ranked()] == [3, 2, 1]
    assert yaml.safe_load(to_paste(values)) == {
        "training": {"learning_rate": 0.01},
        "models": {"hybrid": {"network": {"hidden": [8, 8]}, "components": 2}},
    }
