"""The GPU's kernels: in Triton's interpreter, compiled without a GPU, and on one where there is one."""

import re
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from against_eager import (
    Functions,
    assert_absent_gradients_agree,
    assert_agrees,
    assert_functions_agree,
    assert_functions_agree_at_the_border,
    assert_same,
    inputs,
    outcome,
)

from thalweg.models.engine import UnsupportedOperation, fused, simulate
from thalweg.models.engine.fused.cuda import gpu as gpu_target
from thalweg.models.engine.fused.cuda import launch
from thalweg.models.engine.fused.cuda.gpu import Gpu
from thalweg.models.engine.fused.cuda.kernel import write
from thalweg.models.engine.fused.plan import START, STATIC, Reach, plan_of
from thalweg.models.process import names
from thalweg.models.processes import PROCESSES, find_process

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
EVERY = pytest.mark.parametrize("name", sorted(PROCESSES))
HBV = find_process("hbv")


@pytest.fixture
def interpreted(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("THALWEG_FUSED_TARGET", "triton")


# -- in the interpreter ------------------------------------------------------------------------


@BOTH
@EVERY
def test_every_process_agrees_with_eager(interpreted, name, dtype):
    process = find_process(name)
    given = inputs(process, 5, 2, 3, dtype, names(process.parameters)[::3])
    assert_agrees(process, given, dtype, states=names(process.states)[:1], warmup=1)


@pytest.mark.parametrize(("sites", "components"), [(1, 1), (7, 5), (40, 1), (1, 16)])
def test_any_number_of_lanes(interpreted, sites, components):
    given = inputs(HBV, 3, sites, components, torch.float32, ("percolation",))
    assert_agrees(HBV, given, torch.float32)


@pytest.mark.parametrize(
    ("fluxes", "states", "wanted"),
    [
        (("discharge",), (), ("recharge_exponent",)),
        (("evapotranspiration", "snowmelt"), (), ("field_capacity", "soil_moisture")),
        ((), ("soil_moisture", "lower_zone"), ("temperature", "percolation")),
        ((), (), ("snowpack", "precipitation")),
    ],
)
def test_any_results_and_any_gradients(interpreted, fluxes, states, wanted):
    given = inputs(HBV, 4, 2, 2, torch.float64, ("percolation",))
    for tensors in given:
        for name, tensor in tensors.items():
            tensor.requires_grad_(name in wanted)
    assert_agrees(HBV, given, torch.float64, fluxes=fluxes, states=states, wanted=wanted)


@pytest.mark.parametrize("varying", [(), "all"])
def test_any_subset_of_parameters_varies(interpreted, varying):
    varying = names(HBV.parameters) if varying == "all" else varying
    given = inputs(HBV, 4, 2, 2, torch.float64, varying)
    assert_agrees(HBV, given, torch.float64, fluxes=("discharge",))


@pytest.mark.parametrize("weights", ["mean", torch.tensor([0.2, 0.5, 0.3])])
def test_segments_change_nothing(interpreted, weights):
    given = inputs(HBV, 20, 2, 3, torch.float32, ("percolation",))
    wanted = ("percolation", "field_capacity")
    options = {"weights": weights, "states": ("soil_moisture",), "warmup": 1, "wanted": wanted}
    whole, gradients = outcome("fused", HBV, given, **options)
    cut, cut_gradients = outcome("fused", HBV, given, memory=2000, **options)
    chosen, _ = outcome("fused", HBV, given, state_days=(1, 4), **options)
    assert all(torch.equal(cut[name], value) for name, value in whole.items())
    assert all(torch.equal(chosen[name], value) for name, value in whole.items())
    assert all(torch.equal(cut_gradients[name], value) for name, value in gradients.items())
    expected, expected_gradients = outcome("eager", HBV, given, **options)
    assert_same(whole, expected, 1e-5)
    assert_same(gradients, expected_gradients, 1e-4)


@BOTH
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_functions_and_their_derivatives(interpreted, dtype, scale):
    assert_functions_agree(dtype, scale, days=4)


@BOTH
def test_functions_at_the_border_of_numbers(interpreted, dtype):
    assert_functions_agree_at_the_border(dtype, slopes=dtype == torch.float32)


def test_absent_gradients_are_not_zeros(interpreted):
    assert_absent_gradients_agree(days=10)


def test_absent_values_stay_absent_and_nothing_needs_gradients(interpreted):
    forcing, parameters, state = inputs(HBV, 6, 2, 2, torch.float32)
    with torch.no_grad():
        forcing["precipitation"][3, 1] = torch.nan
        expected = simulate(HBV, forcing, parameters, initial=state, backend="eager")
        found = simulate(HBV, forcing, parameters, initial=state, backend="fused")
    for name, flux in expected.fluxes.items():
        assert torch.equal(flux.isnan(), found.fluxes[name].isnan()), name
    assert not found.fluxes["discharge"].requires_grad


# -- which backend -----------------------------------------------------------------------------


def test_a_simulation_on_the_cpu_never_imports_triton():
    script = (
        "import sys, torch; from thalweg.models.engine import simulate;"
        "from thalweg.models.processes import find_process; process = find_process('lorenz63');"
        "k = {p.name: torch.full((1, 1), p.lower, requires_grad=True) for p in process.parameters};"
        "series = {f.name: torch.ones(3, 1) for f in process.forcings};"
        "simulate(process, series, k, backend='fused').final['x'].sum().backward();"
        "assert 'triton' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_triton_a_gpu_runs_eager_with_one_warning(monkeypatch):
    monkeypatch.setattr(gpu_target, "find_spec", lambda _name: None)
    on_gpu = SimpleNamespace(device=torch.device("cuda:0"), dtype=torch.float32)
    with pytest.raises(UnsupportedOperation, match="pip install triton"):
        fused.target_for(on_gpu, 1)

    class Fresh(type(HBV)):
        """Not warned of yet."""

    monkeypatch.setenv("THALWEG_FUSED_TARGET", "triton")
    forcing, parameters, _ = inputs(Fresh(), 3, 1, 1, torch.float32)
    with pytest.warns(RuntimeWarning, match="pip install triton; running the slower eager backend"):
        simulate(Fresh(), forcing, parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(Fresh(), forcing, parameters)
    with pytest.raises(UnsupportedOperation, match="pip install triton"):
        simulate(Fresh(), forcing, parameters, backend="fused")


def test_every_multiprocessor_has_work_before_any_has_much():
    assert [launch.warps_for(lanes, 132) for lanes in (1, 1600, 16896, 16897, 1 << 20)] == [1, 1, 1, 4, 4]


# -- compiled for a GPU, without one -----------------------------------------------------------


def marches(process, dtype):
    """The way forward, and the way back from all fluxes to all parameters, which are static."""
    fluxes = tuple(f"flux.{name}" for name in names(process.fluxes))
    parameters = tuple(f"parameter.{name}" for name in names(process.parameters))
    kinds = (
        *((f"forcing.{name}", "site") for name in names(process.forcings)),
        *((name, STATIC) for name in parameters),
        *((f"state.{name}", START) for name in names(process.states)),
    )
    target = Gpu(dtype == torch.float32)
    plan = plan_of(fused.program_of(process, dtype), kinds, fluxes, parameters, target)
    reach = Reach(started=(), live=plan.states, finished=())
    return plan.forward_march(), plan.backward_march(tuple((f"given.{f}", "lane") for f in fluxes), reach)


def assembly(source, single, warps=4):
    """The text of a kernel in the language of an H100."""
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    pointer = "*fp32" if single else "*fp64"
    types = {a.replace(".", "_"): pointer if a.startswith("at.") else "i32" for a in source.arguments}
    text = ASTSource(
        launch.load(source.text, interpreted=False),
        signature={**types, "BLOCK": "constexpr"},
        constexprs={"BLOCK": 32 * warps},
    )
    options = {"num_warps": warps, **launch.OPTIONS}
    return triton.compile(text, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


@BOTH
def test_compiled_kernels_round_as_they_are_written(dtype):
    single = dtype == torch.float32
    for march in marches(HBV, dtype):
        source = write(march, single)
        found = assembly(source, single)
        assert len(re.findall(r"\bfma\.rn\.", found)) == len(re.findall(r"= fma\(", source.text))
        assert not re.findall(r"\.ftz|\bapprox\b", found)
        assert march.backward or "div.full" not in found


@BOTH
def test_every_function_compiles(dtype):
    for march in marches(Functions(), dtype):
        assert ".visible .entry kernel" in assembly(
            write(march, dtype == torch.float32), dtype == torch.float32
        )


# -- on a GPU ----------------------------------------------------------------------------------

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.mark.gpu
@NO_GPU
@BOTH
@EVERY
def test_every_process_agrees_on_a_gpu(name, dtype):
    process = find_process(name)
    given = inputs(process, 160, 50, 16, dtype, names(process.parameters)[::3], device="cuda")
    assert_agrees(process, given, dtype, states=names(process.states)[:2], warmup=40)


@pytest.mark.gpu
@NO_GPU
@BOTH
def test_functions_on_a_gpu(dtype):
    for scale in (1.0, 30.0):
        assert_functions_agree(dtype, scale, device="cuda")
    assert_functions_agree_at_the_border(dtype, device="cuda", slopes=False)


@pytest.mark.gpu
@NO_GPU
def test_auto_takes_a_gpu():
    given = inputs(HBV, 20, 30, 4, torch.float32, device="cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto, _ = outcome("auto", HBV, given)
    found, _ = outcome("fused", HBV, given)
    assert all(value.is_cuda and torch.equal(value, found[name]) for name, value in auto.items())


@pytest.mark.gpu
@NO_GPU
def test_cpu_and_gpu_agree():
    given = inputs(HBV, 100, 20, 8, torch.float64, ("percolation",))
    there = tuple({n: t.detach().cuda().requires_grad_() for n, t in group.items()} for group in given)
    expected, expected_gradients = outcome("fused", HBV, given)
    found, gradients = outcome("fused", HBV, there)
    assert_same({n: t.cpu() for n, t in found.items()}, expected, 1e-9)
    assert_same({n: t.cpu() for n, t in gradients.items()}, expected_gradients, 1e-9)


@pytest.mark.gpu
@NO_GPU
def test_segments_change_nothing_on_a_gpu():
    given = inputs(HBV, 200, 64, 16, torch.float32, ("percolation",), device="cuda")
    wanted = ("percolation", "field_capacity")
    whole, gradients = outcome("fused", HBV, given, wanted=wanted)
    cut, cut_gradients = outcome("fused", HBV, given, wanted=wanted, memory=2 << 20)
    assert all(torch.equal(cut[name], value) for name, value in whole.items())
    assert all(torch.equal(cut_gradients[name], value) for name, value in gradients.items())


@pytest.mark.gpu
@NO_GPU
def test_series_of_more_than_two_billion_numbers():
    days, sites, components = 2200, 1 << 16, 16
    if torch.cuda.get_device_properties(0).total_memory < 30e9:
        pytest.skip("wants 30 GB")
    forcing = {name: 10 * torch.rand(days, sites, device="cuda") for name in names(HBV.forcings)}
    parameters = {
        item.name: item.lower + (item.upper - item.lower) * torch.rand(sites, components, device="cuda")
        for item in HBV.parameters
    }
    few = slice(sites - 3, sites)
    with torch.no_grad():
        found = simulate(HBV, forcing, parameters, fluxes=("discharge",), backend="fused")
        last = (
            {name: t[:, few] for name, t in forcing.items()},
            {name: t[few] for name, t in parameters.items()},
        )
        expected = simulate(HBV, *last, fluxes=("discharge",), backend="fused")
    assert torch.equal(found.fluxes["discharge"][:, few], expected.fluxes["discharge"])


@pytest.mark.gpu
@NO_GPU
def test_a_stream_of_its_own():
    given = inputs(HBV, 100, 40, 16, torch.float32, device="cuda")
    expected, expected_gradients = outcome("fused", HBV, given)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        found, gradients = outcome("fused", HBV, given)
    stream.synchronize()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert all(torch.equal(gradients[n], g) for n, g in expected_gradients.items() if n not in given[0])
