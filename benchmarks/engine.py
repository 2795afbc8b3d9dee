"""The fused backend against the eager one and, where it is installed, against a published package.

    python benchmarks/engine.py [--sites 100] [--components 16] [--days 730] [--repeats 5] [--threads N]
                                [--device cuda] [--quick]

One run is a training step's worth of HBV: three parameters vary in time, half of the days warm up, the
components' mean is the loss's discharge, and gradients go back to all parameters. All sides take turns;
figures are medians. ``hydrodl2`` (``pip install hydrodl2==1.4.0``; licensed for non-commercial use, and not a
dependency of ours) is compared when it can be imported. It gives the mean over components of all fluxes and
of the snow, and routes discharge and its three parts to the gauge; so does our side of that pair, and on both
the loss is of the routed discharge and gradients go to the raw numbers that become parameters.
``--device cuda`` runs everything on a GPU, and ``engine_gpu.py`` besides.
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
from thalweg.models.raw import of_raw, to_range
from thalweg.models.routing import ROUTING, gamma_unit_hydrograph, route

PROCESS = Hbv()
VARYING = ("recharge_exponent", "quick_recession", "evapotranspiration_exponent")
FLOWS = ("discharge", "quick_flow", "interflow", "baseflow")
# Our names and hydrodl2's.
SAME = (
    ("discharge", "streamflow_no_rout"),
    ("discharge_at_gauge", "streamflow"),
    ("evapotranspiration", "AET_hydro"),
    ("snowpack", "SWE"),
)
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


def raw_numbers(days: int, sites: int, components: int, device: str = "cpu") -> dict[str, Tensor]:
    """Give any real numbers by name of the parameter, as networks put them out, all with gradients."""
    leaves = {}
    for item in PROCESS.parameters:
        shape = (days, sites, components) if item.name in VARYING else (sites, components)
        leaves[item.name] = torch.randn(shape, device=device).requires_grad_()
    return leaves


def from_raw(days: int, sites: int, components: int, device: str = "cpu") -> Step:
    """Give the same from raw numbers."""
    forcing, process = weather(days, sites, device), of_raw(PROCESS)
    leaves = raw_numbers(days, sites, components, device)

    def step() -> None:
        result = simulate(process, forcing, leaves, warmup=days // 2, fluxes=("discharge",), backend="fused")
        torch.autograd.grad(result.fluxes["discharge"].mean(-1).square().mean(), list(leaves.values()))

    return step


def routed_means(
    forcing: dict[str, Tensor], raw: dict[str, Tensor], raw_routing: list[Tensor], warmup: int
) -> dict[str, Tensor]:
    """Give the mean over components of all fluxes and of the snow, and the flows routed to the gauge."""
    result = simulate(
        of_raw(PROCESS), forcing, raw, warmup=warmup, states=("snowpack",), weights="mean", backend="fused"
    )
    form = [to_range(each, item) for each, item in zip(raw_routing, ROUTING, strict=True)]
    hydrograph = gamma_unit_hydrograph(*form).repeat(1, len(FLOWS))
    together = route(torch.cat([result.fluxes[name] for name in FLOWS], 1), hydrograph, "fused")
    routed = zip(FLOWS, together.chunk(len(FLOWS), 1), strict=True)
    return {**result.fluxes, **result.states, **{f"{name}_at_gauge": flow for name, flow in routed}}


def like_the_peer(days: int, sites: int, components: int, device: str = "cpu") -> Step:
    """Give a simulation from raw numbers with all outputs and routing, as hydrodl2 does it."""
    forcing, leaves = weather(days, sites, device), raw_numbers(days, sites, components, device)
    routing = [torch.randn(sites, device=device).requires_grad_() for _ in ROUTING]

    def step() -> None:
        found = routed_means(forcing, leaves, routing, days // 2)
        torch.autograd.grad(found["discharge_at_gauge"].square().mean(), [*leaves.values(), *routing])

    return step


def peer(
    days: int, sites: int, components: int, device: str = "cpu"
) -> tuple[Step, Callable[[Tensor], dict[str, Tensor]]]:
    """Give the same step with hydrodl2, and its outputs for raw numbers ``(time, site, any)``."""
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

    def outputs(raw: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = model({"x_phy": forcing}, raw)
        return found

    def step() -> None:
        raw.grad = None
        outputs(raw)["streamflow"].square().mean().backward()

    return step, outputs


def compare(
    outputs: Callable[[Tensor], dict[str, Tensor]],
    days: int,
    sites: int,
    components: int,
    device: str = "cpu",
) -> None:
    """Print how far the two packages are apart with the same parameters, fixed in time."""
    raw = torch.randn(sites, len(PROCESS.parameters), components, device=device)
    routing = torch.randn(sites, 2, device=device)
    named = dict(zip(names(PROCESS.parameters), raw.unbind(1), strict=True))
    with torch.no_grad():
        theirs = outputs(torch.cat([raw.flatten(1), routing], -1).expand(days, -1, -1).contiguous())
        ours = routed_means(weather(days, sites, device), named, list(routing.unbind(1)), days // 2)
    for our_name, their_name in SAME:
        found, expected = ours[our_name], theirs[their_name][..., 0]
        apart = float((expected - found).abs().max() / found.abs().max())
        print(f"  with fixed parameters, {our_name} differs by {apart:.1e} of the largest at most")


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
        theirs, outputs = peer(*size)
        print("From raw numbers, all outputs, routed, against hydrodl2's Hbv_1_1p")
        compare(outputs, *size)
        turn({"fused": like_the_peer(*size), "hydrodl2": theirs}, options.repeats)
        turn({"fused, discharge alone, not routed": from_raw(*size)}, options.repeats)
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
