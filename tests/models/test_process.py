from pathlib import Path

import pytest
import torch
from random_weather import weather

from thalweg.models.engine import simulate
from thalweg.models.process import (
    Balance,
    Parameter,
    ProcessModel,
    State,
    Variable,
    mass_residual,
    names,
)
from thalweg.models.processes import PROCESSES, find_process


class LinearReservoir(ProcessModel):
    """dS/dt = P - k S, explicit, whose recession is known: Q_t = k (1 - k)^t S_0."""

    forcings = (Variable("precipitation", "mm/day"),)
    states = (State("storage", "mm", 100.0),)
    parameters = (Parameter("recession", "1/day", 0.01, 0.9),)
    fluxes = (Variable("discharge", "mm/day"),)
    balance = Balance(("precipitation",), ("discharge",), ("storage",))

    def step(self, forcing, state, parameter):
        discharge = parameter.recession * state.storage
        storage = state.storage - discharge + forcing.precipitation
        return self.CurrentState(storage), self.Fluxes(discharge)


def random_case(process, days=400, sites=12, components=3, seed=0, dtype=torch.float64):
    """Weather with frost and drought, parameters over their whole ranges."""
    draw = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=draw, dtype=dtype)

    forcing = {n: t[..., 0] for n, t in weather(process.forcings, days, sites, dtype, draw).items()}
    parameters = {
        p.name: p.lower + (p.upper - p.lower) * uniform(sites, components) for p in process.parameters
    }
    return forcing, parameters


def throughput(process, forcing, fluxes):
    """Sum over time of all that comes in, ``(site, component)``."""
    series = {**{n: t.unsqueeze(-1) if t.dim() == 2 else t for n, t in forcing.items()}, **fluxes}
    return sum(series[n].abs() for n in process.balance.inflow).sum(0)


def main_flux(process):
    listed = names(process.fluxes)
    return ("discharge",) if "discharge" in listed else listed[:1]


def test_a_linear_reservoir_follows_its_analytic_recession():
    rain = {"precipitation": torch.zeros(50, 1, dtype=torch.float64)}
    k = torch.tensor([[0.1, 0.3]], dtype=torch.float64)
    result = simulate(LinearReservoir(), rain, {"recession": k}, states=("storage",))
    days = torch.arange(50, dtype=torch.float64).reshape(-1, 1, 1)
    torch.testing.assert_close(result.fluxes["discharge"], k * (1 - k) ** days * 100)
    torch.testing.assert_close(result.states["storage"], (1 - k) ** (days + 1) * 100)


CONSERVING = pytest.mark.parametrize("name", sorted(n for n, p in PROCESSES.items() if p.balance is not None))


@CONSERVING
def test_every_process_closes_its_balance(name):
    process = find_process(name)
    forcing, parameters = random_case(process)
    result = simulate(process, forcing, parameters, states=names(process.states))
    initial = {item.name: torch.full((12, 3), item.initial, dtype=torch.float64) for item in process.states}
    residual = mass_residual(process, forcing, result.fluxes, initial, result.final)
    assert float(residual.abs().max()) < 1e-9 * float(throughput(process, forcing, result.fluxes).max())
    # What counts as inflow, such as an exchange with the neighbours, may have either sign.
    water = {
        item.name: result.fluxes[item.name]
        for item in process.fluxes
        if item.units == "mm/day" and item.name not in process.balance.inflow
    }
    water.update({name: result.states[name] for name in process.balance.stored})
    for name, series in water.items():
        assert bool((series >= 0).all()), f"{name} below zero"


@CONSERVING
def test_single_precision_closes_to_1e_5_of_input(name):
    process = find_process(name)
    forcing, parameters = random_case(process, days=730, dtype=torch.float32)
    result = simulate(process, forcing, parameters)
    initial = {item.name: torch.full((12, 3), item.initial) for item in process.states}
    residual = mass_residual(process, forcing, result.fluxes, initial, result.final)
    assert float((residual.abs() / throughput(process, forcing, result.fluxes)).max()) < 1e-5


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_gradients_agree_with_finite_differences(name):
    process = find_process(name)
    forcing, parameters = random_case(process, days=8, sites=2, components=1, seed=3)
    order = sorted(parameters)

    def run(*values):
        given = dict(zip(order, values, strict=True))
        return simulate(process, forcing, given, fluxes=main_flux(process), backend="eager").fluxes.popitem()[
            1
        ]

    assert torch.autograd.gradcheck(run, [parameters[n].requires_grad_() for n in order], eps=1e-6)


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_gradients_are_finite_at_the_bounds_of_every_parameter(name):
    process = find_process(name)
    forcing, _ = random_case(process, days=200, sites=3, components=1)
    for bound in ("lower", "upper"):
        parameters = {
            p.name: torch.full((3, 1), getattr(p, bound), dtype=torch.float64, requires_grad=True)
            for p in process.parameters
        }
        sum(series.sum() for series in simulate(process, forcing, parameters).fluxes.values()).backward()
        for p in parameters.values():
            assert bool(torch.isfinite(p.grad).all())


def test_warmup_only_sets_the_states_and_carries_no_gradient():
    process = find_process("hbv")
    forcing, parameters = random_case(process, days=60)
    whole = simulate(process, forcing, parameters)
    late = simulate(process, forcing, parameters, warmup=20)
    torch.testing.assert_close(late.fluxes["discharge"], whole.fluxes["discharge"][20:])
    early = {name: series[:20] for name, series in forcing.items()}
    rest = {name: series[20:] for name, series in forcing.items()}
    start = simulate(process, early, parameters).final
    torch.testing.assert_close(
        simulate(process, rest, parameters, initial=start).fluxes["discharge"], late.fluxes["discharge"]
    )


def test_a_parameter_that_varies_but_is_constant_changes_nothing():
    process = find_process("hbv")
    forcing, parameters = random_case(process, days=40)
    varying = dict(parameters)
    varying["field_capacity"] = parameters["field_capacity"].expand(40, -1, -1)
    torch.testing.assert_close(
        simulate(process, forcing, parameters).fluxes, simulate(process, forcing, varying).fluxes
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, p: f.pop("precipitation"), "forcing missing"),
        (lambda f, p: f.update(snow=f["precipitation"]), "unknown"),
        (lambda f, p: p.pop("recession"), "parameter missing"),
        (lambda f, p: p.update(recession=torch.rand(3, 2)), "disagree"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    forcing, parameters = {"precipitation": torch.rand(10, 2)}, {"recession": torch.rand(2, 1)}
    change(forcing, parameters)
    with pytest.raises(ValueError, match=message):
        simulate(LinearReservoir(), forcing, parameters)


def test_warmup_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="leaves nothing"):
        simulate(
            LinearReservoir(),
            {"precipitation": torch.rand(10, 2)},
            {"recession": torch.rand(2, 1)},
            warmup=10,
        )


def test_one_site_one_day():
    result = simulate(
        LinearReservoir(), {"precipitation": torch.ones(1, 1)}, {"recession": torch.full((1, 1), 0.5)}
    )
    assert result.fluxes["discharge"].shape == (1, 1, 1)
    assert float(result.final["storage"]) == 51.0


def test_a_process_is_found_by_name_or_path_and_a_wrong_one_explained():
    assert type(find_process("thalweg.models.processes.hbv:Hbv")) is type(find_process("hbv"))
    with pytest.raises(ValueError, match="did you mean 'hbv'"):
        find_process("hvb")
    with pytest.raises(ValueError, match="cannot be imported"):
        find_process("nowhere:Model")
    with pytest.raises(ValueError, match="not a subclass"):
        find_process("torch.nn:Linear")


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_the_documentation_lists_every_process(name):
    text = (Path(__file__).parents[2] / "docs" / "processes.md").read_text()
    (row,) = (line.split(" | ") for line in text.splitlines() if line.startswith(f"| `{name}` |"))
    assert [int(count) for count in row[2:4]] == [
        len(PROCESSES[name].states),
        len(PROCESSES[name].parameters),
    ]
    assert f"\n## {name}\n" in text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ((Parameter("k", "1", 0.6, 0.005),), "the first must be the smaller"),
        ((Parameter("k", "1", 0.0, float("inf")),), "both finite"),
        ((Parameter("k", "1", 0.0, 1.0), Parameter("k", "1", 0.0, 1.0)), "'k' twice"),
    ],
)
def test_a_wrong_parameter_range_is_refused(parameters, message):
    declared = {"forcings": (), "states": (), "parameters": parameters, "fluxes": ()}
    with pytest.raises(TypeError, match=message):
        type("Wrong", (ProcessModel,), declared)


def test_an_incomplete_declaration_is_refused():
    with pytest.raises(TypeError, match="does not declare `states`"):
        type("Incomplete", (ProcessModel,), {"forcings": ()})
    with pytest.raises(TypeError, match="no forcing or flux"):
        type(
            "Wrong",
            (ProcessModel,),
            {
                "forcings": (),
                "states": (),
                "parameters": (),
                "fluxes": (),
                "balance": Balance(("rain",), (), ()),
            },
        )
