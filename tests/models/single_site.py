"""Run a process on plain numbers: one column of numbers for each site, one component."""

import numpy as np
import torch
from random_weather import weather

from thalweg.models.engine import simulate
from thalweg.models.processes import find_process


def run(process, forcing, parameters, initial=None, **options):
    """Give a :class:`Simulation` in double precision for one site and numbers by name.

    ``forcing`` has a number, or a list with one for each day; states not in ``initial`` start at zero.
    """
    series = {name: torch.tensor(values, dtype=torch.float64) for name, values in forcing.items()}
    start = {item.name: 0.0 for item in process.states} | (initial or {})
    return simulate(
        process,
        {name: values.reshape(-1, 1) for name, values in series.items()},
        {name: torch.tensor([[value]], dtype=torch.float64) for name, value in parameters.items()},
        initial={name: torch.tensor([[value]], dtype=torch.float64) for name, value in start.items()},
        **options,
    )


def one_day(process, forcing, parameters, initial=None):
    """Give the states after and the fluxes during one day as numbers by name."""
    result = run(process, forcing, parameters, initial)
    return (
        {name: float(value) for name, value in result.final.items()},
        {name: float(value) for name, value in result.fluxes.items()},
    )


def assert_follows(name, reference, days=800, sites=10, seed=0, **fixed):
    """Compare every flux on every day with a reference written for one site in plain Python.

    ``reference(forcing, parameter, state)`` takes and changes dictionaries of numbers, and gives the
    fluxes of a day. The first site has every parameter at its lower end, the second at its upper end, the
    others anywhere between; ``fixed`` gives some a value.
    """
    process = find_process(name)
    generator = torch.Generator().manual_seed(seed)
    forcing = weather(process.forcings, days, sites, torch.float64, generator)
    parameters = {}
    for item in process.parameters:
        share = torch.rand(sites, 1, generator=generator, dtype=torch.float64)
        share[0], share[1] = 0.0, 1.0
        parameters[item.name] = item.lower + (item.upper - item.lower) * share
        if item.name in fixed:
            parameters[item.name] = torch.full((sites, 1), fixed[item.name], dtype=torch.float64)
    found = simulate(process, forcing, parameters).fluxes
    for site in range(sites):
        state = {item.name: item.initial for item in process.states}
        parameter = {key: float(value[site]) for key, value in parameters.items()}
        columns = {key: series[:, site, 0].tolist() for key, series in forcing.items()}
        expected = [
            reference({key: column[day] for key, column in columns.items()}, parameter, state)
            for day in range(days)
        ]
        for key in expected[0]:
            np.testing.assert_allclose(
                found[key][:, site, 0].numpy(),
                [fluxes[key] for fluxes in expected],
                rtol=1e-9,
                atol=1e-9,
                err_msg=f"{key} at site {site}",
            )
