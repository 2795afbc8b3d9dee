"""Cells on a cluster: side by side, after the loss of a node, and on many workers.

    python benchmarks/distributed.py [--only search parallel workers loss scaling]

``search`` compares a search with bare Ray Tune (see distributed_search.py). ``parallel`` trains the same
four models one after the other and two at a time, with one thread each. ``workers`` trains one model with one
worker and with two, in turn, with one thread each. ``loss`` takes a node away at half
time and counts the epochs that are done twice. ``scaling`` sleeps in place of computing, on up to 64 logical
workers: what is measured is what it costs to hand out the work and to take it up.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from machine import describe_machine

HERE = Path(__file__).parent
SECTIONS = ("search", "parallel", "workers", "loss", "scaling")
ROUNDS = 3
EPOCHS, EPOCH_SECONDS = 20, 0.5  # of a cell whose node is lost
WORKERS, SLEEP_SECONDS, TURNS = (1, 4, 16, 64), 5.0, 2
STORE_BYTES = 80 * 2**20
SITES = {"kind": "thalweg.flows.twin:twin", "sites": 64, "regions": 4, "years": 8, "seed": 1}


def stepping(cell: Any, folder: Path) -> None:
    """Train by sleeping, with a checkpoint each epoch; every epoch is written down. Runs in a worker."""
    from thalweg.storage.atomic import write_text

    place = folder / "checkpoint.txt"
    done = int(place.read_text()) if place.exists() else 0
    for epoch in range(done + 1, cell.epochs + 1):
        time.sleep(EPOCH_SECONDS)
        with folder.with_name(folder.name + ".epochs").open("a") as stream:
            stream.write(f"{epoch}\n")
        write_text(place, str(epoch))


def sleeping(cell: Any, folder: Path) -> None:
    """Do nothing for a while. Runs in a worker."""
    del folder
    time.sleep(cell.seconds)


def together(cell: Any, folder: Path) -> None:
    """Wait until as many workers as there are to be are there. Runs in a worker."""
    (folder / "there").touch()
    while len(list(folder.parent.glob("*/there"))) < cell.workers:
        time.sleep(0.2)


def jobs(names: Sequence[str], folder: Path, resources: Any, **content: Any) -> list[Any]:
    """Give jobs of cells that need neither torch nor a store."""
    from thalweg.flows.plan import Job

    experiment = SimpleNamespace(resources=resources)
    return [
        Job(SimpleNamespace(model=name, experiment=experiment, **content), folder / name) for name in names
    ]


def parallel(scratch: Path) -> None:
    """Train four models with one worker and with two."""
    from thalweg.flows.cluster import cluster
    from thalweg.flows.experiment import override
    from thalweg.flows.experiment_view import total_cost
    from thalweg.flows.matrix import run_jobs
    from thalweg.flows.plan import cells_of, make_jobs

    checked = small_experiment(scratch, seeds=[1, 2, 3, 4])
    times: dict[int, list[float]] = {1: [], 2: []}
    computed: dict[int, list[float]] = {1: [], 2: []}
    with cluster():
        for number in range(ROUNDS + 1):
            for workers in times:
                experiment = override(checked.experiment, {"resources.workers": workers})
                folder = scratch / f"runs-{workers}-{number}"
                made = make_jobs(cells_of(experiment, checked.folds), folder, "")
                begun = time.perf_counter()
                run_jobs(made, experiment.resources)
                assert all(job.state == "done" for job in made), [job.message for job in made]
                if number:  # the first round starts the workers
                    times[workers].append(time.perf_counter() - begun)
                    computed[workers].append(total_cost(job.folder for job in made).cpu_seconds)
    one, two = (statistics.median(seconds) for seconds in times.values())
    show("four trainings, one at a time", one, "s")
    show("four trainings, two at a time", two, "s", f"{one / two:.2f} times the throughput (wanted: 1.7)")
    one, two = (statistics.median(seconds) for seconds in computed.values())
    show("their CPU time, one at a time", one, "s")
    show("their CPU time, two at a time", two, "s", f"{two / one:.2f} times as much")


def small_experiment(scratch: Path, **training: Any) -> Any:
    """Make a store, and an experiment of a network on it; gives its check."""
    from thalweg.flows.check import check
    from thalweg.storage.store import ingest

    ingest(scratch / "twin.zarr", SITES)
    (scratch / "experiment.yaml").write_text(
        json.dumps(
            {
                "name": "small",
                "data": {"store": str(scratch / "twin.zarr")},
                "splits": [
                    {"kind": "temporal", "train": ["2000-01-01", "2005-12-31"],
                     "test": ["2006-01-01", "2006-12-31"]}
                ],
                "models": {"lstm": {"kind": "lstm", "hidden": 64}},
                "training": {"epochs": 4, "warmup": 90, **training},
            }
        )
    )  # fmt: skip
    checked = check(scratch / "experiment.yaml")
    checked.raise_problems()
    return checked


def workers(scratch: Path) -> None:
    """Train one model with one worker and with two."""
    from thalweg.flows.cluster import cluster
    from thalweg.flows.experiment import override
    from thalweg.flows.matrix import run_jobs
    from thalweg.flows.plan import cells_of, make_jobs
    from thalweg.storage.results import Run

    checked = small_experiment(scratch, epochs=6)
    trained: dict[int, list[float]] = {1: [], 2: []}
    around: dict[int, list[float]] = {1: [], 2: []}
    losses: dict[int, float] = {}
    with cluster():
        for number in range(ROUNDS):
            for count in trained:
                changes = {"resources.workers_per_model": count, "models.lstm.dropout": 0.0}
                experiment = override(checked.experiment, changes)
                made = make_jobs(cells_of(experiment, checked.folds), scratch / f"runs-{count}-{number}", "")
                begun = time.perf_counter()
                run_jobs(made, experiment.resources)
                assert made[0].state == "done", made[0].message
                history = Run(made[0].folder).history()
                # the first epoch compiles and meets the other worker
                trained[count].append(history["seconds"].iloc[1:].mean())
                around[count].append(time.perf_counter() - begun - history["seconds"].sum())
                losses[count] = history["loss"].iloc[-1]
    one, two = (statistics.median(seconds) for seconds in trained.values())
    show("an epoch of one model, one worker", one, "s")
    show("an epoch of one model, two workers", two, "s", f"{one / two:.2f} times as fast")
    one, two = (statistics.median(seconds) for seconds in around.values())
    show("all that is not training, one worker", one, "s")
    show("all that is not training, two workers", two, "s")
    show("difference of the last loss", abs(losses[1] / losses[2] - 1), "of it")


def loss(scratch: Path) -> None:
    """Take a node away at half time; count what is done twice."""
    from thalweg.flows.matrix import run_jobs
    from thalweg.flows.search_spec import Resources

    resources, names = Resources(), "abcd"
    with several_nodes() as nodes:
        nodes.add(2)
        lost = nodes.add(2)
        made = jobs(names, scratch / "loss", resources, epochs=EPOCHS)

        def half_time(_: Any) -> None:
            if lost in nodes.all and all(len(epochs(job.folder)) >= EPOCHS // 2 for job in made):
                nodes.remove(lost)

        run_jobs(made, resources, runner="distributed:stepping", on_change=half_time)
    assert all(job.state == "done" for job in made)
    assert lost not in nodes.all
    again = [sum(n - 1 for n in Counter(epochs(job.folder)).values()) for job in made]
    moved = sum(job.attempts > 1 for job in made)
    show(f"epochs of {EPOCHS} done twice, the worst of {len(made)} cells", max(again), "epochs",
         f"{moved} cells lost their node (wanted: at most 1)")  # fmt: skip


def epochs(folder: Path) -> list[str]:
    """Give the epochs that were done, in their order."""
    path = folder.with_name(folder.name + ".epochs")
    return path.read_text().split() if path.exists() else []


def scaling(scratch: Path) -> None:
    """Sleep on more and more workers."""
    from thalweg.flows.matrix import run_jobs
    from thalweg.flows.search_spec import Resources

    with several_nodes() as nodes:
        nodes.add(max(WORKERS))
        many = Resources(workers=max(WORKERS))
        warm = jobs([str(n) for n in range(max(WORKERS))], scratch / "warm", many, workers=max(WORKERS))
        run_jobs(warm, many, runner="distributed:together")
        for workers in WORKERS:
            resources = Resources(workers=workers)
            names = [f"{workers}-{n}" for n in range(TURNS * workers)]
            made = jobs(names, scratch / "scaling", resources, seconds=SLEEP_SECONDS)
            begun = time.perf_counter()
            run_jobs(made, resources, runner="distributed:sleeping")
            seconds = time.perf_counter() - begun
            assert all(job.state == "done" for job in made), [job.message for job in made]
            efficiency = TURNS * SLEEP_SECONDS / seconds
            show(f"{len(made)} cells of {SLEEP_SECONDS:g} s on {workers} workers", seconds, "s",
                 f"{efficiency:.1%} efficiency")  # fmt: skip


class several_nodes:  # noqa: N801 - a context
    """A Ray cluster of several nodes on this machine, joined."""

    def __enter__(self) -> several_nodes:
        from thalweg.flows.cluster import ENVIRONMENT, cluster

        os.environ.update(ENVIRONMENT)
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        from ray.cluster_utils import Cluster

        quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        self.cluster = Cluster(True, head_node_args={**head, "_system_config": quick})
        os.environ["RAY_ADDRESS"] = self.cluster.address
        self.joined = cluster()
        self.joined.__enter__()
        self.all: list[Any] = []
        return self

    def add(self, cpus: int) -> Any:
        """Start a node with logical CPUs."""
        self.all.append(self.cluster.add_node(num_cpus=cpus, object_store_memory=STORE_BYTES))
        return self.all[-1]

    def remove(self, node: Any) -> None:
        """Kill a node."""
        self.all.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def __exit__(self, *error: object) -> None:
        self.joined.__exit__(None, None, None)
        self.cluster.shutdown()


def show(name: str, value: float, unit: str, ratio: str = "") -> None:
    """Print one figure."""
    print(f"  {name:52s} {value:8.3g} {unit:7s} {ratio}", flush=True)


def search(scratch: Path) -> None:
    """Compare a search with bare Ray Tune."""
    del scratch
    subprocess.run([sys.executable, str(HERE / "distributed_search.py")], check=True)


def main() -> None:
    """Run the sections that are asked for, each in a process of its own: one has one Ray."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--here", choices=SECTIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here is None:
        print(describe_machine())
        for section in options.only:
            print(section, flush=True)
            subprocess.run([sys.executable, __file__, "--here", section], check=True)
        return
    os.chdir(HERE)  # workers import this file from their working directory
    with tempfile.TemporaryDirectory(prefix="thalweg-") as scratch:
        globals()[options.here](Path(scratch))


if __name__ == "__main__":
    main()
