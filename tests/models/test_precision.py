"""Networks that train in a lower precision beside physics that does not."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent))
import group_member as member

from thalweg.models.networks.lstm import SequenceNetwork
from thalweg.models.networks.mlp import Mlp
from thalweg.models.training import Trainer


def trained(name, **options):
    made = member.model(name, torch.float32)
    changed = replace(member.OPTIONS, epochs=8, learning_rate=0.02, **options)
    history = Trainer(made, member.everything(torch.float32), changed, seed=3).fit()
    return made, [epoch.loss for epoch in history.epochs]


@pytest.mark.parametrize("name", ["lstm", "hybrid", "varying", "headed"])
def test_bf16_trains_and_stays_near_float32(name):
    model, losses = trained(name, precision="bf16")
    _, exact = trained(name)
    assert losses != exact  # it made a difference
    assert all(abs(a - b) < 0.03 * abs(b) + 0.01 for a, b in zip(losses, exact, strict=True))
    assert min(losses[-3:]) < losses[0]
    assert {weights.dtype for weights in model.parameters()} == {torch.float32}


def test_networks_compute_in_bf16_while_they_train_alone_and_physics_never_does(monkeypatch):
    seen = []
    model = member.model("varying", torch.float32)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda layer, given, out: seen.append(out.dtype))
    from thalweg.models.hybrids import parameter_learning

    simulate = parameter_learning.simulate_routed

    def watched(process, inputs, raw, *arguments, **options):
        assert not torch.is_autocast_enabled("cpu")
        assert {value.dtype for value in raw.values()} == {torch.float32}
        result = simulate(process, inputs, raw, *arguments, **options)
        assert result.target.dtype == torch.float32
        return result

    monkeypatch.setattr(parameter_learning, "simulate_routed", watched)
    options = replace(member.OPTIONS, epochs=1, precision="bf16")
    trainer = Trainer(model, member.everything(torch.float32), options, seed=3)
    trainer.fit()
    assert set(seen) == {torch.bfloat16}
    assert {m.precision for m in model.modules() if isinstance(m, Mlp | SequenceNetwork)} == {torch.bfloat16}
    seen.clear()
    model.eval()(member.everything(torch.float32).inputs, 60)
    assert set(seen) == {torch.float32}


def test_bf16_in_parts_is_near_the_whole():
    _, whole = trained("lstm", precision="bf16")
    _, parts = trained("lstm", precision="bf16", accumulate=3)
    assert all(math.isclose(a, b, rel_tol=0.02) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"accumulate": 7}, "a batch of 6 sites cannot be computed in 7"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        trained("lstm", **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["lstm", "hybrid", "varying"])
def test_on_a_gpu_it_stays_near_float32_and_is_resumed(precision, name, tmp_path):
    def run(precision, checkpoint=None, stop=None):
        made = member.model(name, torch.float32).cuda()
        options = replace(member.OPTIONS, epochs=8, precision=precision)
        trainer = Trainer(made, member.everything(torch.float32), options, seed=3, checkpoint=checkpoint)
        return [epoch.loss for epoch in trainer.fit(lambda epoch: epoch.epoch == stop).epochs]

    exact, losses = run("float32"), run(precision)
    assert all(abs(a - b) < 0.05 * abs(b) + 0.01 for a, b in zip(losses, exact, strict=True))
    run(precision, tmp_path / "c.pt", 4)
    resumed = run(precision, tmp_path / "c.pt")
    assert all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(resumed, losses, strict=True))
