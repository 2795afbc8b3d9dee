"""Physics with a network beside it learns its own errors; a network alone gives a distribution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from thalweg.models.headed import HeadedLstm, HeadedPhysics
from thalweg.models.heads import KINDS, make_head
from thalweg.models.inputs import Inputs
from thalweg.models.model import Model, Prediction

DAYS, SITES = 400, 6


class Gain(Model):
    """Discharge is a share of precipitation."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.2))

    def forward(self, inputs: Inputs, warmup: int, details: bool = False) -> Prediction:
        discharge = self.share * inputs.forcing["precipitation"][warmup:]
        return Prediction(discharge, fluxes={"discharge": discharge} if details else {})


def drivers(generator: torch.Generator) -> Inputs:
    rain = 10.0 * torch.rand(DAYS, SITES, generator=generator)
    scaled = ((rain - 5.0) / 3.0).unsqueeze(-1)
    return Inputs({"precipitation": rain}, scaled, torch.zeros(SITES, 2), torch.arange(SITES))


def train(model: Model, inputs: Inputs, observed: Tensor, steps: int = 400) -> None:
    assert model.head is not None
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        prediction = model(inputs, 0)
        assert prediction.raw is not None
        loss = model.head.loss(prediction.raw, observed, prediction.centre)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_physics_and_its_errors_are_learned_together() -> None:
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    inputs = drivers(generator)
    truth = 0.6 * inputs.forcing["precipitation"]
    spread = 0.2 + 0.1 * truth
    observed = truth + spread * torch.randn(truth.shape, generator=generator)
    observed[::7] = torch.nan
    physics = Gain()
    model = HeadedPhysics(physics, make_head("gaussian", unit=2.0, located=False), 1, 2, (16,), unit=2.0)
    train(model, inputs, observed)
    assert float(physics.share.detach()) == pytest.approx(0.6, rel=0.02)
    with torch.no_grad():
        prediction = model(inputs, 0)
        found = model.head.distribution(prediction.raw, prediction.centre).variance.sqrt()  # type: ignore
    assert float((found / spread - 1.0).abs().mean()) < 0.08
    torch.testing.assert_close(prediction.target, prediction.centre)  # the mean is what the physics says


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_details_of_the_physics_stay_what_they_are(kind: str) -> None:
    inputs = drivers(torch.Generator().manual_seed(2))
    physics = Gain()
    located = {} if kind == "quantiles" else {"located": False}
    model = HeadedPhysics(physics, make_head(kind, floor=0.0, **located), 1, 2)  # type: ignore[arg-type]
    prediction = model(inputs, 30, details=True)
    plain = physics(inputs, 30, details=True)
    torch.testing.assert_close(prediction.centre, plain.target)
    torch.testing.assert_close(prediction.fluxes["discharge"], plain.fluxes["discharge"])
    assert prediction.target.shape == (DAYS - 30, SITES)
    assert float(prediction.target.min()) >= 0.0
    assert model.head is not None
    assert model.head.forecast(prediction.raw, prediction.centre)  # type: ignore[arg-type]


def test_the_network_cannot_bend_the_physics_to_its_needs() -> None:
    """What it is told of the simulation carries no gradient: spread alone changes no share of rain."""
    inputs = drivers(torch.Generator().manual_seed(3))
    physics = Gain()
    model = HeadedPhysics(physics, make_head("gaussian", located=False), 1, 2)
    prediction = model(inputs, 0)
    assert prediction.raw is not None
    prediction.raw.sum().backward()
    assert physics.share.grad is None
    assert all(weights.grad is not None for weights in model.beside.parameters())


def test_a_network_alone_gives_the_heads_numbers() -> None:
    torch.manual_seed(0)
    inputs = drivers(torch.Generator().manual_seed(4))
    head = make_head("cmal", unit=2.0, floor=0.0)
    model = HeadedLstm(1, 2, 8, 0.0, head)
    prediction = model(inputs, 100)
    assert prediction.raw is not None
    assert prediction.raw.shape == (300, SITES, head.outputs)
    torch.testing.assert_close(prediction.target, head.mean(prediction.raw))
    parts = head.forecast(prediction.raw)
    assert set(parts) == {"weight", "location", "scale", "asymmetry"}
    torch.testing.assert_close(parts["weight"].sum(0), torch.ones(300, SITES))
