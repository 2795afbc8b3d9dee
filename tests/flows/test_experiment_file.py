"""The experiment file: what is read, what is refused and how that is said."""

import pickle
import sys
from datetime import date
from pathlib import Path

import pytest

from thalweg.flows.experiment import Experiment, load_experiment, override
from thalweg.storage.errors import InputError

EXAMPLES = Path(__file__).parents[2] / "examples"

HEAD = """\
name: sample
data: {store: data/sample.zarr}
splits:
  - {kind: temporal, train: [1989-10-01, 1999-09-30], test: [1999-10-01, 2009-09-30]}
"""


def errors(path):
    with pytest.raises(InputError) as caught:
        load_experiment(path)
    return str(caught.value).splitlines()


def test_a_file_in_full(write):
    path = write("""
        name: sample
        data:
          store: data/sample.zarr
          source: {kind: caravan, path: examples/caravan_sample}
          attributes: [area]
        splits:
          - {kind: temporal, train: [1989-10-01, 1999-09-30], test: [1999-10-01, 2009-09-30]}
          - {kind: ungauged_sites, folds: 3, validate_share: 0.1}
          - {kind: ungauged_regions, name: regions, groups: [[01, 02], [08], 10]}
        models:
          physics: {kind: calibrated, process: hbv, training: {learning_rate: 5e-2}}
          lstm: {kind: lstm, hidden: 32}
          dynamic: {kind: hybrid, network: {kind: lstm}, varying: [recharge_exponent]}
          climatology: {kind: climatology}
        training: {epochs: 5, seeds: [1, 2]}
        search: {algorithm: grid, model: lstm, space: {models.lstm.hidden: {choice: [8, 16]}}}
        resources: {cpus_per_worker: 2}
    """)
    experiment = load_experiment(path)
    assert experiment.splits[0].train == (date(1989, 10, 1), date(1999, 9, 30))
    assert experiment.splits[2].spec()["groups"] == (("01", "02"), ("08",), ("10",))
    assert [split.label for split in experiment.splits] == ["temporal", "ungauged_sites", "regions"]
    assert experiment.training_for("physics").learning_rate == 0.05
    assert experiment.training_for("physics").epochs == 5
    assert experiment.training_for("lstm").learning_rate == 0.001
    assert experiment.seeds_for("lstm") == (1, 2)
    assert experiment.seeds_for("climatology") == (0,)
    assert experiment.resources.torch_threads == 2


def test_the_manifest_reads_back(content):
    content["models"]["physics"]["training"] = {"patience": None, "epochs": 9}
    experiment = Experiment.model_validate(content)
    dumped = experiment.model_dump(mode="json")
    assert dumped["models"]["physics"]["training"] == {"epochs": 9, "patience": None}
    assert dumped["splits"][0]["train"] == ["2001-01-01", "2001-12-31"]
    assert Experiment.model_validate(dumped) == experiment
    assert pickle.loads(pickle.dumps(experiment)) == experiment


@pytest.mark.parametrize(
    ("line", "number", "says"),
    [
        (
            "models: {h: {kind: hybrid, componets: 4}}",
            5,
            "models.h.componets: unknown key; did you mean 'components'?",
        ),
        ("modles: {h: {kind: lstm}}", 5, "modles: unknown key; did you mean 'models'?"),
        ("models: {h: {kind: hybird}}", 5, "models.h.kind: 'hybird' is unknown; did you mean 'hybrid'?"),
        ("models: {h: {process: hbv}}", 5, "models.h.kind: is missing; there is calibrated, lstm, hybrid"),
        ("models: {h: {kind: hybrid, process: hvb}}", 5, "did you mean 'hbv'?"),
        ("models: {h: {kind: hybrid, process: 'no_lab:Snow'}}", 5, "cannot be imported"),
        (
            "models: {h: {kind: lstm, hidden: many}}",
            5,
            "models.h.hidden: must be a whole number, not text 'many'",
        ),
        ("models: {h: {kind: lstm, dropout: 1}}", 5, "models.h.dropout: must be less than 1, not 1"),
        ("models: {H h: {kind: lstm}}", 5, "must be of lower-case letters"),
        ("models: {a--b: {kind: lstm}}", 5, "must be of lower-case letters"),
        ("models: {}", 5, "models: must be 1 or more items"),
        (
            "models: {h: {kind: hybrid, network: {kind: lstm}, varying: [recharge]}}",
            5,
            "models.h.varying: 'recharge' is no parameter of hbv",
        ),
        ("models: {h: {kind: hybrid, varying: [capillary]}}", 5, "need a network that sees the forcing"),
        ("models: {h: {kind: hybrid, network: {kind: lstm}}}", 5, "needs `varying`"),
        (
            "models: {h: {kind: lstm}}\ntraining: {loss: nsee}",
            6,
            "training.loss: 'nsee' is no loss; did you mean 'nse'?",
        ),
        (
            "models: {h: {kind: lstm}}\ntraining: {seed: 1}",
            6,
            "training.seed: unknown key; did you mean 'seeds'?",
        ),
        ("models: {h: {kind: lstm}}\ntraining: {epochs: yes}", 6, "must be a whole number, not true"),
        ("models: {h: {kind: lstm}}\ntraining: {epochs: 1.5}", 6, "must be a whole number, not 1.5"),
        ("models: {h: {kind: lstm}}\ntraining: {learning_rate: fast}", 6, "must be a number such as 0.001"),
        ("models: {h: {kind: lstm}}\ntraining: {learning_rate: .inf}", 6, "must be a finite number"),
        ("models: {h: {kind: lstm}}\ntraining: {seeds: 1}", 6, "must be a list such as [a, b], not 1"),
        ("models: {h: {kind: lstm}}\ntraining: {seeds: [1, 1]}", 6, "names a seed twice"),
        ("models: {h: {kind: lstm}}\ntraining: {window: 0}", 6, "training.window: must be at least 1, not 0"),
        ("models: {h: {kind: lstm}}\ntraining: 5", 6, "training: must be keys with values, not 5"),
        (
            "models: {h: {kind: lstm}}\nsearch: {model: k, space: {training.epochs: {choice: [1]}}}",
            6,
            "search.model: 'k' is no trainable model here; there is h",
        ),
        (
            "models: {h: {kind: lstm}}\nsearch: {model: h, space: {name: {choice: [1], integer: [1, 2]}}}",
            6,
            "must have exactly one of choice",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_place(write, line, number, says):
    found = errors(write(HEAD + line + "\n"))
    assert len(found) == 1
    assert found[0].startswith(f"experiment.yaml:{number}: ")
    assert says in found[0]


def test_all_mistakes_are_listed_in_the_order_of_the_file(write):
    found = errors(
        write("""
            name: Not Good
            data: {store: x.zarr, sorce: {kind: caravan}}
            splits:
              - {kind: temporal, train: [1999-10-01, 1989-10-01], test: [1999-10-01]}
              - {kind: ungauged_site}
            models: {lstm: {kind: lstm, hiden: 3, training: {learning_rat: 1}}}
        """)
    )
    assert [line.split(" ")[1] for line in found] == [
        "name:",
        "data.sorce:",
        "splits.0.train:",
        "splits.0.test.1:",
        "splits.1.kind:",
        "models.lstm.training.learning_rat:",
        "models.lstm.hiden:",
    ]
    assert "starts on 1999-10-01, which is not before its end, 1989-10-01" in found[2]


def test_two_splits_of_a_kind_need_names(write):
    split = "  - {kind: temporal, train: [1989-10-01, 1990-09-30], test: [1991-10-01, 1992-09-30]%s}\n"
    assert "has 'temporal' twice" in errors(write(HEAD + split % "" + "models: {l: {kind: lstm}}\n"))[0]
    named = load_experiment(write(HEAD + split % ", name: early" + "models: {l: {kind: lstm}}\n"))
    assert [each.label for each in named.splits] == ["temporal", "early"]


def test_override(content):
    experiment = Experiment.model_validate(content)
    changed = override(
        experiment,
        {
            "training.learning_rate": 1e-4,
            "models.hybrid.components": 4,
            "models.hybrid.training.epochs": 7,
            "models.hybrid.network.hidden": [8, 8],
            "splits.ungauged_regions.validate_share": 0.2,
            "splits.0.name": "early",
        },
    )
    assert changed.training.learning_rate == 1e-4
    assert changed.models["hybrid"].components == 4
    assert changed.training_for("hybrid").epochs == 7
    assert changed.training_for("physics").epochs == 2
    assert changed.models["hybrid"].network.hidden == (8, 8)
    assert changed.splits[1].validate_share == 0.2
    assert changed.splits[0].label == "early"
    assert experiment.training.learning_rate == 0.02


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (
            "training.learning_rat",
            1,
            "training.learning_rat: training has no key 'learning_rat'; did you mean 'learning_rate'?",
        ),
        ("models.hybird.components", 1, "did you mean 'hybrid'?"),
        ("models.hybrid.componets", 1, "did you mean 'components'?"),
        ("training.epochs.more", 1, "training.epochs has no keys below it"),
        ("splits.temporl.train", 1, "there is no split 'temporl'; did you mean 'temporal'?"),
        ("training.epochs", "many", "training.epochs: must be a whole number, not text 'many'"),
        ("models.hybrid.components", 0, "models.hybrid.components: must be at least 1, not 0"),
    ],
)
def test_override_refuses(content, key, value, says):
    with pytest.raises(InputError) as caught:
        override(Experiment.model_validate(content), {key: value})
    assert says in str(caught.value)


def test_training_has_every_option_of_the_trainer():
    from dataclasses import fields
    from typing import get_args

    from thalweg.flows.model_spec import Training
    from thalweg.models.descent import OPTIMIZERS, TrainingOptions

    keys = Training.model_fields
    for option in fields(TrainingOptions):
        assert keys[option.name].default == option.default, option.name
    assert set(get_args(keys["optimizer"].annotation)) == set(OPTIMIZERS)


# a nightly chain is no experiment, but names one
EXPERIMENTS = sorted(path for path in EXAMPLES.glob("*.yaml") if path.name != "nightly.yaml")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_every_example_reads(path, monkeypatch):
    monkeypatch.chdir(EXAMPLES.parent)
    monkeypatch.setattr(sys, "path", [*sys.path, str(EXAMPLES.parent)])
    assert load_experiment(path).models
