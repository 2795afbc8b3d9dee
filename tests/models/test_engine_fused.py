"""The fused backend against the eager one, which is the reference."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from against_eager import (
    assert_agrees,
    assert_functions_agree,
    assert_functions_agree_at_the_border,
    assert_same,
    inputs,
    outcome,
)

from thalweg.models.engine import UnsupportedOperation, simulate
from thalweg.models.engine.fused import native
from thalweg.models.engine.fused.emit import Vector
from thalweg.models.engine.fused.explain import explain
from thalweg.models.process import Balance, Parameter, ProcessModel, State, Variable, mass_residual, names
from thalweg.models.processes import PROCESSES, find_process

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])


class Bucket(ProcessModel):
    """A store that leaks: the shortest process."""

    forcings = (Variable("rain", "mm/day"),)
    states = (State("storage", "mm", 1.0),)
    parameters = (Parameter("recession", "1/day", 0.0, 1.0), Parameter("exponent", "1", 1.0, 2.0))
    fluxes = (Variable("outflow", "mm/day"),)
    balance = Balance(inflow=("rain",), outflow=("outflow",), stored=("storage",))

    def step(self, forcing, state, parameter):
        wet = state.storage + forcing.rain
        outflow = torch.minimum(parameter.recession * wet**parameter.exponent, wet)
        return self.CurrentState(wet - outflow), self.Fluxes(outflow)


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THALWEG_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield


@BOTH
@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_every_process_agrees_with_eager(name, dtype):
    process = find_process(name)
    varying = names(process.parameters)[::3]
    given = inputs(process, 160, 6, 8, dtype, varying)
    assert_agrees(process, given, dtype, states=names(process.states)[:2])


@pytest.mark.parametrize(
    ("sites", "components"), [(1, 1), (3, 1), (5, 3), (2, 5), (37, 1), (4, 4), (2, 16), (3, 32)]
)
def test_any_number_of_sites_and_components(sites, components):
    given = inputs(find_process("hbv"), 12, sites, components, torch.float32, ("percolation",))
    assert_agrees(find_process("hbv"), given, torch.float32)


@pytest.mark.parametrize("varying", [(), ("field_capacity",), "all"])
def test_any_subset_of_parameters_varies(varying):
    process = find_process("hbv")
    varying = names(process.parameters) if varying == "all" else varying
    given = inputs(process, 40, 4, 4, torch.float64, varying)
    assert_agrees(process, given, torch.float64, fluxes=("discharge",))


@pytest.mark.parametrize(
    ("fluxes", "states", "wanted"),
    [
        (("discharge",), (), ("recharge_exponent",)),
        (("evapotranspiration", "snowmelt"), (), ("field_capacity", "soil_moisture")),
        ((), ("soil_moisture", "lower_zone"), ("temperature", "percolation")),
        ((), (), ("snowpack", "precipitation")),
    ],
)
def test_any_results_and_any_gradients(fluxes, states, wanted):
    process = find_process("hbv")
    given = inputs(process, 30, 3, 4, torch.float64, ("percolation",))
    for tensors in given:
        for name, tensor in tensors.items():
            tensor.requires_grad_(name in wanted)
    assert_agrees(process, given, torch.float64, fluxes=fluxes, states=states, wanted=wanted)


def test_warm_up_is_left_out_and_has_no_gradient():
    process = find_process("hbv")
    given = inputs(process, 60, 3, 4, torch.float64, ("percolation",))
    assert_agrees(process, given, torch.float64, warmup=25)
    _, gradients = outcome("fused", process, given, warmup=25)
    assert not gradients["precipitation"][:25].any()
    assert gradients["precipitation"][25:].any()


def test_a_run_goes_on_from_its_final_states():
    process = find_process("hbv")
    forcing, parameters, state = inputs(process, 50, 3, 4, torch.float32)
    whole = simulate(process, forcing, parameters, initial=state, backend="fused")
    first = {name: series[:20] for name, series in forcing.items()}
    rest = {name: series[20:] for name, series in forcing.items()}
    middle = simulate(process, first, parameters, initial=state, backend="fused").final
    end = simulate(process, rest, parameters, initial=middle, backend="fused")
    assert torch.equal(end.fluxes["discharge"], whole.fluxes["discharge"][20:])
    assert torch.equal(end.final["soil_moisture"], whole.final["soil_moisture"])


@BOTH
@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_mass_is_conserved(name, dtype):
    process = find_process(name)
    if process.balance is None:
        pytest.skip("conserves nothing")
    forcing, parameters, state = inputs(process, 200, 5, 8, dtype)
    with torch.no_grad():
        result = simulate(process, forcing, parameters, initial=state, backend="fused")
        residual = mass_residual(process, forcing, result.fluxes, state, result.final)
        series = {**forcing, **result.fluxes}
        inflow = sum(series[name].abs() for name in process.balance.inflow).sum(0)
    share = 1e-5 if dtype == torch.float32 else 1e-12
    assert (residual.abs() <= share * inflow).all()


def test_threads_change_nothing():
    process = find_process("hbv")
    given = inputs(process, 30, 70, 4, torch.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(outcome("fused", process, given))
    finally:
        torch.set_num_threads(before)
    for results, gradients in found[1:]:
        assert all(torch.equal(t, found[0][0][n]) for n, t in results.items())
        assert all(torch.equal(t, found[0][1][n]) for n, t in gradients.items() if n != "temperature")


@BOTH
@pytest.mark.parametrize("width", [2, 4, 8])
def test_processors_with_narrower_vectors(monkeypatch, width, dtype):
    monkeypatch.setattr(native, "vector_for", lambda single, _lanes: Vector(single, width))
    given = inputs(find_process("hbv"), 20, 5, 4, dtype)
    assert_agrees(find_process("hbv"), given, dtype)


def test_inputs_in_any_memory_order():
    process = find_process("hbv")
    forcing, parameters, state = inputs(process, 20, 6, 4, torch.float64, ("percolation",))
    turned = {name: t.detach()[..., 0].T.contiguous().T for name, t in forcing.items()}
    shared = {name: t.detach()[:1] for name, t in parameters.items() if t.dim() == 2}
    whole = {
        name: t if t.dim() == 3 else shared[name].expand(6, 4).contiguous() for name, t in parameters.items()
    }
    expected = simulate(process, forcing, whole, initial=state, backend="eager")
    found = simulate(process, turned, {**whole, **shared}, initial=state, backend="fused")
    assert_same(found.fluxes, expected.fluxes, 1e-9)


def test_gradient_of_the_mean_over_components():
    process = find_process("hbv")
    forcing, parameters, _ = inputs(process, 20, 6, 4, torch.float64)
    found = []
    for backend in ("eager", "fused"):
        flow = simulate(process, forcing, parameters, fluxes=("discharge",), backend=backend)
        loss = flow.fluxes["discharge"].mean(-1).square().sum()
        found.append(torch.autograd.grad(loss, list(parameters.values())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_absent_values_stay_absent():
    process = find_process("hbv")
    forcing, parameters, state = inputs(process, 10, 3, 4, torch.float32)
    with torch.no_grad():
        forcing["precipitation"][4, 1] = torch.nan
        expected = simulate(process, forcing, parameters, initial=state, backend="eager")
        found = simulate(process, forcing, parameters, initial=state, backend="fused")
    for name, flux in expected.fluxes.items():
        assert torch.equal(flux.isnan(), found.fluxes[name].isnan()), name


@BOTH
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_functions_and_their_derivatives(dtype, scale):
    assert_functions_agree(dtype, scale)


@BOTH
def test_functions_at_the_border_of_numbers(dtype):
    assert_functions_agree_at_the_border(dtype)


def bucket_inputs(dtype=torch.float32, days=5, sites=3):
    rain = torch.rand(days, sites, dtype=dtype)
    return {"rain": rain}, {n: torch.full((sites, 2), 1.1, dtype=dtype) for n in ("recession", "exponent")}


def test_auto_is_fused_where_it_can_be():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto = simulate(Bucket(), *bucket_inputs(), backend="auto")
    assert auto.fluxes["outflow"].shape == (5, 3, 2)
    with pytest.warns(RuntimeWarning, match=r"found torch.bfloat16 on cpu; running the slower") as said:
        half = simulate(Bucket(), *bucket_inputs(torch.bfloat16), backend="auto")
    assert said[0].filename == __file__
    assert half.fluxes["outflow"].dtype == torch.bfloat16
    with pytest.raises(UnsupportedOperation, match="bfloat16"):
        simulate(Bucket(), *bucket_inputs(torch.bfloat16), backend="fused")


def test_no_sites_and_one_day():
    assert simulate(Bucket(), *bucket_inputs(sites=0), backend="fused").fluxes["outflow"].shape == (5, 0, 2)
    assert simulate(Bucket(), *bucket_inputs(days=1), backend="fused").fluxes["outflow"].shape == (1, 3, 2)


def test_without_gradients_and_in_inference_mode():
    class Fresh(Bucket):
        """Traced here for the first time."""

    with torch.inference_mode():
        result = simulate(Fresh(), *bucket_inputs(), backend="fused")
    assert not result.fluxes["outflow"].requires_grad
    rain, parameters = bucket_inputs()
    parameters["recession"].requires_grad_()
    with torch.no_grad():
        assert not simulate(Fresh(), rain, parameters, backend="fused").fluxes["outflow"].requires_grad


def test_a_graph_is_used_once_unless_kept():
    rain, parameters = bucket_inputs()
    parameters["recession"].requires_grad_()
    outflow = simulate(Bucket(), rain, parameters, backend="fused").fluxes["outflow"].sum()
    outflow.backward(retain_graph=True)
    once = parameters["recession"].grad.clone()
    outflow.backward()
    torch.testing.assert_close(parameters["recession"].grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        outflow.backward()


def test_names_asked_for_twice_are_given_once():
    result = simulate(Bucket(), *bucket_inputs(), fluxes=("outflow", "outflow"), states=("storage",) * 2)
    assert list(result.fluxes) == ["outflow"]
    assert list(result.states) == ["storage"]


def bucket_with(step):
    return type("Odd", (Bucket,), {"step": step})()


def sorts(self, forcing, state, parameter):
    return self.CurrentState(state.storage), self.Fluxes(torch.cumsum(forcing.rain, 0))


def sums(self, forcing, state, parameter):
    return self.CurrentState(state.storage), self.Fluxes(forcing.rain - forcing.rain.mean())


def picks(self, forcing, state, parameter):
    return self.CurrentState(state.storage), self.Fluxes(forcing.rain + state.storage[0])


def writes(self, forcing, state, parameter):
    wet = state.storage + forcing.rain
    wet += 1.0
    return self.CurrentState(wet), self.Fluxes(wet)


def branches(self, forcing, state, parameter):
    more = 1.0 if forcing.rain.max() > 0.5 else 2.0
    return self.CurrentState(state.storage), self.Fluxes(forcing.rain * more)


def compares(self, forcing, state, parameter):
    rain = forcing.rain * 2.0 if (forcing.rain > 0).all() else forcing.rain
    return self.CurrentState(state.storage), self.Fluxes(rain)


def borrows(self, forcing, state, parameter):
    return self.CurrentState(state.storage), self.Fluxes(forcing.rain * torch.ones(3, 1))


def forgets(self, forcing, state, parameter):
    return self.CurrentState(state.storage), self.Fluxes(0.0)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (sorts, "cumsum"),
        (sums, "mean, which mixes sites"),
        (picks, "select, which mixes sites"),
        (writes, "in place"),
        (branches, "max, which mixes sites"),
        (compares, "all, which mixes sites"),
        (borrows, "mixes sites|none of its arguments"),
        (forgets, "flux.outflow"),
    ],
)
def test_what_cannot_be_fused_is_named_with_its_line(step, message):
    with pytest.raises(UnsupportedOperation, match=message) as caught:
        simulate(bucket_with(step), *bucket_inputs(), backend="fused")
    if step is not forgets:
        assert "test_engine_fused.py, line" in str(caught.value)


def test_branching_is_explained():
    def step(self, forcing, state, parameter):
        rain = forcing.rain if bool(torch.tensor(1.0) > 0) else forcing.rain * 2
        return self.CurrentState(state.storage), self.Fluxes(rain)

    with pytest.raises(UnsupportedOperation, match=r"torch\.where"):
        simulate(bucket_with(step), *bucket_inputs(), backend="fused")


def test_auto_falls_back_with_one_warning():
    process = bucket_with(sums)
    with pytest.warns(RuntimeWarning, match="eager"):
        simulate(process, *bucket_inputs())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert simulate(process, *bucket_inputs()).fluxes["outflow"].shape == (5, 3, 2)


def test_attributes_of_a_process_are_part_of_it():
    def step(self, forcing, state, parameter):
        return self.CurrentState(state.storage), self.Fluxes(
            forcing.rain * self.factor + 0 * parameter.recession
        )

    process = bucket_with(step)
    rain, parameters = bucket_inputs()
    for factor in (2.0, 3.0):
        process.factor = factor
        outflow = simulate(process, rain, parameters, backend="fused").fluxes["outflow"]
        torch.testing.assert_close(outflow[..., 0], factor * rain["rain"])


FIRST_CALL = """
import torch
from thalweg.models.engine import simulate
from thalweg.models.engine.fused import native
from thalweg.models.processes import find_process
if {cached}:
    def _compile(text):
        raise SystemExit("compiled again")
    native._compile = _compile
process = find_process("hbv")
k = {{p.name: torch.full((2, 4), (p.lower + p.upper) / 2, requires_grad=True) for p in process.parameters}}
rain = {{f.name: torch.ones(9, 2) for f in process.forcings}}
simulate(process, rain, k, backend="fused").fluxes["discharge"].sum().backward()
print(k["percolation"].grad.sum().item())
"""


def test_kernels_are_kept_across_processes(tmp_path):
    environment = {**os.environ, "THALWEG_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def first_call(cached):
        script = FIRST_CALL.format(cached=cached)
        return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)

    made = first_call(False)
    assert made.returncode == 0, made.stderr
    kept = first_call(True)
    assert (kept.returncode, kept.stdout) == (0, made.stdout), kept.stderr
    assert len(sorted(tmp_path.rglob("*.o"))) == 3  # forward, back, and back from the last day
    assert not list(tmp_path.rglob(".new-*"))


def test_a_damaged_kernel_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path))
    native._write("key", "text", b"machine code")
    assert native._read("key") == b"machine code"
    (file,) = tmp_path.rglob("*.o")
    for content in (b"damaged", file.read_bytes()[:-1], b""):
        file.write_bytes(content)
        assert native._read("key") is None


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("THALWEG_CACHE", str(file))
    assert simulate(Bucket(), *bucket_inputs(torch.float64), backend="fused").fluxes


def test_runs_of_several_python_threads():
    from concurrent.futures import ThreadPoolExecutor

    process = find_process("hbv")
    given = inputs(process, 60, 40, 4, torch.float32)
    alone = outcome("fused", process, given)[1]
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: outcome("fused", process, given)[1], range(8)))
    for gradients in several:
        assert all(torch.equal(gradients[name], alone[name]) for name in process.Parameters._fields)


def test_the_documentation_shows_what_is_emitted():
    text = (Path(__file__).parents[2] / "docs" / "engine.md").read_text()
    blocks = dict(re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL))
    space = {n: globals()[n] for n in ("ProcessModel", "Variable", "State", "Parameter", "torch")}
    exec(blocks["python"], space)
    shown = explain(space["Bucket"]())
    assert blocks[""].strip() == shown["step"]
    for line in blocks["llvm"].splitlines():
        assert line in shown["forward"]
    assert blocks["py"] in shown["forward.gpu"]
    assert explain(find_process("hbv"))["backward"].startswith("define void @kernel")
