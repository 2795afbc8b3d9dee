"""Gradients of the fused backend where it is easy to be wrong: absent ones, kinks, second ones."""

import pytest
import torch
from against_eager import assert_absent_gradients_agree, inputs
from torch.utils.checkpoint import checkpoint

from thalweg.models.engine import UnsupportedOperation, simulate
from thalweg.models.engine.fused import program_of
from thalweg.models.engine.fused.cpu import cpu_for
from thalweg.models.engine.fused.plan import FEW, START, STATIC, plan_of, way_back
from thalweg.models.process import Parameter, ProcessModel, State, Variable, names
from thalweg.models.processes import PROCESSES, find_process
from thalweg.models.routing import gamma_unit_hydrograph, route

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THALWEG_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield


def process_of(flux, state=None):
    """A process of rain and one parameter whose flux, and perhaps state, are functions of them."""

    class Small(ProcessModel):
        forcings = (Variable("rain", "mm/day"),)
        states = (State("storage", "mm", 1.0),)
        parameters = (Parameter("k", "1", 0.0, 1.0),)
        fluxes = (Variable("outflow", "mm/day"),)

        def step(self, forcing, state_before, parameter):
            rain, before, k = forcing.rain, state_before.storage, parameter.k
            after = before if state is None else state(rain, before, k)
            return self.CurrentState(after), self.Fluxes(flux(rain, before, k))

    return Small()


LINEAR = process_of(lambda rain, _before, k: k * rain)


# -- against finite differences ---------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_gradients_against_finite_differences(name):
    process = find_process(name)
    varying = names(process.parameters)[:1]
    forcing, parameters, state = inputs(process, 4, 1, 2, torch.float64, varying, seed=3, ends=False)
    forcing = {key: (t.detach() + 1.0).requires_grad_() for key, t in forcing.items()}  # no kink at zero
    groups = [list(group) for group in (forcing, parameters, state)]

    def run(*values):
        each = iter(values)
        first, second, third = ({key: next(each) for key in group} for group in groups)
        result = simulate(process, first, second, initial=third, backend="fused")
        everything = (*result.fluxes.values(), *result.final.values())
        return torch.cat([t.flatten() for t in everything])

    tensors = (*forcing.values(), *parameters.values(), *state.values())
    assert torch.autograd.gradcheck(run, tensors, eps=1e-6, atol=1e-5)


# -- absent gradients -------------------------------------------------------------------------


def test_absent_gradients_are_not_zeros():
    assert_absent_gradients_agree()


def kinds(process):
    return (
        *((f"forcing.{name}", "lane") for name in names(process.forcings)),
        *((f"parameter.{name}", STATIC) for name in names(process.parameters)),
        *((f"state.{name}", START) for name in names(process.states)),
    )


def stretches(process, flux, started=(), days=10):
    program, fluxes = program_of(process, torch.float64), (f"flux.{flux}",)
    needed = tuple(f"parameter.{name}" for name in names(process.parameters))
    plan = plan_of(program, kinds(process), fluxes, needed, cpu_for(False, 1))
    return way_back(plan, ((f"given.flux.{flux}", "lane"),), started, days)


def test_the_last_day_alone_has_a_kernel_of_its_own():
    hbv = find_process("hbv")
    states = tuple(f"state.{name}" for name in names(hbv.states))
    (last, early), usual = stretches(hbv, "discharge")
    assert (last, early.started, early.live) == (1, (), ())
    assert usual[0] == 9
    assert usual[1].live == early.finished == states
    assert len(stretches(hbv, "discharge", started=states)) == 1
    assert sum(days for days, _ in stretches(hbv, "discharge", days=1)) == 1


def test_long_chains_of_states_take_few_kernels():
    found = stretches(find_process("gr4j"), "discharge", days=30)
    assert [days for days, _ in found] == [1] * FEW + [30 - FEW]
    # No slope in routing can be infinite, so zeros do.
    runoff, shape, scale = torch.rand(30, 2), *(torch.full((2,), v) for v in (1.5, 2.0))
    runoff.requires_grad_()
    gradients = [
        torch.autograd.grad(
            route(runoff, gamma_unit_hydrograph(shape, scale), backend).square().sum(), runoff
        )[0]
        for backend in ("eager", "fused")
    ]
    torch.testing.assert_close(*gradients)


# -- used by autograd in other ways -----------------------------------------------------------


def test_checkpointing_simulates_again():
    k, rain = torch.full((3, 2), 0.3), torch.rand(5, 3)

    def flow(k):
        process = process_of(
            lambda rain, before, k: k * before, lambda rain, before, k: before * (1 - k) + rain
        )
        return simulate(process, {"rain": rain}, {"k": k}, backend="fused").fluxes["outflow"].square().sum()

    once, again = (k.clone().requires_grad_() for _ in range(2))
    flow(once).backward()
    checkpoint(flow, again, use_reentrant=False).backward()
    assert torch.equal(once.grad, again.grad)
    with torch.autograd.graph.save_on_cpu():
        total = flow(kept := k.clone().requires_grad_())
    total.backward()
    assert torch.equal(once.grad, kept.grad)


def test_a_second_derivative_is_refused():
    k = torch.full((3, 2), 0.3).requires_grad_()
    flow = simulate(LINEAR, {"rain": torch.rand(5, 3)}, {"k": k}, backend="fused").fluxes["outflow"].sum()
    with pytest.raises(UnsupportedOperation, match=r'first derivatives alone.*backend="eager"'):
        torch.autograd.grad(flow, k, create_graph=True)


# -- whole numbers ----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "function",
    [
        torch.fmod,
        torch.remainder,
        lambda x, y: torch.div(x, y, rounding_mode="floor") * y,
        lambda x, y: torch.div(x, y, rounding_mode="trunc") * y,
        lambda x, y: torch.lerp(x, y, 0.7) + torch.lerp(x, y, y / 20),
    ],
    ids=["fmod", "remainder", "floor", "trunc", "lerp"],
)
def test_quotients_are_rounded_to_the_same_whole_number(function, dtype):
    # x / y is whole in half of the cases, and rounded up or down to it.
    k = torch.arange(1, 100, dtype=dtype).reshape(-1, 1) / 10
    rain = torch.cat([k.T * 3, -k.T * 7, k.T + 0.05])
    found = []
    for backend in ("eager", "fused"):
        leaf = k.clone().requires_grad_()
        process = process_of(lambda rain, _before, k: function(rain, k))
        flow = simulate(process, {"rain": rain}, {"k": leaf}, backend=backend).fluxes["outflow"]
        found.append((flow.detach(), *torch.autograd.grad(flow.sum(), leaf)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-5)


def test_numbers_keep_the_type_that_torch_gives_them():
    third = torch.tensor(1.0) / 3  # single precision
    rain, k = torch.rand(4, 3, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64)
    for constant in (lambda: torch.tensor(1.0) / 3, lambda: third * 1.0):
        process = process_of(
            lambda rain, _before, k, c=constant: c() * rain + torch.tensor(1.0).add(2.0) * k,
        )
        eager, fused = (
            simulate(process, {"rain": rain}, {"k": k}, backend=backend).fluxes["outflow"]
            for backend in ("eager", "fused")
        )
        assert torch.equal(eager, fused)
