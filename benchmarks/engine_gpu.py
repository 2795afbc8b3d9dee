"""How near the fused backend comes to the bandwidth of a GPU's memory; run by ``engine.py --device cuda``.

    python benchmarks/engine.py --device cuda

The bytes that a simulation must move are counted from shapes: what each kernel reads and writes, once.
The time is the wall's, of a whole call, all that Python does in it included.
"""

from __future__ import annotations

from importlib.metadata import version

import torch
from engine import PROCESS, VARYING, Step, in_turn, random_parameters, weather

from thalweg.models.engine import simulate

SITES, COMPONENTS, DAYS = 65_536, 16, 365
NUMBER = 4  # bytes, in single precision
WANTED = 30e9  # bytes: inputs, the record of states, gradients and the discharge, with room


def copy_bandwidth(repeats: int) -> float:
    """Give the bytes a second, read and written, of a copy of 4 GiB."""
    source = torch.empty(1 << 30, dtype=torch.float32, device="cuda").normal_()
    target = torch.empty_like(source)
    seconds = in_turn({"": lambda: target.copy_(source)}, repeats)[""]
    return 2.0 * source.numel() * NUMBER / seconds


def least_bytes() -> dict[str, int]:
    """Give the bytes that the way forward alone, and both ways, must move at least."""
    lanes, states = SITES * COMPONENTS, len(PROCESS.states)
    varying, static = len(VARYING), len(PROCESS.parameters) - len(VARYING)
    inputs = DAYS * (varying * lanes + len(PROCESS.forcings) * SITES) + static * lanes
    forward = inputs + DAYS * lanes + 2 * states * lanes  # inputs, discharge, states at both ends
    record = states * DAYS * lanes
    gradients = varying * DAYS * lanes + static * lanes
    backward = (
        inputs + record + DAYS * SITES + gradients
    )  # the discharge's gradient is the same for components
    return {"forward": NUMBER * forward, "forward + backward": NUMBER * (forward + record + backward)}


def simulations() -> dict[str, Step]:
    """Give the way forward alone, without gradients, and both ways, without warm-up."""
    forcing = weather(DAYS, SITES, "cuda")
    leaves = random_parameters(DAYS, SITES, COMPONENTS, "cuda")
    given = torch.ones(DAYS, SITES, 1, device="cuda").expand(-1, -1, COMPONENTS)

    def forward() -> torch.Tensor:
        found = simulate(PROCESS, forcing, leaves, fluxes=("discharge",), backend="fused", memory=1 << 40)
        return found.fluxes["discharge"]

    def forward_alone() -> None:
        with torch.no_grad():
            forward()

    def both() -> None:
        torch.autograd.grad(forward(), list(leaves.values()), given)

    return {"forward": forward_alone, "forward + backward": both}


def main(repeats: int) -> None:
    """Measure and print."""
    device = torch.cuda.get_device_properties(0)
    print(f"{device.name}, {device.total_memory / 1e9:.0f} GB, triton {version('triton')}")
    if device.total_memory < WANTED:
        print(f"  {SITES} sites want {WANTED / 1e9:.0f} GB: bandwidth not measured")
        return
    bandwidth = copy_bandwidth(repeats)
    torch.cuda.empty_cache()
    print(f"A copy moves {bandwidth / 1e12:.2f} TB/s; {SITES} sites x {COMPONENTS} components x {DAYS} days:")
    for name, seconds in in_turn(simulations(), repeats).items():
        moved = least_bytes()[name]
        speed = moved / seconds
        print(
            f"  {name:34s} {1e3 * seconds:12.2f} ms   {moved / 1e9:6.1f} GB   {speed / 1e12:5.2f} TB/s"
            f"   {speed / bandwidth:4.0%} of a copy"
        )
