"""Training on all of 20,000 sites x 16 components x 10 years at once, within a budget of memory.

    python benchmarks/engine_memory.py [--sites 20000] [--components 16] [--years 10] [--budget 4] [--steps 2]

A hybrid with static parameters takes full-batch steps: all sites and days in one simulation, both ways.
Keeping the states of every day would take 23 GB; the budget (GB) bounds it, and days are simulated twice
instead. Printed: time a step and the largest memory of the process, apart from the data themselves.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
from engine import weather
from machine import describe_machine

from thalweg.models.engine import set_memory_budget
from thalweg.models.hybrids import Hybrid
from thalweg.models.inputs import Inputs
from thalweg.models.processes import find_process
from thalweg.models.training import Trainer, TrainingData, TrainingOptions

ATTRIBUTES = 20


def peak() -> float:
    """Give the largest memory so far in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("sites", 20_000), ("components", 16), ("years", 10), ("steps", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--budget", type=float, default=4.0, help="GB")
    options = parser.parse_args()
    days, sites = 365 * options.years, options.sites
    print(describe_machine())
    set_memory_budget(int(options.budget * 1e9))
    forcing = weather(days, sites)
    inputs = Inputs(forcing, torch.empty(days, sites, 0), torch.randn(sites, ATTRIBUTES), torch.arange(sites))
    observed = forcing["precipitation"] * 0.4
    process = find_process("hbv")
    record = days * sites * options.components * len(process.states) * 4 / 1e9
    print(
        f"HBV, {sites} sites x {options.components} components x {days} days, 365 of them warm-up, "
        f"full batch; states of every day: {record:.1f} GB; budget {options.budget:g} GB"
    )
    with_data = peak()
    model = Hybrid(process, ATTRIBUTES, 3, components=options.components)
    training = TrainingOptions(
        epochs=options.steps, steps_per_epoch=1, window=days - 365, warmup=365, batch_sites=sites
    )
    begin = time.perf_counter()
    trainer = Trainer(model, TrainingData(inputs, observed, torch.ones(sites)), training)
    trainer.fit(
        lambda epoch: print(f"  step {epoch.epoch}: loss {epoch.loss:.4f}, {epoch.seconds:.0f} s", flush=True)
    )
    print(f"  {options.steps} steps in {time.perf_counter() - begin:.0f} s")
    print(f"  largest memory {peak():.1f} GB, of which {with_data:.1f} GB before training (the data)")


if __name__ == "__main__":
    main()
