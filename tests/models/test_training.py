import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from thalweg.models import checkpoint
from thalweg.models.calibrated import Calibrated
from thalweg.models.hybrids import Hybrid
from thalweg.models.inputs import Inputs
from thalweg.models.networks import Lstm
from thalweg.models.processes import find_process
from thalweg.models.sampling import Windows
from thalweg.models.training import DivergenceError, Trainer, TrainingData, TrainingOptions

DAYS, SITES, ATTRIBUTES = 260, 5, 3
OPTIONS = TrainingOptions(
    epochs=4, steps_per_epoch=2, window=60, warmup=60, batch_sites=3, learning_rate=0.01, patience=None
)


def weather(seed=0):
    draw = torch.Generator().manual_seed(seed)
    forcing = {
        "precipitation": 15 * torch.rand(DAYS, SITES, generator=draw) ** 3,
        "temperature": 20 * torch.rand(DAYS, SITES, generator=draw) - 3,
        "potential_evapotranspiration": 3 * torch.rand(DAYS, SITES, generator=draw),
    }
    sequence = torch.stack(list(forcing.values()), -1)
    sequence = (sequence - sequence.mean((0, 1))) / sequence.std((0, 1))
    return Inputs(forcing, sequence, torch.randn(SITES, ATTRIBUTES, generator=draw), torch.arange(SITES))


def truth(inputs):
    torch.manual_seed(99)
    with torch.no_grad():
        return Hybrid(find_process("hbv"), ATTRIBUTES, 3, components=1)(inputs, 0).target


def make(kind, inputs, seed=1):
    torch.manual_seed(seed)
    if kind == "lstm":
        return Lstm(3, ATTRIBUTES, 8, 0.3, 1.0)
    if kind == "calibrated":
        return Calibrated(find_process("hbv"), inputs.attributes)
    varying = ("recharge_exponent",) if kind == "varying" else ()
    return Hybrid(
        find_process("hbv"), ATTRIBUTES, 3, components=2, varying=varying, varying_hidden=4, dropout=0.2
    )


def trainer(kind="lstm", options=OPTIONS, checkpoint=None, validate=None, seed=5):
    torch.set_num_threads(1)
    inputs = weather()
    observed = truth(inputs)
    observed[:60] = torch.nan
    data = TrainingData(inputs, observed, torch.ones(SITES))
    return Trainer(make(kind, inputs), data, options, seed=seed, checkpoint=checkpoint, validate=validate)


def weights(t):
    return {name: value.clone() for name, value in t.model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["lstm", "calibrated", "hybrid", "varying"])
def test_training_lowers_the_loss(kind):
    options = TrainingOptions(
        epochs=10, steps_per_epoch=3, window=100, warmup=60, batch_sites=5, learning_rate=0.03
    )
    history = trainer(kind, options).fit()
    losses = [epoch.loss for epoch in history.epochs]
    assert min(losses[-3:]) < losses[0]


@pytest.mark.parametrize("kind", ["lstm", "hybrid", "calibrated"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(kind):
    first, second, other = trainer(kind), trainer(kind), trainer(kind, seed=6)
    for t in (first, second, other):
        t.fit()
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize("kind", ["lstm", "varying"])
def test_stopped_and_resumed_is_bitwise_the_same(kind, tmp_path):
    whole = trainer(kind)
    expected = whole.fit()
    trainer(kind, checkpoint=tmp_path / "c.pt").fit(lambda epoch: epoch.epoch == 2)
    torch.manual_seed(12345)
    resumed = trainer(kind, checkpoint=tmp_path / "c.pt")
    found = resumed.fit()
    assert same(weights(whole), weights(resumed))
    assert [e.loss for e in found.epochs] == [e.loss for e in expected.epochs]


KILLED = """
import importlib.util, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("t", sys.argv[1]); t = importlib.util.module_from_spec(spec)
spec.loader.exec_module(t)
def slowly(epoch):
    print(epoch.epoch, flush=True)
    time.sleep(0.3)
t.trainer("lstm", checkpoint=Path(sys.argv[2])).fit(slowly)
"""


def test_killed_with_sigkill_and_resumed_is_bitwise_the_same(tmp_path):
    whole = trainer("lstm")
    whole.fit()
    checkpoint = tmp_path / "c.pt"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, __file__, str(checkpoint)], stdout=subprocess.PIPE, text=True
    )
    for line in child.stdout:
        if line.strip() == "3":
            os.kill(child.pid, signal.SIGKILL)
            break
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    assert checkpoint.exists()
    resumed = trainer("lstm", checkpoint=checkpoint)
    begun = time.time()
    seen = []
    resumed.fit(lambda epoch: seen.append(epoch.epoch))
    assert seen[0] > 1, "nothing was kept"
    assert same(weights(whole), weights(resumed)), time.time() - begun


def test_a_half_written_checkpoint_never_replaces_a_good_one(tmp_path, monkeypatch):
    checkpoint = tmp_path / "c.pt"
    trainer("lstm", checkpoint=checkpoint).fit(lambda epoch: epoch.epoch == 1)
    good = checkpoint.read_bytes()

    def no_space(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("thalweg.models.checkpoint.os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        trainer("lstm", checkpoint=checkpoint).fit()
    assert checkpoint.read_bytes() == good
    assert list(tmp_path.iterdir()) == [checkpoint]


def _cut(content):
    return content[: len(content) // 2]


def _flip_a_bit(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [_cut, _flip_a_bit, lambda content: b""])
@pytest.mark.parametrize("both", [False, True])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, both, tmp_path):
    whole = trainer("lstm")
    whole.fit()
    checkpoint = tmp_path / "c.pt"
    trainer("lstm", checkpoint=checkpoint).fit(lambda epoch: epoch.epoch == 3)
    for path in (checkpoint, tmp_path / "c.previous.pt")[: 1 + both]:
        path.write_bytes(damage(path.read_bytes()))
    resumed = trainer("lstm", checkpoint=checkpoint)
    seen = []
    with pytest.warns(UserWarning, match="damaged"):
        resumed.fit(lambda epoch: seen.append(epoch.epoch))
    assert seen[0] == (1 if both else 3)
    assert same(weights(whole), weights(resumed))


def test_two_that_save_at_the_same_time_leave_a_whole_checkpoint(tmp_path):
    """A worker that was believed lost goes on for seconds beside the one that took its place."""
    path, content = tmp_path / "c.pt", {"weights": torch.arange(1000.0)}

    def save():
        for _ in range(60):
            checkpoint.save_checkpoint(content, path)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(save) for _ in range(2)]:
            done.result()
    left = tmp_path / "c.pt.0123456789ab.partial"
    left.touch()
    assert torch.equal(checkpoint.load_checkpoint(path, torch.device("cpu"))["weights"], content["weights"])
    checkpoint.save_checkpoint(content, path)
    assert left.exists()  # its writer may be at it
    os.utime(left, (0, 0))
    checkpoint.save_checkpoint(content, path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.previous.pt", "c.pt"]
    left.touch()
    checkpoint.remove_checkpoint(path)
    assert not list(tmp_path.iterdir())


def test_weights_that_the_last_step_broke_are_not_kept():
    broken = trainer("lstm", options=replace(OPTIONS, epochs=1, steps_per_epoch=1))

    def breaks(*ignored):
        next(broken.model.parameters()).data.fill_(float("nan"))

    broken.descent.optimizer.register_step_post_hook(breaks)
    with pytest.raises(DivergenceError, match="weights became NaN"):
        broken.fit()


def test_early_stopping_keeps_the_best_weights():
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    kept = {}
    options = TrainingOptions(epochs=6, steps_per_epoch=1, window=60, warmup=60, patience=2)
    t = trainer("lstm", options, validate=lambda model: next(scores))
    history = t.fit(lambda epoch: kept.update({epoch.epoch: weights(t)}))
    assert [e.epoch for e in history.epochs] == [1, 2, 3, 4]
    assert history.best_epoch == 2
    assert same(weights(t), kept[2])


def test_divergence_is_said_with_what_to_try():
    t = trainer("lstm")
    t.data.deviation[:] = torch.nan
    with pytest.raises(DivergenceError, match=r"epoch 1, step 1.*training.learning_rate"):
        t.fit()


def test_every_site_is_seen_equally_often():
    observed = torch.rand(200, 7)
    windows = Windows(observed, 50, 50, 3, seed=0)
    seen = torch.cat([windows.draw()[0] for _ in range(70)])
    counts = torch.bincount(seen, minlength=7)
    assert int(counts.max() - counts.min()) <= 1


def test_a_site_never_observed_is_never_drawn():
    observed = torch.rand(200, 4)
    observed[:, 2] = torch.nan
    windows = Windows(observed, 50, 50, 2, seed=0)
    assert 2 not in torch.cat([windows.draw()[0] for _ in range(20)])


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (torch.rand(99, 2), "do not fit into the 99 days"),
        (torch.full((200, 2), torch.nan), "no training site"),
    ],
)
def test_windows_that_cannot_be_drawn_are_refused(observed, message):
    with pytest.raises(ValueError, match=message):
        Windows(observed, 50, 50, 2, seed=0)


def test_a_site_not_trained_on_takes_the_parameters_of_the_most_similar():
    inputs = weather()
    model = make("calibrated", inputs)
    with torch.no_grad():
        model.raw.normal_()
    new = Inputs(
        inputs.forcing, inputs.sequence, inputs.attributes[[3, 1, 0, 2, 4]] + 1e-3, torch.full((5,), -1)
    )
    told = Inputs(inputs.forcing, inputs.sequence, inputs.attributes, torch.tensor([3, 1, 0, 2, 4]))
    torch.testing.assert_close(model(new, 60).target, model(told, 60).target)


def test_details_add_up():
    inputs = weather()
    prediction = make("hybrid", inputs).eval()(inputs, 60, details=True)
    parts = sum(prediction.fluxes[name] for name in ("quick_flow", "interflow", "baseflow"))
    torch.testing.assert_close(parts, prediction.fluxes["discharge"])
    assert prediction.parameters["field_capacity"].shape == (SITES, 2)
    assert prediction.parameters["routing_shape"].shape == (SITES,)
    assert prediction.target.shape == (DAYS - 60, SITES)
    assert bool((prediction.target >= 0).all())


def test_prediction_after_warmup_does_not_depend_on_how_it_is_cut():
    inputs = weather()
    model = make("varying", inputs).eval()
    torch.testing.assert_close(model(inputs, 60).target[40:], model(inputs, 100).target)


def test_a_site_never_calibrated_is_no_donor():
    inputs = weather()
    donors = torch.tensor([True, True, True, False, True])
    model = Calibrated(find_process("hbv"), inputs.attributes, donors)
    with torch.no_grad():
        model.raw.normal_()
    unknown = Inputs(inputs.forcing, inputs.sequence, inputs.attributes, torch.full((SITES,), -1))
    taken = model._parameter_site(unknown)
    assert taken.tolist()[:3] == [0, 1, 2]
    assert int(taken[3]) != 3


def test_without_attributes_nothing_is_similar():
    inputs = weather()
    bare = Inputs(inputs.forcing, inputs.sequence, inputs.attributes[:, :0], torch.full((SITES,), -1))
    with pytest.raises(ValueError, match="without attributes"):
        Calibrated(find_process("hbv"), bare.attributes)(bare, 60)


def test_a_validation_of_nan_is_never_the_best():
    scores = iter([float("nan"), 0.5, float("nan"), 0.4])
    options = TrainingOptions(epochs=4, steps_per_epoch=1, window=60, warmup=60)
    history = trainer("lstm", options, validate=lambda model: next(scores)).fit()
    assert history.best_epoch == 2
    assert history.best_score == 0.5


@pytest.mark.parametrize("kind", ["hybrid", "calibrated"])
def test_weights_of_components_are_learned(kind):
    """They sum to one, begin alike in calibration, move in training, and no water is lost."""
    inputs = weather()
    torch.manual_seed(3)
    model = (
        Hybrid(find_process("hbv"), ATTRIBUTES, 3, components=4, learned_weights=True)
        if kind == "hybrid"
        else Calibrated(find_process("hbv"), inputs.attributes, components=4, learned_weights=True)
    )
    before = model(inputs, 30, details=True).parameters["component_weight"].detach()
    assert before.shape == (SITES, 4)
    torch.testing.assert_close(before.sum(-1), torch.ones(SITES))
    observed = truth(inputs)
    options = replace(OPTIONS, epochs=2)
    Trainer(model, TrainingData(inputs, observed, torch.ones(SITES)), options, seed=2).fit()
    found = model(inputs, 30, details=True)
    weights = found.parameters["component_weight"]
    assert (weights - before).abs().max() > 1e-4
    torch.testing.assert_close(weights.sum(-1), torch.ones(SITES))
    stored = sum(found.states.values())
    change = stored[-1] - stored[0]
    rain, gone = inputs.forcing["precipitation"][31:], found.fluxes["evapotranspiration"][1:]
    runoff = found.fluxes["discharge"][1:]
    torch.testing.assert_close(rain.sum(0) - gone.sum(0) - runoff.sum(0), change, rtol=0, atol=0.02)
