import pytest
import torch

from thalweg.models.losses import LOSSES, SMALLEST_DEVIATION


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_missing_day_counts_nothing(name):
    torch.manual_seed(0)
    simulated = torch.rand(200, 3, requires_grad=True)
    observed, deviation = torch.rand(200, 3), torch.ones(3)
    observed[50:80, 1] = torch.nan
    loss = LOSSES[name]()
    value = loss(simulated, observed, deviation)
    value.backward()
    assert bool(torch.isfinite(simulated.grad).all())
    assert bool((simulated.grad[50:80, 1] == 0).all())
    wild = simulated.detach().clone()
    wild[50:80, 1] = 1e6
    assert float(loss(wild, observed, deviation)) == float(value.detach())


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_nothing_observed_is_zero_with_zero_gradient(name):
    simulated = torch.rand(100, 2, requires_grad=True)
    value = LOSSES[name]()(simulated, torch.full((100, 2), torch.nan), torch.ones(2))
    value.backward()
    assert float(value.detach()) == 0.0
    assert bool((simulated.grad == 0).all())


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_truth_has_the_least_loss(name):
    torch.manual_seed(1)
    observed = 5 * torch.rand(400, 4)
    loss = LOSSES[name]()
    best = float(loss(observed, observed, observed.std(0)))
    assert best < 2e-3
    for other in (observed * 1.2, observed.roll(1, 0), observed + 0.5):
        assert float(loss(other, observed, observed.std(0))) > best + 1e-3


def test_known_values():
    simulated, observed = torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [2.0]])
    assert float(LOSSES["mse"]()(simulated, observed, torch.ones(1))) == 1.0
    expected = 1 / (1 + SMALLEST_DEVIATION) ** 2
    assert abs(float(LOSSES["nse"]()(simulated, observed, torch.ones(1))) - expected) < 1e-6


def test_kling_gupta_of_a_scaled_series():
    # simulated = 1.5 observed: correlation 1, both ratios 1.5, so 1 - KGE = sqrt(0.5)
    torch.manual_seed(0)
    observed = 10 * torch.rand(300, 1)
    value = float(LOSSES["kge"]()(1.5 * observed, observed, torch.ones(1)))
    assert abs(value - 0.5**0.5) < 1e-3


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_negative_and_dry_observations_stay_finite_and_do_not_rule(name):
    torch.manual_seed(0)
    observed = 3 * torch.rand(200, 2)
    usual = float(LOSSES[name]()(observed * 1.1, observed, observed.std(0)))
    observed[:, 1] = 0.0
    observed[7, 0] = -0.5
    simulated = (observed * 1.1 + 0.05).requires_grad_()
    value = LOSSES[name]()(simulated, observed, torch.tensor([1.0, 0.0]))
    value.backward()
    assert bool(torch.isfinite(simulated.grad).all())
    assert float(value.detach()) < 10 * usual + 1.0
