"""Members of Monte Carlo dropout: different, repeatable, and without a trace in the model."""

from __future__ import annotations

import pytest
import torch

from thalweg.models.hybrids import Hybrid
from thalweg.models.inputs import Inputs
from thalweg.models.monte_carlo_dropout import active_dropout, dropout_members
from thalweg.models.networks import Lstm
from thalweg.models.processes.hbv import Hbv


def inputs(days: int = 30, sites: int = 3) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    forcing = {
        "precipitation": 10 * torch.rand(days, sites, generator=generator),
        "temperature": 10 + torch.randn(days, sites, generator=generator),
        "potential_evapotranspiration": torch.ones(days, sites),
    }
    sequence = torch.randn(days, sites, 3, generator=generator)
    return Inputs(forcing, sequence, torch.randn(sites, 4, generator=generator), torch.arange(sites))


def lstm(dropout: float) -> Lstm:
    torch.manual_seed(0)
    return Lstm(variables=3, attributes=4, hidden=16, dropout=dropout, scale=1.0)


def test_members_differ_and_the_seed_repeats_them() -> None:
    model = lstm(0.4).eval()
    before = model(inputs(), 10).target
    state = torch.get_rng_state()
    members = dropout_members(model, inputs(), 10, count=5, seed=3)
    assert members.shape == (5, 20, 3)
    assert float(members.std(0).min()) > 0.0
    assert torch.equal(members, dropout_members(model, inputs(), 10, count=5, seed=3))
    assert not torch.equal(members, dropout_members(model, inputs(), 10, count=5, seed=4))
    assert torch.equal(torch.get_rng_state(), state), "other draws do not change"
    assert not any(layer.training for layer in model.modules())
    assert torch.equal(model(inputs(), 10).target, before)


def test_their_mean_is_near_the_network_as_a_whole() -> None:
    model = lstm(0.3).eval()
    members = dropout_members(model, inputs(), 10, count=400)
    whole = model(inputs(), 10).target.detach()
    torch.testing.assert_close(members.mean(0), whole, rtol=0.05, atol=0.02)


def test_a_member_of_a_hybrid_keeps_its_parameters() -> None:
    torch.manual_seed(0)
    model = Hybrid(Hbv(), 4, 3, components=2, hidden=(16,), dropout=0.5).eval()
    with active_dropout(model, seed=1):
        first = model(inputs(), 10, details=True).parameters["field_capacity"]
        second = model(inputs(), 10, details=True).parameters["field_capacity"]
    assert first.shape[0] == 3
    assert float((first - second).detach().abs().max()) > 0.0
    members = dropout_members(model, inputs(), 10, count=3)
    assert float(members.std(0).max()) > 0.0


def test_the_model_is_as_before_even_when_something_fails() -> None:
    model = lstm(0.4).train()
    with pytest.raises(RuntimeError, match="broken"), active_dropout(model, 0):
        raise RuntimeError("broken")
    assert model.training
    assert model.network.dropout.training


def test_a_network_without_dropout_is_refused() -> None:
    with pytest.raises(ValueError, match="has no dropout: train it with"):
        dropout_members(lstm(0.0), inputs(), 10, count=3)
    with pytest.raises(ValueError, match="0 members"):
        dropout_members(lstm(0.3), inputs(), 10, count=0)
