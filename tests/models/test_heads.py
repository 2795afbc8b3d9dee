"""Heads learn the distribution that the data have, and count no missing day."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from thalweg.models.heads import KINDS, Head, MixtureHead, QuantileHead, make_head
from thalweg.models.networks.mlp import mlp


def train(
    head: Head, draw: Callable[[torch.Generator], tuple[Tensor, Tensor]], steps: int
) -> torch.nn.Module:
    """Fit a small network to batches of (x, y), ``(512, 1)`` each."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = mlp(1, (64, 64), head.outputs)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        x, y = draw(generator)
        loss = head.loss(network(x).unsqueeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def spread(x: Tensor) -> Tensor:
    return 0.1 + 0.3 * torch.sin(x / 2) ** 2


@pytest.mark.parametrize("kind", ["gaussian", "beta", "gaussian_mixture"])
def test_a_spread_that_varies_is_recovered_within_8_percent(kind: str) -> None:
    head = make_head("gaussian", beta=0.5) if kind == "beta" else make_head(kind)
    sample = torch.Generator().manual_seed(1)
    x = 2 * math.pi * torch.rand(8000, 1, generator=sample)
    y = torch.sin(x) + spread(x) * torch.randn(8000, 1, generator=sample)

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        some = torch.randint(8000, (512,), generator=generator)
        return x[some] - math.pi, y[some]

    network = train(head, draw, steps=600)
    at = torch.linspace(0.0, 2 * math.pi, 200).unsqueeze(1)
    with torch.no_grad():
        found = head.distribution(network(at - math.pi).unsqueeze(1))  # type: ignore[attr-defined]
    error = (found.variance.sqrt() / spread(at) - 1).abs().mean()
    assert float(error) < 0.08
    assert float((found.mean - torch.sin(at)).abs().mean()) < 0.03


@pytest.mark.parametrize("kind", ["cmal", "quantiles"])
def test_skewed_noise_is_recovered(kind: str) -> None:
    head = make_head(kind, levels=(0.05, 0.25, 0.5, 0.75, 0.95))

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = 2 * torch.rand(512, 1, generator=generator) - 1
        return x, torch.exp(0.5 * x) * -torch.log1p(-torch.rand(512, 1, generator=generator))

    network = train(head, draw, steps=600)
    at = torch.tensor([[-0.7], [0.0], [0.7]])
    found = head.quantile(network(at).unsqueeze(1), (0.05, 0.25, 0.5, 0.75, 0.95)).squeeze(-1)
    true = torch.tensor(stats.expon.ppf([0.05, 0.25, 0.5, 0.75, 0.95])).float()[:, None] * torch.exp(
        0.5 * at.T
    )
    torch.testing.assert_close(found, true, rtol=0.12, atol=0.05)


def raw_for(head: Head, days: int = 6, sites: int = 3) -> Tensor:
    return torch.randn(days, sites, head.outputs, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_outputs_have_the_right_shapes_and_agree(kind: str) -> None:
    head = make_head(kind, unit=2.0, floor=0.0)
    raw = raw_for(head)
    mean = head.mean(raw)
    quantiles = head.quantile(raw, (0.05, 0.4, 0.5, 0.95))
    samples = head.sample(raw, 4000, torch.Generator().manual_seed(0))
    assert mean.shape == (6, 3)
    assert quantiles.shape == (4, 6, 3)
    assert samples.shape == (4000, 6, 3)
    assert float(min(mean.min(), quantiles.min(), samples.min())) >= 0.0
    assert bool((quantiles.diff(dim=0) >= 0).all())
    torch.testing.assert_close(samples.mean(0), mean, rtol=0.15, atol=0.1)
    share = (samples <= quantiles[2]).float().mean(0)
    assert bool(((share - 0.5).abs() < 0.04)[quantiles[2] > 0.0].all())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_missing_day_counts_nothing(kind: str) -> None:
    head = make_head(kind, floor=0.0)
    raw = raw_for(head).requires_grad_()
    observed = torch.rand(6, 3)
    observed[2:4, 1] = torch.nan
    observed[5, 0] = 0.0
    value = head.loss(raw, observed)
    value.backward()
    assert bool(torch.isfinite(raw.grad).all())
    assert bool((raw.grad[2:4, 1] == 0).all())
    assert bool((raw.grad[0] != 0).any())
    wild = raw.detach().clone()
    wild[2:4, 1] = 1e3
    assert float(head.loss(wild, observed)) == float(value.detach())
    nothing = head.loss(raw, torch.full((6, 3), torch.nan))
    assert float(nothing.detach()) == 0.0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_extreme_raw_numbers_stay_finite(kind: str) -> None:
    head = make_head(kind, unit=3.0, floor=0.0)
    raw = (1e3 * raw_for(head)).requires_grad_()
    loss = head.loss(raw, torch.rand(6, 3))
    loss.backward()
    assert bool(torch.isfinite(loss.detach()))
    assert bool(torch.isfinite(raw.grad).all())
    assert bool(torch.isfinite(head.quantile(raw.detach(), (0.1, 0.9))).all())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_physics_is_the_centre(kind: str) -> None:
    head = make_head(kind)
    raw, centre = raw_for(head), 10.0 + torch.rand(6, 3)
    levels = (0.1, 0.5, 0.9)
    moved = head.quantile(raw, levels, centre)
    torch.testing.assert_close(moved, head.quantile(raw, levels) + centre, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(head.mean(raw, centre), head.mean(raw) + centre, rtol=1e-4, atol=1e-4)
    centre.requires_grad_()
    head.loss(raw, torch.full((6, 3), 20.0), centre).backward()
    assert float(centre.grad.abs().min()) > 0.0, "the physics learns from the likelihood"


def test_a_head_that_is_not_located_decides_the_spread_alone() -> None:
    head = make_head("gaussian", located=False)
    assert head.outputs == 1
    centre = torch.rand(6, 3)
    torch.testing.assert_close(head.mean(raw_for(head), centre), centre)
    with pytest.raises(ValueError, match="needs a centre"):
        head.mean(raw_for(head))
    assert make_head("cmal", components=2, located=False).outputs == 6


def test_the_loss_is_the_likelihood_and_beta_weighs_it() -> None:
    raw = raw_for(make_head("gaussian"))
    observed = torch.rand(6, 3)
    plain = MixtureHead()
    days = plain.compute(raw, observed, None)
    mean, deviation = raw[..., 0].numpy(), torch.nn.functional.softplus(raw[..., 1]).numpy() + 1e-3
    np.testing.assert_allclose(days, -stats.norm.logpdf(observed, mean, deviation), rtol=1e-4, atol=1e-5)
    weighed = MixtureHead(beta=0.5).compute(raw, observed, None)
    np.testing.assert_allclose(weighed.numpy(), days.numpy() * deviation, rtol=1e-4, atol=1e-5)


def test_quantiles_in_between_lie_on_straight_lines_and_beyond_are_refused() -> None:
    head = QuantileHead((0.1, 0.5, 0.9))
    raw = raw_for(head)
    low, middle, high = head.values(raw).unbind(-1)
    torch.testing.assert_close(head.quantile(raw, [0.3])[0], 0.5 * (low + middle))
    torch.testing.assert_close(head.quantile(raw, [0.5])[0], raw[..., 0])
    # each quantile stands for the levels around it, the outer ones for all beyond
    torch.testing.assert_close(head.mean(raw), 0.3 * low + 0.4 * middle + 0.3 * high)
    with pytest.raises(ValueError, match=r"0\.1 to 0\.9, as learned"):
        head.quantile(raw, [0.05])
    one = QuantileHead((0.5,))
    torch.testing.assert_close(one.mean(raw_for(one)), raw_for(one)[..., 0])
    assert one.sample(raw_for(one), 5).shape == (5, 6, 3)


def test_refusals_say_what_would_be_right() -> None:
    with pytest.raises(ValueError, match="unknown head 'gauss'; there are gaussian, gaussian_mixture"):
        make_head("gauss")
    with pytest.raises(ValueError, match="unknown family"):
        MixtureHead("cauchy")
    with pytest.raises(ValueError, match="unit 0"):
        make_head("cmal", unit=0.0)
    with pytest.raises(ValueError, match="components 0"):
        make_head("cmal", components=0)
    for levels in ((), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(ValueError, match="must rise"):
            QuantileHead(levels)
    for kind in ("gaussian", "quantiles"):
        head = make_head(kind)
        with pytest.raises(ValueError, match="where the head needs"):
            head.mean(torch.zeros(2, 2, head.outputs + 1))
