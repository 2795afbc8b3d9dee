"""The fused backend against the eager one and, where it is installed, against a published package.

    python benchmarks/engine.py [--sites 100] [--components 16] [--days 730] [--repeats 5] [--threads N]

One run takes a training step's worth of HBV: raw numbers become parameters (three of them vary in time),
half of the days warm up, the components' mean is the loss's discharge, and gradients go back to every raw
number. All sides take turns; figures are medians. ``hydrodl2`` (``pip install hydrodl2==1.4.0``; licensed
for non-commercial use, and not a dependency of ours) is compared when it can be imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence

import torch
from machine import describe_machine
from torch import Tensor

from thalweg.models.engine import simulate
from thalweg.models.process import Parameter, names
from thalweg.models.processes.hbv import Hbv

PROCESS = Hbv()
VARYING = ("recharge_exponent", "quick_recession", "evapotranspiration_exponent")
Step = Callable[[], object]


def weather(days: int, sites: int) -> dict[str, Tensor]:
    """Give random forcing with seasons, ``(time, site)``, by name in the process's units."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.rand(3, days, sites, generator=generator)
    season = torch.sin(torch.arange(days) * (2 * torch.pi / 365)).unsqueeze(1)
    return {
        "precipitation": draw[0] ** 6 * 60,
        "temperature": 12 * season + 10 * draw[1],
        "potential_evapotranspiration": 6 * draw[2],
    }


def parameters_of(raw: Tensor, items: Sequence[Parameter]) -> dict[str, Tensor]:
    """Map any real numbers ``(..., parameter, component)`` into the ranges, by name."""
    shares = torch.sigmoid(raw).unbind(-2)
    return {
        item.name: item.lower + (item.upper - item.lower) * share
        for item, share in zip(items, shares, strict=True)
    }


def ours(backend: str, days: int, sites: int, components: int) -> Step:
    """Give one training step's worth of work."""
    forcing = weather(days, sites)
    items = {
        varies: [p for p in PROCESS.parameters if (p.name in VARYING) == varies] for varies in (False, True)
    }
    static = torch.randn(sites, len(items[False]), components).requires_grad_()
    varying = torch.randn(days, sites, len(items[True]), components).requires_grad_()

    def step() -> None:
        static.grad = varying.grad = None
        parameters = {**parameters_of(static, items[False]), **parameters_of(varying, items[True])}
        result = simulate(
            PROCESS, forcing, parameters, warmup=days // 2, fluxes=("discharge",), backend=backend
        )
        result.fluxes["discharge"].mean(-1).square().mean().backward()

    return step


def engine_alone(days: int, sites: int, components: int) -> Step:
    """Give the same without making parameters of raw numbers: what the engine itself does."""
    forcing = weather(days, sites)
    leaves = {}
    for item in PROCESS.parameters:
        shape = (days, sites, components) if item.name in VARYING else (sites, components)
        leaves[item.name] = (item.lower + (item.upper - item.lower) * torch.rand(shape)).requires_grad_()

    def step() -> None:
        result = simulate(PROCESS, forcing, leaves, warmup=days // 2, fluxes=("discharge",), backend="fused")
        torch.autograd.grad(result.fluxes["discharge"].mean(-1).square().mean(), list(leaves.values()))

    return step


def peer(days: int, sites: int, components: int) -> tuple[Step, Callable[[Tensor], Tensor]]:
    """Give the same step with hydrodl2, and its discharge for raw numbers ``(time, site, any)``."""
    import hydrodl2

    config = {
        "warmup": days // 2,
        "nmul": components,
        "dynamic_params": {"Hbv_1_1p": ["parBETA", "parK0", "parBETAET"]},
    }
    model = hydrodl2.load_model("Hbv_1_1p")(config)
    series = weather(days, sites)
    forcing = torch.stack([series[name] for name in names(PROCESS.forcings)], -1)
    raw = torch.randn(days, sites, len(PROCESS.parameters) * components + 2).requires_grad_()

    def discharge(raw: Tensor) -> Tensor:
        found: dict[str, Tensor] = model({"x_phy": forcing}, raw)
        return found["streamflow_no_rout"][..., 0]

    def step() -> None:
        raw.grad = None
        discharge(raw).square().mean().backward()

    return step, discharge


def compare(discharge: Callable[[Tensor], Tensor], days: int, sites: int, components: int) -> None:
    """Print how far the two packages' discharge is apart with the same parameters, fixed in time."""
    raw = torch.randn(sites, len(PROCESS.parameters), components)
    routing = torch.zeros(sites, 2)
    with torch.no_grad():
        theirs = discharge(torch.cat([raw.flatten(1), routing], -1).expand(days, -1, -1).contiguous())
        result = simulate(
            PROCESS,
            weather(days, sites),
            parameters_of(raw, PROCESS.parameters),
            warmup=days // 2,
            fluxes=("discharge",),
        )
    found = result.fluxes["discharge"].mean(-1)
    apart = float((theirs - found).abs().max() / found.abs().max())
    print(f"  with fixed parameters, discharge differs from hydrodl2's by {apart:.1e} of the largest at most")


def in_turn(steps: dict[str, Step], repeats: int) -> dict[str, float]:
    """Give the median time of each in seconds, run one after another, again and again."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(repeats):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(found) for name, found in times.items()}


def show(rows: Iterable[tuple[str, float]], against: float | None = None) -> None:
    for name, seconds in rows:
        ratio = f"   {seconds / against:8.1f} x" if against else ""
        print(f"  {name:34s} {1e3 * seconds:12.2f} ms{ratio}", flush=True)


def first_calls() -> None:
    """Print the time of the first call in a new process, without and with kernels on disk."""
    script = (
        "import time, engine; begin = time.perf_counter(); engine.ours('fused', 20, 10, 16)();"
        "print(time.perf_counter() - begin)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "THALWEG_CACHE": folder}
        for name in ("first call, compiling", "first call, from the cache"):
            command = [sys.executable, "-c", script]
            done = subprocess.run(
                command, env=environment, cwd=os.path.dirname(__file__), stdout=subprocess.PIPE, check=True
            )
            show([(name, float(done.stdout))])


def main() -> None:
    """Run all comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("sites", 100), ("components", 16), ("days", 730), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="no eager backend and no other package")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size = options.days, options.sites, options.components
    print(f"{describe_machine()}, {options.threads} threads")
    print(
        f"HBV, {size[1]} sites x {size[2]} components x {size[0]} days, half of them warm-up,"
        " forward + backward"
    )

    steps = {"fused": ours("fused", *size)}
    if not options.quick:
        steps["eager"] = ours("eager", *size)
        if importlib.util.find_spec("hydrodl2"):
            steps["hydrodl2 Hbv_1_1p"], discharge = peer(*size)
            compare(discharge, *size)
        else:
            print("  hydrodl2 is not installed: not compared")
    medians = in_turn(steps, options.repeats)
    show(medians.items(), against=medians["fused"])
    show([("fused, engine alone", in_turn({"": engine_alone(*size)}, 5 * options.repeats)[""])])
    first_calls()
    scaling(options.repeats)


def scaling(repeats: int) -> None:
    """Print how the time grows with days and with sites."""
    print("Engine alone, 16 components, against the row before")
    for rows in (
        [(days, 100) for days in (365, 730, 1460, 2920)],
        [(365, sites) for sites in (100, 200, 1000, 2000, 10000)],
    ):
        before = None
        for days, sites in rows:
            seconds = in_turn({"": engine_alone(days, sites, 16)}, repeats)[""]
            show([(f"{days} days, {sites} sites", seconds)], against=before)
            before = seconds


if __name__ == "__main__":
    main()
