"""One process of a group that trains together: `group_member.py RANK SIZE FOLDER`; tests import it too."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from thalweg.models.batches import make_batches
from thalweg.models.calibrated import Calibrated
from thalweg.models.descent import Descent, TrainingOptions
from thalweg.models.group import ALONE, Group, LostWorkerError
from thalweg.models.headed import HeadedLstm
from thalweg.models.heads import make_head
from thalweg.models.hybrids import Hybrid
from thalweg.models.inputs import Inputs
from thalweg.models.networks import Lstm
from thalweg.models.processes import find_process
from thalweg.models.training import Trainer
from thalweg.models.training_data import SharedData, StreamedData, TrainingData

DAYS, SITES, ATTRIBUTES, WARMUP = 260, 11, 3, 60
OPTIONS = TrainingOptions(
    epochs=4, steps_per_epoch=2, window=60, warmup=WARMUP, batch_sites=6, learning_rate=0.01
)
KINDS = ("lstm", "calibrated", "hybrid", "varying", "headed")
LOSSES = ("mse", "nse", "log_nse", "kge")


def everything(kind=torch.float64, sparse=False):
    """All sites; some have long gaps, one has no observation, and their deviations differ much."""
    draw = torch.Generator().manual_seed(3)
    forcing = {
        "precipitation": 15 * torch.rand(DAYS, SITES, generator=draw, dtype=kind) ** 3,
        "temperature": 20 * torch.rand(DAYS, SITES, generator=draw, dtype=kind) - 3,
        "potential_evapotranspiration": 3 * torch.rand(DAYS, SITES, generator=draw, dtype=kind),
    }
    sequence = torch.stack(list(forcing.values()), -1)
    sequence = (sequence - sequence.mean((0, 1))) / sequence.std((0, 1))
    attributes = torch.randn(SITES, ATTRIBUTES, generator=draw, dtype=kind)
    observed = 4 * torch.rand(DAYS, SITES, generator=draw, dtype=kind) ** 2
    observed[torch.rand(DAYS, SITES, generator=draw) < torch.linspace(0, 0.9, SITES)] = torch.nan
    observed[:WARMUP] = torch.nan
    observed[:, 4] = torch.nan
    if sparse:
        observed[:200] = torch.nan
    deviation = torch.linspace(0.1, 5.0, SITES, dtype=kind)
    return TrainingData(
        Inputs(forcing, sequence, attributes, torch.arange(SITES)), observed, deviation, sparse=sparse
    )


def some(data, places):
    places = torch.as_tensor(places)
    inputs = Inputs(
        {name: series[:, places] for name, series in data.inputs.forcing.items()},
        data.inputs.sequence[:, places],
        data.inputs.attributes[places],
        data.inputs.site[places],
    )
    return TrainingData(inputs, data.observed[:, places], data.deviation[places], sparse=data.sparse)


def shared(group, **what):
    """What a process holds of the sites."""
    data = everything(**what)
    if group.alone:
        return data
    places = torch.arange(SITES).tensor_split(group.size)[group.rank]
    return SharedData.of(some(data, places), places, SITES, WARMUP, group)


def streamed(group, **what):
    data = everything(**what)
    held = torch.arange(SITES) % group.size == group.rank
    return StreamedData(
        lambda places: some(data, places), data.attributes, data.deviation, data.observed_days(WARMUP),
        [list(range(first, min(first + 3, SITES))) for first in range(0, SITES, 3)], DAYS, 6,
        None if group.alone else held,
    )  # fmt: skip


def model(name, kind=torch.float64, dropout=0.0):
    torch.manual_seed(1)
    data = everything(kind)
    if name == "lstm":
        made = Lstm(3, ATTRIBUTES, 8, dropout, 1.0)
    elif name == "headed":
        made = HeadedLstm(3, ATTRIBUTES, 8, dropout, make_head("gaussian", unit=1.0, located=True))
    elif name == "calibrated":
        made = Calibrated(find_process("hbv"), data.attributes, data.donors)
        torch.nn.init.normal_(made.raw)
    else:
        varying = ("recharge_exponent",) if name == "varying" else ()
        made = Hybrid(
            find_process("hbv"), ATTRIBUTES, 3, components=2, varying=varying, varying_hidden=4,
            dropout=dropout,
        )  # fmt: skip
    return made.to(kind)


def gradient(name, group=ALONE, **changes):
    """The gradient of the first batch, and its loss and number of windows."""
    options = replace(OPTIONS, **changes)
    made = model(name)
    descent = Descent(made, options, 2, 5, group)
    batches = make_batches(shared(group), options.window, options.warmup, options.batch_sites, 5)
    value, samples = descent.gradients(batches.draw())
    found = {key: weights.grad for key, weights in made.named_parameters() if weights.grad is not None}
    return value, samples, found


def draws(make, group, **what):
    """Which windows of which sites this process gets, batch by batch."""
    batches = make_batches(make(group, **what), OPTIONS.window, WARMUP, 4, 7)
    first = everything(**what).inputs.forcing["precipitation"]
    found = []
    for _ in range(12):
        batch = batches.draw()
        sites = [] if batch is None else batch.inputs.site.tolist()
        days = [
            int((first[:, site] == batch.inputs.forcing["precipitation"][0, place]).nonzero())
            for place, site in enumerate(sites)
        ]
        found.append(list(zip(sites, days, strict=True)))
    batches.close()
    return found


def trained(group, checkpoint=None, stop=None, **changes):
    """Losses and weights of a training with dropout."""
    made = model("lstm", torch.float32, dropout=0.3)
    data = shared(group, kind=torch.float32)
    trainer = Trainer(
        made, data, replace(OPTIONS, **changes), seed=5, checkpoint=checkpoint, group=group,
        validate=lambda model: float(sum(weights.detach().sum() for weights in model.parameters())),
    )  # fmt: skip
    seen = []

    def told(epoch):
        seen.append(epoch.epoch)
        return epoch.epoch == stop

    history = trainer.fit(None if group.rank else told)
    losses = [(epoch.loss, epoch.validation, epoch.samples) for epoch in history.epochs]
    return losses, made.state_dict(), seen


def results(group, folder):
    """All that the tests compare."""
    found = {
        "gradients": {
            (name, loss): gradient(name, group, loss=loss)
            for name in KINDS
            for loss in (LOSSES if name == "lstm" else ("nse",))
        },
        "accumulated": gradient("lstm", group, accumulate=2),
        "draws": {
            (make.__name__, sparse): group.collect(draws(make, group, sparse=sparse))
            for make in (shared, streamed)
            for sparse in (False, True)
        },
        "whole": trained(group),
    }
    trained(group, folder / "c.pt", stop=2)
    found["resumed"] = trained(group, folder / "c.pt")
    trained(group, folder / "left.pt", stop=2)
    found["plain"] = trained_without_dropout(group)
    found["begun_differently"] = begun_differently(group)
    return found


def trained_without_dropout(group, checkpoint=None, stop=None):
    """The same without dropout, where the number of processes changes nothing but rounding."""
    made = model("hybrid")
    trainer = Trainer(made, shared(group), OPTIONS, seed=5, checkpoint=checkpoint, group=group)
    trainer.fit(None if group.rank else lambda epoch: epoch.epoch == stop)
    return made.state_dict()


def begun_differently(group):
    """Weights after an epoch that each process began with its own."""
    made = model("hybrid")
    with torch.no_grad():
        for weights in made.parameters():
            weights += 0.1 * group.rank
    Trainer(made, shared(group), replace(OPTIONS, epochs=1), seed=5, group=group).fit()
    return made.state_dict()


def main(rank, size, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder / 'meet'}", rank=rank, world_size=size)
    group = Group.current()
    found = results(group, folder)
    trained_without_dropout(group, folder / "plain.pt", stop=2)
    torch.save(found, folder / f"{rank}.pt")
    if rank == size - 1:
        os._exit(0)  # as if it were killed
    try:
        group.sum(torch.ones(1))
        group.sum(torch.ones(1))
    except LostWorkerError as error:
        (folder / f"{rank}.lost").write_text(str(error))
    os._exit(0)  # taking down a group that has lost one may abort: its threads are not ended first


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
