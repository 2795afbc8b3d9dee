"""Bounded memory, states at chosen days and weighted components: the same numbers on every way."""

import subprocess
import sys

import pytest
import torch

from thalweg.models.engine import simulate
from thalweg.models.engine.fused import native
from thalweg.models.engine.fused.segments import cut
from thalweg.models.process import names
from thalweg.models.processes import find_process

DAYS, SITES, COMPONENTS = 90, 5, 3


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THALWEG_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield


def leaves(dtype=torch.float64, varying=("field_capacity",), shared=True):
    """Random forcing (of sites alone, where shared), parameters and states, all with gradients."""
    process, draw = find_process("hbv"), torch.Generator().manual_seed(4)

    def rand(*shape):
        return torch.rand(*shape, generator=draw, dtype=torch.float64)

    width = (DAYS, SITES) if shared else (DAYS, SITES, COMPONENTS)
    forcing = {
        "precipitation": rand(*width) ** 4 * 40,
        "temperature": 20 * rand(*width) - 6,
        "potential_evapotranspiration": 5 * rand(*width),
    }
    parameters = {}
    for item in process.parameters:
        shape = (DAYS, SITES, COMPONENTS) if item.name in varying else (SITES, COMPONENTS)
        parameters[item.name] = item.lower + (item.upper - item.lower) * rand(*shape)
    state = {name: 30 * rand(SITES, COMPONENTS) for name in names(process.states)}
    groups = [{n: t.to(dtype).requires_grad_() for n, t in g.items()} for g in (forcing, parameters, state)]
    return process, *groups


def outcome(given, *, warmup=0, seed=0, extra=(), **options):
    """Give all results, and the gradients of a random sum of them to all inputs."""
    process, forcing, parameters, state = given
    result = simulate(process, forcing, parameters, initial=state, warmup=warmup, **options)
    results = [
        t
        for part in (result.fluxes, result.states, result.final, result.on_days)
        for _, t in sorted(part.items())
    ]
    draw = torch.Generator().manual_seed(seed)
    total = sum((t * torch.rand(t.shape, generator=draw, dtype=t.dtype)).sum() for t in results)
    inputs = [*forcing.values(), *parameters.values(), *state.values(), *extra]
    return results, torch.autograd.grad(total, inputs, allow_unused=True)


def assert_close(found, expected, tolerance=1e-9):
    for one, other in zip(found, expected, strict=True):
        if one is None or other is None:
            assert all(t is None or not t.any() for t in (one, other))
            continue
        scale = float(other.detach().abs().max())
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * scale)


def assert_identical(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


# -- memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup", [0, 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_segments_change_no_bit(dtype, warmup):
    given = leaves(dtype)
    options = {"warmup": warmup, "states": ("soil_moisture",), "backend": "fused"}
    whole = outcome(given, **options)
    record = SITES * COMPONENTS * given[1]["temperature"].element_size() * 5 * DAYS
    for share in (0.8, 0.45):
        parts = outcome(given, **options, memory=int(share * record))
        for one, other in zip(parts, whole, strict=True):
            # a gradient to forcing that components share is summed over them by torch: equal all the same
            assert_identical(one, other)


def test_segments_agree_with_eager():
    given = leaves()
    options = {"warmup": 10, "states": ("snowpack",), "state_days": (3, 40)}
    fused = outcome(given, backend="fused", memory=SITES * COMPONENTS * 8 * 5 * 40, **options)
    eager = outcome(given, backend="eager", **options)
    for one, other in zip(fused, eager, strict=True):
        assert_close(one, other)


def test_too_little_memory_says_how_much_is_needed():
    process, forcing, parameters, _ = leaves()
    with pytest.raises(ValueError, match=r"memory budget of 1e-06 GB is too small.*needs .* GB"):
        simulate(process, forcing, parameters, backend="fused", memory=1000)


def test_what_the_message_asks_for_is_enough():
    with pytest.raises(ValueError, match="needs") as caught:
        cut(range(3650), (), per_day=10**6, per_cut=10**6, memory=10**7, record=True)
    needed = float(str(caught.value).split("it needs ")[1].split()[0])
    found = cut(range(3650), (), per_day=10**6, per_cut=10**6, memory=int(needed * 1e9), record=True)
    assert found.recompute
    assert [day for span in found.spans for day in span] == list(range(3650))


@pytest.mark.parametrize("memory", [10, 300, 2000])
def test_segments_cover_all_days_and_end_where_asked(memory):
    found = cut(range(30, 130), [30, 31, 77], per_day=10, per_cut=0, memory=memory, record=False)
    assert [day for span in found.spans for day in span] == list(range(30, 130))
    assert {30, 31, 77} <= {span.stop - 1 for span in found.spans}
    assert max(map(len, found.spans)) * 10 <= max(memory, 10)
    assert not found.recompute


@pytest.mark.slow
def test_memory_stays_within_the_budget():
    """In a process of its own: 200 MB of record do not appear when 30 MB are allowed."""
    script = """
import re, sys, torch
from pathlib import Path
from thalweg.models.engine import simulate
from thalweg.models.processes import find_process
process, memory = find_process("hbv"), int(sys.argv[1])
def most():
    # kB; getrusage counts what the process that started this one had
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
def step(days):
    forcing = {item.name: torch.rand(days, 500) for item in process.forcings}
    parameters = {
        item.name: torch.full((500, 16), (item.lower + item.upper) / 2, requires_grad=True)
        for item in process.parameters
    }
    result = simulate(process, forcing, parameters, fluxes=("discharge",), weights="mean", memory=memory)
    result.fluxes["discharge"].sum().backward()
step(10)
before = most()
step(1300)
print(most() - before)
"""
    grown = [
        int(subprocess.run([sys.executable, "-c", script, str(size)], capture_output=True, check=True).stdout)
        for size in (10**9, 30 * 10**6)
    ]
    assert grown[0] > 200_000  # kB
    assert grown[1] < 30_000 + 50_000  # forcing, discharge and their gradients take 20 MB


# -- states at chosen days --------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["eager", "fused"])
@pytest.mark.parametrize("days", [(0, 7, DAYS - 11), range(DAYS - 10)], ids=["few", "all"])
def test_states_of_chosen_days_are_those_of_the_series(backend, days):
    process, forcing, parameters, state = leaves()
    result = simulate(
        process,
        forcing,
        parameters,
        initial=state,
        warmup=10,
        states=names(process.states),
        state_days=days,
        backend=backend,
    )
    for name, series in result.states.items():
        assert torch.equal(result.on_days[name], series[list(days)])
        assert torch.equal(result.on_days[name][-1], result.final[name])


@pytest.mark.parametrize("weights", [None, "mean"])
@pytest.mark.parametrize("days", [(4, 5, 60), range(1, DAYS)], ids=["few", "most"])
def test_gradients_through_states_of_chosen_days(days, weights):
    given, options = leaves(), {"states": ("soil_moisture",), "state_days": days, "weights": weights}
    fused, eager = (outcome(given, fluxes=(), backend=b, **options) for b in ("fused", "eager"))
    for one, other in zip(fused, eager, strict=True):
        assert_close(one, other)


def test_states_of_every_day_take_no_call_for_each(monkeypatch):
    process, forcing, parameters, state = leaves()
    calls, run = [], native.run
    monkeypatch.setattr(native, "run", lambda *arguments: calls.append(1) or run(*arguments))
    result = simulate(process, forcing, parameters, initial=state, state_days=range(DAYS), backend="fused")
    result.on_days["soil_moisture"].sum().backward()
    assert len(calls) < 6


def test_a_simulation_goes_on_from_the_states_of_a_day():
    process, forcing, parameters, state = leaves(varying=())
    whole = simulate(process, forcing, parameters, initial=state, state_days=(29,), backend="fused")
    rest = simulate(
        process,
        {name: series[30:] for name, series in forcing.items()},
        parameters,
        initial={name: values[0] for name, values in whole.on_days.items()},
        backend="fused",
    )
    assert torch.equal(rest.fluxes["discharge"], whole.fluxes["discharge"][30:])


@pytest.mark.parametrize("days", [(-1,), (DAYS,), (5, 5), (6, 2)])
def test_days_that_cannot_be_chosen(days):
    process, forcing, parameters, _ = leaves()
    with pytest.raises(ValueError, match=rf"give days from 0 to {DAYS - 1}, each once, in ascending order"):
        simulate(process, forcing, parameters, state_days=days)


# -- components -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["eager", "fused"])
def test_mean_of_components(backend):
    given = leaves()
    mean, apart = (
        simulate(*given[:3], states=("upper_zone",), weights=weights, backend=backend)
        for weights in ("mean", None)
    )
    for found, expected in ((mean.fluxes, apart.fluxes), (mean.states, apart.states)):
        for name, series in expected.items():
            torch.testing.assert_close(found[name], series.mean(-1))
    assert mean.final["snowpack"].shape == (SITES, COMPONENTS)


@pytest.mark.parametrize("memory", [None, SITES * COMPONENTS * 8 * 6 * 40], ids=["whole", "segments"])
def test_learned_weights(memory):
    given = leaves()
    raw = torch.randn(SITES, COMPONENTS, dtype=torch.float64).requires_grad_()
    options = {"states": ("soil_moisture",), "state_days": (10,), "warmup": 7}

    def run(backend, **more):
        return outcome(
            given, weights=torch.softmax(raw, -1), extra=(raw,), backend=backend, **options, **more
        )

    fused, eager = run("fused", memory=memory), run("eager")
    for one, other in zip(fused, eager, strict=True):
        assert_close(one, other)
    assert eager[1][-1].abs().max() > 0
    apart = simulate(*given[:3], initial=given[3], backend="eager", **options)
    weight = torch.softmax(raw, -1)
    by_hand = [(series * weight).sum(-1) for _, series in sorted(apart.fluxes.items())]
    assert_close(fused[0][: len(by_hand)], by_hand)


def test_weights_of_the_components_alone_serve_all_sites():
    given = leaves()
    weights = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    one, other = (
        simulate(*given[:3], weights=w, backend="fused") for w in (weights, weights.expand(SITES, -1))
    )
    assert torch.equal(one.fluxes["discharge"], other.fluxes["discharge"])


def test_weights_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"weights of shape \(4,\) do not fit \(site, component\) = \(5, 3\)"
    ):
        simulate(*leaves()[:3], weights=torch.ones(4, dtype=torch.float64))
