"""Runs light cells as the matrix of an experiment is run: `light_driver.py PLAN.json`, with RAY_ADDRESS."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from thalweg.flows import cluster, worker
from thalweg.flows.matrix import only_runner, run_jobs
from thalweg.flows.plan import Job
from thalweg.flows.search_spec import Resources
from thalweg.storage import run_sharing


def main(plan):
    cluster.HEAD_SILENT_SECONDS = plan.get("head_silent", cluster.HEAD_SILENT_SECONDS)
    cluster.HEAD_LOOK_SECONDS = plan.get("head_look", cluster.HEAD_LOOK_SECONDS)
    resources = Resources(**plan.get("resources", {}))
    experiment = SimpleNamespace(resources=resources)
    jobs = []
    folder = run_sharing.opened(plan["root"]) / "light" if "root" in plan else Path("runs")
    for name in plan["cells"]:
        cell = SimpleNamespace(
            model=name, experiment=experiment, snapshot="", epochs=plan.get("epochs", 10),
            step=plan.get("step", 0.1),
            filler=plan.get("filler", 0) * "abcdefgh",
        )  # fmt: skip
        jobs.append(Job(cell, folder / name))
    worker.enter(str(Path.cwd()))
    with only_runner(folder), cluster.cluster():
        if plan.get("fill_store"):
            fill_store()
        print("ready", flush=True)
        run_jobs(jobs, resources, runner=f"light_cells:{plan.get('runner', 'stepping')}")
    found = {job.folder.name: [job.state, job.message, job.attempts] for job in jobs}
    print(json.dumps(found), flush=True)


held = []


def fill_store():
    import numpy as np
    import ray

    try:
        while True:
            held.append(ray.put(np.ones(2**19)))
    except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError):
        print("full", len(held), flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
