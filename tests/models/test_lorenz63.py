"""Lorenz-63 against a fine solution of its differential equations and what is known of its attractor."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from single_site import run

from thalweg.models.engine import simulate
from thalweg.models.processes.lorenz63 import Lorenz63

CLASSIC = {"sigma": 10.0, "rho": 28.0, "beta": 8.0 / 3.0}
LYAPUNOV = 0.9056  # Viswanath (1998), PhD thesis, Cornell; Sprott (2003), appendix A


def final(time_step, steps, forcing=0.0, **start):
    result = run(Lorenz63(time_step), {"tendency_forcing": [forcing] * steps}, CLASSIC, start)
    return np.array([float(value) for value in result.final.values()])


def exact(time, start, forcing=0.0):
    def rates(_time, point):
        x, y, z = point
        return (
            CLASSIC["sigma"] * (y - x) + forcing,
            x * (CLASSIC["rho"] - z) - y,
            x * y - CLASSIC["beta"] * z,
        )

    return solve_ivp(rates, (0.0, time), start, method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]


@pytest.mark.parametrize("forcing", [0.0, 4.0])
def test_the_method_is_of_fourth_order(forcing):
    truth = exact(0.5, (1.0, 2.0, 20.0), forcing)
    errors = [
        np.linalg.norm(final(0.5 / steps, steps, forcing, x=1.0, y=2.0, z=20.0) - truth)
        for steps in (100, 200, 400, 800)
    ]
    assert errors[-1] < 1e-8
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(orders, 4.0, atol=0.2)


def test_fixed_points_stay():
    side = math.sqrt(CLASSIC["beta"] * (CLASSIC["rho"] - 1))
    for x in (side, -side, 0.0):
        place = np.array([x, x, 27.0 if x else 0.0])
        np.testing.assert_allclose(
            final(0.01, 50, **dict(zip("xyz", place, strict=True))), place, rtol=0.0, atol=1e-12
        )


def test_volumes_in_the_space_of_states_shrink_at_the_known_rate():
    process = Lorenz63(0.01)
    parameters = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in CLASSIC.items()}
    still = {"tendency_forcing": torch.zeros(1, 1, dtype=torch.float64)}

    def step(point):
        initial = {name: value.reshape(1, 1) for name, value in zip("xyz", point, strict=True)}
        after = simulate(process, still, parameters, initial=initial, backend="eager").final
        return torch.cat([after[name].reshape(1) for name in "xyz"])

    jacobian = torch.autograd.functional.jacobian(step, torch.tensor([5.0, -3.0, 25.0], dtype=torch.float64))
    rate = -(10.0 + 1.0 + 8.0 / 3.0)
    assert float(torch.linalg.det(jacobian).log()) / 0.01 == pytest.approx(rate, rel=1e-3)


def test_neighbours_part_at_the_leading_lyapunov_exponent():
    process = Lorenz63(0.01)
    places, spin_up, aligned, steps = 400, 2000, 300, 800
    parameters = {
        name: torch.full((places, 1), value, dtype=torch.float64) for name, value in CLASSIC.items()
    }
    generator = torch.Generator().manual_seed(0)

    def onward(initial, count):
        still = {"tendency_forcing": torch.zeros(count, 1, dtype=torch.float64)}
        return simulate(process, still, parameters, initial=initial, fluxes=()).final

    def apart(one, other):
        return torch.stack([one[name] - other[name] for name in "xyz"]).norm(dim=0)

    drawn = {
        name: 10 * torch.randn(places, 1, generator=generator, dtype=torch.float64) + (name == "z") * 25
        for name in "xyz"
    }
    one = onward(drawn, spin_up)
    assert float(torch.stack(tuple(one.values())).abs().max()) < 60, "left the attractor"
    other = {**one, "x": one["x"] + 1e-9}
    one, other = onward(one, aligned), onward(other, aligned)
    before = apart(one, other)
    growth = (apart(onward(one, steps), onward(other, steps)) / before).log() / (steps * 0.01)
    assert float(growth.mean()) == pytest.approx(LYAPUNOV, abs=0.04)


def test_the_tendencies_are_what_the_state_changed_by():
    result = run(
        Lorenz63(0.02), {"tendency_forcing": [0.5]}, CLASSIC, {"x": 1.0, "y": 2.0, "z": 20.0}, states=("x",)
    )
    moved = float(result.states["x"][0]) - 1.0
    assert float(result.fluxes["x_tendency"][0]) * 0.02 == pytest.approx(moved, rel=1e-12)
    # 10 * (2 - 1) + 0.5 at the start
    assert float(result.fluxes["x_tendency"][0]) == pytest.approx(10.5, rel=0.2)


def test_the_time_step_is_part_of_the_process():
    assert final(0.01, 1, x=1.0)[1] != final(0.02, 1, x=1.0)[1]
