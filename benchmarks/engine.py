"""The fused backend against the eager one and, where it is installed, against a published package.

    python benchmarks/engine.py [--sites 100] [--components 16] [--days 730] [--repeats 5] [--threads N]
                                [--device cuda] [--quick]

One run is a training step's worth of HBV: three parameters vary in time, half of the days warm up, the
components' mean is the loss's discharge, and gradients go back to all parameters (against ``hydrodl2``: to
the raw numbers that become parameters). All sides take turns; figures are medians. ``hydrodl2`` (``pip
install hydrodl2==1.4.0``; licensed for non-commercial use, and not a dependency of ours) is compared when it
can be imported. ``--device cuda`` runs everything on a GPU, and ``engine_gpu.py`` besides.
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
from collections.abc import Callable, Iterable

import torch
from machine import describe_machine
from torch import Tensor

from thalweg.models.engine import simulate
from thalweg.models.process import names
from thalweg.models.processes.hbv import Hbv
from thalweg.models.raw import of_raw
from thalweg.models.routing import gamma_unit_hydrograph, route

PROCESS = Hbv()
VARYING = ("recharge_exponent", "quick_recession", "evapotranspiration_exponent")
Step = Callable[[], object]


def weather(days: int, sites: int, device: str = "cpu") -> dict[str, Tensor]:
    """Give random forcing with seasons, ``(time, site)``, by name in the process's units."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.rand(3, days, sites, generator=generator)
    season = torch.sin(torch.arange(days) * (2 * torch.pi / 365)).unsqueeze(1)
    series = {
        "precipitation": draw[0] ** 6 * 60,
        "temperature": 12 * season + 10 * draw[1],
        "potential_evapotranspiration": 6 * draw[2],
    }
    return {name: values.to(device) for name, values in series.items()}


def random_parameters(days: int, sites: int, components: int, device: str = "cpu") -> dict[str, Tensor]:
    """Give parameters in their ranges by name, three of them varying in time, all with gradients."""
    leaves = {}
    for item in PROCESS.parameters:
        shape = (days, sites, components) if item.name in VARYING else (sites, components)
        share = torch.rand(shape, device=device)
        leaves[item.name] = (item.lower + (item.upper - item.lower) * share).requires_grad_()
    return leaves


def simulation(backend: str, days: int, sites: int, components: int, device: str = "cpu") -> Step:
    """Give a simulation of given parameters, and its gradients to all of them."""
    forcing, leaves = weather(days, sites, device), random_parameters(days, sites, components, device)

    def step() -> None:
        result = simulate(PROCESS, forcing, leaves, warmup=days // 2, fluxes=("discharge",), backend=backend)
        torch.autograd.grad(result.fluxes["discharge"].mean(-1).square().mean(), list(leaves.values()))

    return step


def from_raw(days: int, sites: int, components: int, device: str = "cpu") -> Step:
    """Give the same from any real numbers, as networks give them and as hydrodl2 takes them."""
    forcing, process = weather(days, sites, device), of_raw(PROCESS)
    leaves = {}
    for item in PROCESS.parameters:
        shape = (days, sites, components) if item.name in VARYING else (sites, components)
        leaves[item.name] = torch.randn(shape, device=device).requires_grad_()

    def step() -> None:
        result = simulate(process, forcing, leaves, warmup=days // 2, fluxes=("discharge",), backend="fused")
        torch.autograd.grad(result.fluxes["discharge"].mean(-1).square().mean(), list(leaves.values()))

    return step


def peer(
    days: int, sites: int, components: int, device: str = "cpu"
) -> tuple[Step, Callable[[Tensor], Tensor]]:
    """Give the same step with hydrodl2, and its discharge for raw numbers ``(time, site, any)``."""
    import hydrodl2

    config = {
        "warmup": days // 2,
        "nmul": components,
        "dynamic_params": {"Hbv_1_1p": ["parBETA", "parK0", "parBETAET"]},
    }
    model = hydrodl2.load_model("Hbv_1_1p")(config, device=torch.device(device))
    series = weather(days, sites, device)
    forcing = torch.stack([series[name] for name in names(PROCESS.forcings)], -1)
    raw = torch.randn(days, sites, len(PROCESS.parameters) * components + 2, device=device).requires_grad_()

    def discharge(raw: Tensor) -> Tensor:
        found: dict[str, Tensor] = model({"x_phy": forcing}, raw)
        return found["streamflow_no_rout"][..., 0]

    def step() -> None:
        raw.grad = None
        discharge(raw).square().mean().backward()

    return step, discharge


def compare(
    discharge: Callable[[Tensor], Tensor], days: int, sites: int, components: int, device: str = "cpu"
) -> None:
    """Print how far the two packages' discharge is apart with the same parameters, fixed in time."""
    raw = torch.randn(sites, len(PROCESS.parameters), components, device=device)
    routing = torch.zeros(sites, 2, device=device)
    named = dict(zip(names(PROCESS.parameters), raw.unbind(1), strict=True))
    with torch.no_grad():
        theirs = discharge(torch.cat([raw.flatten(1), routing], -1).expand(days, -1, -1).contiguous())
        result = simulate(of_raw(PROCESS), weather(days, sites, device), named, warmup=days // 2)
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
            wait()
            begin = time.perf_counter()
            step()
            wait()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(found) for name, found in times.items()}


def wait() -> None:
    """Wait until a GPU, where one is at work, has done what it was given."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def show(rows: Iterable[tuple[str, float]], against: float | None = None) -> None:
    for name, seconds in rows:
        ratio = f"   {seconds / against:8.1f} x" if against else ""
        print(f"  {name:34s} {1e3 * seconds:12.2f} ms{ratio}", flush=True)


def first_calls(device: str) -> None:
    """Print the time of the first call in a new process, without and with kernels on disk."""
    script = (
        "import time, engine; begin = time.perf_counter();"
        f"engine.simulation('fused', 20, 10, 16, '{device}')(); engine.wait();"
        "print(time.perf_counter() - begin)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "THALWEG_CACHE": folder, "TRITON_CACHE_DIR": folder}
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
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="no eager backend and no other package")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("No GPU here, or torch is built without CUDA: nothing measured")
        return
    torch.set_num_threads(options.threads)
    size = options.days, options.sites, options.components, options.device
    print(f"{describe_machine()}, {options.threads} threads")
    print(
        f"HBV, {size[1]} sites x {size[2]} components x {size[0]} days, half of them warm-up,"
        " forward + backward"
    )

    steps = {"fused": simulation("fused", *size)}
    if not options.quick:
        steps["eager"] = simulation("eager", *size)
    turn(steps, options.repeats)
    if not options.quick and importlib.util.find_spec("hydrodl2"):
        theirs, discharge = peer(*size)
        compare(discharge, *size)
        turn({"fused, from raw numbers": from_raw(*size), "hydrodl2 Hbv_1_1p": theirs}, options.repeats)
    elif not options.quick:
        print("  hydrodl2 is not installed: not compared")
    first_calls(options.device)
    if options.device == "cpu":
        routing(options.days, options.sites, options.components, options.repeats)
    scaling(options.repeats, options.device)
    if options.device == "cuda":
        import engine_gpu

        engine_gpu.main(options.repeats)
    elif torch.cuda.is_available():
        print("There is a GPU here: python benchmarks/engine.py --device cuda")
    else:
        print("No GPU here: nothing measured on one")


def turn(steps: dict[str, Step], repeats: int) -> None:
    medians = in_turn(steps, repeats)
    show(medians.items(), against=next(iter(medians.values())))


def scaling(repeats: int, device: str) -> None:
    """Print how the time grows with days and with sites; all sizes take turns."""
    print("Fused, 16 components, against the row before")
    for rows in (
        [(days, 100) for days in (365, 730, 1460, 2920)],
        [(365, sites) for sites in (100, 200, 1000, 2000, 10000)],
    ):
        steps = {
            f"{days} days, {sites} sites": simulation("fused", days, sites, 16, device)
            for days, sites in rows
        }
        before = None
        for name, seconds in in_turn(steps, repeats).items():
            show([(name, seconds)], against=before)
            before = seconds


def routing(days: int, sites: int, components: int, repeats: int) -> None:
    """Print the time of routing the mean of the components beside that of simulating them."""
    print("Routing to the gauge, forward + backward, against the simulation before it")
    runoff = torch.rand(days, sites).requires_grad_()
    form = [
        (low + (high - low) * torch.rand(sites)).requires_grad_() for low, high in ((0.1, 3.0), (0.5, 7.0))
    ]

    def step() -> None:
        routed = route(runoff, gamma_unit_hydrograph(*form))
        torch.autograd.grad(routed.square().mean(), [runoff, *form])

    for number in sorted({1, components}):
        name = f"simulation, {number} components"
        turn({name: simulation("fused", days, sites, number, "cpu"), "routing": step}, repeats)


if __name__ == "__main__":
    main()
