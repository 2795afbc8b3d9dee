"""Mixtures against quadrature, samples and published closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import Tensor

from thalweg.models.distributions import Mixture
from thalweg.models.families import FAMILIES
from thalweg.models.normal import bivariate_normal, log_ndtr, owen_t

FLOORS = (None, 0.0, 0.6)


def mixture(family: str, days: int = 12, components: int = 3, floor: float | None = None) -> Mixture:
    """Components of different widths, near and far from each other and from the floor."""
    generator = torch.Generator().manual_seed(1)
    options = {"generator": generator, "dtype": torch.float64}
    parameters = [
        torch.randn(days, components, **options),
        0.05 + torch.rand(days, components, **options) ** 2,
        0.2 + 0.6 * torch.rand(days, components, **options),
    ]
    weight = torch.log_softmax(torch.randn(days, components, **options), -1)
    chosen = FAMILIES[family]
    return Mixture(chosen, weight, parameters[: len(chosen.parameters)], floor)


def one_day(many: Mixture, day: int) -> Mixture:
    parameters = [parameter[day : day + 1] for parameter in many.parameters]
    return Mixture(many.family, many.log_weight[day : day + 1], parameters, many.floor)


def pieces(day: Mixture, y: float) -> list[tuple[float, float]]:
    """Cut the line where the distribution function has a kink, and finely enough for quadrature."""
    kinks = sorted({-60.0, 60.0, y, *(float(m) for m in day.parameters[0][0]), day.floor or 0.0})
    edges = np.concatenate([np.linspace(a, b, 40)[:-1] for a, b in itertools.pairwise(kinks)])
    edges = np.append(edges, kinks[-1])
    return [(a, b) for a, b in itertools.pairwise(edges) if day.floor is None or b > day.floor]


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_crps_is_the_integral_that_defines_it(family: str, floor: float | None) -> None:
    many = mixture(family, floor=floor)
    y = torch.linspace(-1.5, 2.0, 12, dtype=torch.float64).clamp(min=-math.inf if floor is None else floor)
    found = many.crps(y)
    for day in range(0, 12, 3):
        some, at = one_day(many, day), float(y[day])

        nodes, weights = np.polynomial.legendre.leggauss(40)
        total = 0.0
        for a, b in pieces(some, at):
            x = torch.from_numpy(0.5 * (a + b) + 0.5 * (b - a) * nodes)
            squared = (some.cdf(x.unsqueeze(-1)).squeeze(-1).numpy() - (x.numpy() >= at)) ** 2
            total += 0.5 * (b - a) * float(weights @ squared)
        assert float(found[day]) == pytest.approx(total, abs=1e-9)


def test_crps_of_a_normal_distribution_is_the_published_formula() -> None:
    # Gneiting et al. (2005), 10.1175/MWR2904.1, eq. 5
    y, mean, deviation = (torch.tensor([v], dtype=torch.float64) for v in (1.7, 0.4, 2.0))
    z = float((y - mean) / deviation)
    published = 2.0 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))
    one = Mixture(FAMILIES["normal"], torch.zeros(1, 1), [mean[:, None], deviation[:, None]])
    assert float(one.crps(y)) == pytest.approx(published, abs=1e-14)


def test_a_component_split_in_two_is_the_same_distribution() -> None:
    for family in FAMILIES:
        many = mixture(family, floor=0.0)
        twice = [torch.cat([part, part], -1) for part in (many.log_weight - math.log(2.0), *many.parameters)]
        double = Mixture(many.family, twice[0], twice[1:], 0.0)
        y = torch.linspace(0.0, 3.0, 12, dtype=torch.float64)
        for name in ("crps", "log_density", "cdf", "cdf_below"):
            torch.testing.assert_close(getattr(double, name)(y), getattr(many, name)(y), rtol=0, atol=1e-13)
        torch.testing.assert_close(double.variance, many.variance, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_samples_have_the_mean_variance_and_quantiles_that_are_said(family: str, floor: float | None) -> None:
    many = mixture(family, floor=floor)
    drawn = many.sample(60_000, torch.Generator().manual_seed(0))
    assert drawn.shape == (60_000, 12)
    again = many.sample(60_000, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
    error = (drawn.mean(0) - many.mean) / (many.variance / 60_000).sqrt()
    assert float(error.abs().max()) < 4.0
    torch.testing.assert_close(drawn.var(0), many.variance, rtol=0.1, atol=1e-3)
    levels = (0.05, 0.5, 0.95)
    for level, value in zip(levels, many.quantile(levels), strict=True):
        assert float((many.cdf(value) - level).min()) > -1e-10
        off_floor = torch.ones(12, dtype=torch.bool) if floor is None else value > floor
        torch.testing.assert_close(
            many.cdf(value)[off_floor], torch.full((int(off_floor.sum()),), level).double()
        )


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_density_is_the_slope_of_the_distribution_function(family: str) -> None:
    many = mixture(family)
    y = torch.linspace(-1.0, 2.0, 12, dtype=torch.float64)
    step = 1e-5
    slope = (many.cdf(y + step) - many.cdf(y - step)) / (2 * step)
    torch.testing.assert_close(many.log_density(y).exp(), slope, rtol=1e-6, atol=1e-8)


def test_asymmetric_laplace_is_that_of_scipy() -> None:
    # scipy: kappa = sqrt(tau / (1 - tau)), scale = b / sqrt(tau (1 - tau))
    tau, b, location = 0.3, 0.7, 1.1
    reference = stats.laplace_asymmetric(math.sqrt(tau / (1 - tau)), location, b / math.sqrt(tau * (1 - tau)))
    family = FAMILIES["asymmetric_laplace"]
    parameters = [torch.tensor(v, dtype=torch.float64) for v in (location, b, tau)]
    y = torch.linspace(-4, 6, 41, dtype=torch.float64)
    np.testing.assert_allclose(family.log_density(y, *parameters), reference.logpdf(y.numpy()), rtol=1e-12)
    np.testing.assert_allclose(family.log_cdf(y, *parameters).exp(), reference.cdf(y.numpy()), rtol=1e-12)
    np.testing.assert_allclose(family.cdf(y, *parameters), reference.cdf(y.numpy()), rtol=1e-12)
    assert [float(v) for v in family.moments(*parameters)] == pytest.approx(reference.stats("mv"))


def test_the_floor_holds_what_lies_below_it() -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    dry = Mixture(FAMILIES["normal"], 0.0 * one, [0.0 * one, one], floor=0.0)
    zero = torch.zeros(1, dtype=torch.float64)
    assert float(dry.cdf(zero)) == 0.5
    assert float(dry.cdf_below(zero)) == 0.0
    assert float(dry.log_density(zero)) == pytest.approx(math.log(0.5))
    assert float(dry.mean) == pytest.approx(1 / math.sqrt(2 * math.pi))
    assert float(dry.variance) == pytest.approx(0.5 - 1 / (2 * math.pi))
    assert dry.quantile([0.1, 0.5])[:, 0].tolist() == [0.0, 0.0]
    assert float(dry.crps(zero)) == pytest.approx(integrate.quad(lambda x: stats.norm.sf(x) ** 2, 0, 40)[0])
    assert float(dry.crps(zero - 1.0)) == float(dry.crps(zero))


def test_owens_function_and_the_bivariate_normal_are_those_of_scipy() -> None:
    generator = np.random.default_rng(0)
    h, slope = generator.normal(0, 2, 5000), generator.normal(0, 5, 5000)
    h[:4], slope[:4] = [0.0, 0.0, 3.0, -2.0], [np.inf, 0.7, -np.inf, 0.0]
    found = owen_t(torch.from_numpy(h), torch.from_numpy(slope))
    np.testing.assert_allclose(found, special.owens_t(h, slope), rtol=0, atol=1e-14)
    for x, y, r in [(0.3, -0.8, -0.6), (0.0, 0.0, 0.5), (0.0, -1e-30, -0.4), (-2.0, 1.0, -0.99)]:
        expected = stats.multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([x, y])
        tensors = (torch.tensor(v, dtype=torch.float64) for v in (x, y, r))
        assert float(bivariate_normal(*tensors)) == pytest.approx(expected, abs=1e-7)


def test_the_logarithm_of_a_tiny_share_has_a_sound_derivative() -> None:
    z = torch.tensor([-1e12, -1e5, -300.0, -20.5, -20.0, -19.5, -1.0, 0.0, 8.0]).double().requires_grad_()
    found = log_ndtr(z)
    np.testing.assert_allclose(found.detach(), stats.norm.logcdf(z.detach()), rtol=1e-10)
    found.sum().backward()
    assert z.grad is not None
    # the derivative is the inverse Mills ratio, which tends to -z
    torch.testing.assert_close(z.grad[:3], -z.detach()[:3] - 1.0 / z.detach()[:3], rtol=1e-8, atol=0.0)
    assert float(z.grad[7]) == pytest.approx(math.sqrt(2 / math.pi))


@pytest.mark.parametrize("floor", [None, 0.0])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_gradients_of_likelihood_and_crps_are_right(family: str, floor: float | None) -> None:
    many = mixture(family, days=4, floor=floor)
    y = torch.tensor([0.0, 0.4, 1.3, 2.2], dtype=torch.float64)
    inputs = tuple(p.clone().requires_grad_() for p in (many.log_weight, *many.parameters))

    def scores(weight: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        some = Mixture(many.family, torch.log_softmax(weight, -1), parameters, floor)
        return some.log_density(y), some.crps(y)

    assert torch.autograd.gradcheck(scores, inputs, atol=1e-6)


def test_quantiles_of_peaks_far_apart_and_in_single_precision() -> None:
    location = torch.tensor([[-50.0, 0.0, 1000.0]])
    scale = torch.tensor([[1e-3, 1e-3, 1e-3]])
    weight = torch.tensor([[0.2, 0.3, 0.5]]).log()
    for family in FAMILIES:
        more = [torch.full((1, 3), 0.5)] if family == "asymmetric_laplace" else []
        apart = Mixture(FAMILIES[family], weight, [location, scale, *more])
        found = apart.quantile([0.1, 0.35, 0.75])[:, 0]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, torch.tensor([-50.0, 0.0, 1000.0]), rtol=1e-6, atol=1e-3)
    missing = Mixture(FAMILIES["normal"], weight, [location * math.nan, scale])
    assert bool(missing.quantile([0.5]).isnan().all())


def test_refusals() -> None:
    with pytest.raises(ValueError, match="2 parameters"):
        Mixture(FAMILIES["normal"], torch.zeros(1, 1), [torch.zeros(1, 1)])
    with pytest.raises(ValueError, match="between 0 and 1"):
        mixture("normal").quantile([0.5, 1.0])
