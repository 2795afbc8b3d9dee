"""Distributions in an experiment file: what goes together, and what does not."""

import pytest

from thalweg.flows.check import check
from thalweg.flows.experiment import Experiment, override
from thalweg.flows.fingerprint import configuration, fingerprint
from thalweg.models.headed import HeadedLstm, HeadedPhysics
from thalweg.models.heads import KINDS, MixtureHead

HYBRID = {"kind": "hybrid", "components": 2, "network": {"kind": "mlp", "hidden": [4], "dropout": 0.1}}
LSTM = {"kind": "lstm", "hidden": 4}


def build(model, target="discharge"):
    import torch

    from thalweg.flows.building import build_model

    spec = Experiment.model_validate(content(model)).models["m"]
    return build_model(
        spec,
        attributes=torch.zeros(3, 2),
        donors=torch.ones(3, dtype=torch.bool),
        forcings=["precipitation", "temperature", "potential_evapotranspiration"],
        target=target,
        scale=2.0,
        seed=1,
    )


def content(model):
    split = {"kind": "temporal", "train": ["2001-01-01", "2001-12-31"], "test": ["2002-01-01", "2002-12-31"]}
    return {"name": "e", "data": {"store": "s.zarr"}, "splits": [split], "models": {"m": model}}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_head_on_every_trained_model(kind):
    for model in (LSTM, HYBRID, {"kind": "calibrated"}):
        built = build({**model, "head": {"kind": kind}})
        assert isinstance(built, HeadedLstm if model is LSTM else HeadedPhysics)
        assert built.head.unit == 2.0
        assert built.head.floor == 0.0
        if isinstance(built.head, MixtureHead):
            assert built.head.located is (model is LSTM)


def test_water_temperature_has_no_floor():
    assert build({**LSTM, "head": {"kind": "gaussian"}}, target="water_temperature").head.floor is None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {**LSTM, "head": {"kind": "gausian"}},
            "head.kind: 'gausian' is unknown; did you mean 'gaussian'",
        ),
        (
            {**LSTM, "head": {"kind": "cmal", "component": 2}},
            "head.component: unknown key; did you mean",
        ),
        ({**LSTM, "head": {"kind": "gaussian", "components": 2}}, "no use for 'components' with gaussian"),
        ({**LSTM, "head": {"kind": "cmal", "levels": [0.1]}}, "no use for 'levels' with cmal"),
        ({**LSTM, "head": {"kind": "quantiles", "levels": [0.5, 0.1]}}, "models.m.head.levels: must rise"),
        ({**LSTM, "head": {"kind": "cmal", "hidden": [8]}}, "`head.hidden` is for heads around physics"),
        ({**LSTM, "head": {"kind": "cmal"}, "mc_dropout": 9}, "both `head` and `mc_dropout`"),
        ({**LSTM, "mc_dropout": 1}, "models.m.mc_dropout: must be at least 2"),
        ({**LSTM, "dropout": 0.0, "mc_dropout": 9}, "`mc_dropout` leaves out units: set `dropout` above 0"),
        ({**HYBRID, "network": {"kind": "mlp"}, "mc_dropout": 9}, "set `dropout` above 0"),
        ({"kind": "calibrated", "mc_dropout": 9}, "models.m.mc_dropout: unknown key"),
        ({**LSTM, "conformal": {"level": 1.0}}, "models.m.conformal.level: must be less than 1"),
        ({**LSTM, "conformal": {"method": "cqr"}}, "cqr` needs an interval"),
        ({**LSTM, "conformal": {"method": "scaled"}}, "scaled` needs a spread"),
        ({**LSTM, "head": {"kind": "quantiles"}, "conformal": {"method": "scaled"}}, "needs a spread"),
        ({**LSTM, "conformal": {"level": 0.8}}, "models.m.conformal: is calibrated on a validation part"),
        ({**LSTM, "conformal": {"pooling": "site"}}, "models.m.conformal.pooling: 'site' is unknown"),
        ({**LSTM, "head": {"kind": "cmal"}, "training": {"loss": "nse"}}, "leave out `training.loss`"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(model, message, write):
    problems = check(write(content(model))).problems
    assert len([line for line in problems if line.startswith("experiment.yaml")]) == len(problems) > 0
    assert any(message in line for line in problems), problems


def test_conformal_is_no_reason_to_train_again():
    plain = Experiment.model_validate(content(LSTM))
    other = override(plain, {"models.m.conformal": {"level": 0.8}})
    headed = override(plain, {"models.m.head": {"kind": "gaussian"}})
    names = ("m", "temporal", "0", 1, "abc")
    assert fingerprint(plain, *names) == fingerprint(other, *names) != fingerprint(headed, *names)
    assert configuration(plain, "m") == configuration(other, "m") != configuration(headed, "m")


def test_a_search_finds_the_keys_of_a_head():
    headed = Experiment.model_validate(content({**LSTM, "head": {"kind": "cmal"}}))
    found = override(headed, {"models.m.head.components": 5, "models.m.conformal.level": 0.5})
    assert found.models["m"].head.components == 5
    assert found.models["m"].conformal.level == 0.5
