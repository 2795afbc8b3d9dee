import numpy as np
import torch

from thalweg.models.routing import LENGTH, gamma_unit_hydrograph, route


def test_shape_one_is_an_exponential_decay():
    weights = gamma_unit_hydrograph(torch.tensor([1.0]), torch.tensor([2.0]))
    ratio = weights[1:] / weights[:-1]
    torch.testing.assert_close(ratio, torch.full_like(ratio, torch.exp(torch.tensor(-0.5))))


def test_weights_sum_to_one_over_the_whole_range():
    shape, scale = torch.meshgrid(torch.linspace(0.1, 3, 7), torch.linspace(0.5, 7, 7), indexing="ij")
    weights = gamma_unit_hydrograph(shape.flatten(), scale.flatten())
    torch.testing.assert_close(weights.sum(0), torch.ones(49))


def test_a_pulse_becomes_the_hydrograph_and_water_is_kept():
    weights = gamma_unit_hydrograph(torch.tensor([2.5, 1.0]), torch.tensor([1.5, 0.6]))
    pulse = torch.zeros(40, 2)
    pulse[5] = 10.0
    routed = route(pulse, weights)
    torch.testing.assert_close(routed[5 : 5 + LENGTH], 10 * weights)
    assert bool((routed[:5] == 0).all())
    torch.testing.assert_close(routed.sum(0), torch.full((2,), 10.0))


def test_a_convolution_forward_and_back():
    """Against numpy, and against the plain loop, gradients to runoff and hydrograph too."""
    draw = torch.Generator().manual_seed(2)
    runoff = torch.rand(60, 5, generator=draw, dtype=torch.float64).requires_grad_()
    weights = torch.softmax(torch.randn(LENGTH, 5, generator=draw, dtype=torch.float64), 0).requires_grad_()
    found = {}
    for backend in ("fused", "eager"):
        routed = route(runoff, weights, backend)
        found[backend] = (routed, *torch.autograd.grad(routed.square().sum(), [runoff, weights]))
    for one, other in zip(found["fused"], found["eager"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    for site in range(5):
        expected = np.convolve(runoff[:, site].detach(), weights[:, site].detach())[:60]
        np.testing.assert_allclose(found["fused"][0][:, site].detach(), expected, rtol=1e-12)


def test_a_hydrograph_of_one_day_changes_nothing():
    runoff = torch.rand(9, 2)
    assert torch.equal(route(runoff, torch.ones(1, 2)), runoff)


def test_gradients_by_finite_differences():
    runoff = torch.rand(20, 2, dtype=torch.float64, requires_grad=True)
    shape = torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([1.0, 5.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda r, a, b: route(r, gamma_unit_hydrograph(a, b)), [runoff, shape, scale]
    )
