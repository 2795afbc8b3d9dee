"""How much memory a run may fill with data."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from thalweg.flows.search_spec import Resources

GRADIENT_BYTES = 4 * 10**9
FREE_SHARE = 0.5  # of what is free; the rest is for the model, its gradients and results


def data_budget(resources: Resources) -> int:
    """Give the bytes that the data of one run may take: as given, or a share of what is free."""
    if resources.memory is not None:
        return int(resources.memory * 1e9)
    at_once = max(1, int((os.cpu_count() or 1) / resources.cpus_per_worker))
    if resources.workers:
        at_once = resources.workers * resources.workers_per_model
    return int(FREE_SHARE * free_memory() / at_once)


def device_budget(device: torch.device, resources: Resources) -> float:
    """Give the bytes that data may take on a device: without bound where it is the processor's memory."""
    if device.type != "cuda":
        return float("inf")
    return FREE_SHARE * torch.cuda.mem_get_info(device)[0] * min(1.0, resources.gpus_per_worker)


def gradient_budget(device: torch.device, resources: Resources) -> int:
    """Give the bytes that a simulation may keep for its way back."""
    if resources.gradient_memory is not None:
        return int(resources.gradient_memory * 1e9)
    if device.type != "cuda":
        return GRADIENT_BYTES
    return int(device_budget(device, resources) / 2)


def free_memory() -> int:
    """Give the bytes that can still be used, by the machine and by the container we are in."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            group = [int((Path("/sys/fs/cgroup") / name).read_text()) for name in (limit, used)]
        except (OSError, ValueError):  # no container, or one without a limit
            continue
        free = min(free, max(group[0] - group[1], 0))
    return free
