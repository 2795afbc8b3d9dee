"""How much memory a run may fill with data."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from thalweg.flows.search_spec import Resources

GRADIENT_BYTES = 4 * 10**9
# Of all memory, not of what is free: streamed data are drawn otherwise than data in memory, and a run must
# not depend on what else the machine does. The rest is for the model, its gradients and results.
SHARE = 0.5


def data_budget(resources: Resources) -> int:
    """Give the bytes that the data of one run may take: as given, or a share of what there is."""
    if resources.memory is not None:
        return int(resources.memory * 1e9)
    at_once = max(1, int((os.cpu_count() or 1) / resources.cpus_per_worker))
    if resources.workers:
        at_once = resources.workers * resources.workers_per_model
    return int(SHARE * whole_memory() / at_once)


def device_budget(device: torch.device, resources: Resources) -> float:
    """Give the bytes that data may take on a device: without bound where it is the processor's memory."""
    if device.type != "cuda":
        return float("inf")
    return SHARE * torch.cuda.mem_get_info(device)[1] * min(1.0, resources.gpus_per_worker)


def gradient_budget(device: torch.device, resources: Resources) -> int:
    """Give the bytes that a simulation may keep for its way back."""
    if resources.gradient_memory is not None:
        return int(resources.gradient_memory * 1e9)
    if device.type != "cuda":
        return GRADIENT_BYTES
    return int(device_budget(device, resources) / 2)


def whole_memory() -> int:
    """Give the bytes of memory that the machine has, and the container we are in may use."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            whole = min(whole, int((Path("/sys/fs/cgroup") / limit).read_text()))
        except (OSError, ValueError):  # no container, or one without a limit
            continue
    return whole
