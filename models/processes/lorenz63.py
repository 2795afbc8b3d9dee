"""Lorenz-63 by the classical Runge-Kutta method: a chaotic process that is no bucket."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from thalweg.models.process import Parameter, ProcessModel, State, Variable

Point = tuple[Tensor, Tensor, Tensor]


class Lorenz63(ProcessModel):
    """Three equations of convection; one step is ``time_step`` units of dimensionless time, not a day.

    ``x' = sigma (y - x) + forcing``, ``y' = x (rho - z) - y``, ``z' = x y - beta z``.

    With ``tendency_forcing`` zero it is the classical system; anything else is a forcing of ``x``,
    constant within a step, such as a model error in data assimilation. Nothing is conserved, so it
    declares no balance: volumes in the space of states shrink by ``exp(-(sigma + 1 + beta) t)``.

    Sources
    -------
    Lorenz (1963), 10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2, eq. 25 to 27; values there are 10, 28
    and 8/3, around which the ranges lie; initial state (0, 1, 0) as in its section 7.

    Parameters
    ----------
    time_step : length of a step; 0.01 as in the paper.
    """

    forcings = (Variable("tendency_forcing", "1", "added to the tendency of x"),)
    states = (
        State("x", "1", 0.0, "intensity of convection"),
        State("y", "1", 1.0, "temperature difference between rising and falling fluid"),
        State("z", "1", 0.0, "departure of the vertical profile of temperature from linear"),
    )
    parameters = (
        Parameter("sigma", "1", 5.0, 15.0, "Prandtl number"),
        Parameter("rho", "1", 15.0, 40.0, "Rayleigh number over its critical value"),
        Parameter("beta", "1", 1.0, 4.0, "geometry of the convection cell"),
    )
    fluxes = (
        Variable("x_tendency", "1", "mean of dx/dt over the step"),
        Variable("y_tendency", "1", "mean of dy/dt over the step"),
        Variable("z_tendency", "1", "mean of dz/dt over the step"),
    )

    def __init__(self, time_step: float = 0.01) -> None:
        self.time_step = time_step

    def step(self, forcing: Any, state: Any, parameter: Any) -> tuple[Any, Any]:
        """Advance one step; see :meth:`ProcessModel.step` for shapes."""
        whole, half = self.time_step, 0.5 * self.time_step

        def rates(point: Point) -> Point:
            x, y, z = point
            return (
                parameter.sigma * (y - x) + forcing.tendency_forcing,
                x * (parameter.rho - z) - y,
                x * y - parameter.beta * z,
            )

        def moved(along: Point, time: float) -> Point:
            x, y, z = (place + time * rate for place, rate in zip(state, along, strict=True))
            return x, y, z

        first = rates(state)
        second = rates(moved(first, half))
        third = rates(moved(second, half))
        fourth = rates(moved(third, whole))
        x, y, z = (
            (a + 2.0 * (b + c) + d) / 6.0 for a, b, c, d in zip(first, second, third, fourth, strict=True)
        )
        return self.CurrentState(*moved((x, y, z), whole)), self.Fluxes(x, y, z)
