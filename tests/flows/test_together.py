"""One model trained by several workers that Ray Train starts: the same results, and what befalls them."""

import json
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
import torch

from thalweg.flows.check import check
from thalweg.flows.ledger import cost_of
from thalweg.flows.matrix import run_jobs
from thalweg.flows.plan import cells_of, make_jobs
from thalweg.flows.searching import search_experiment
from thalweg.storage.results import Run

HERE = Path(__file__).parent
sys.path.append(str(HERE))
from cluster_host import Host  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def two(content, write, folder):
    """An experiment whose models have two workers each, or so many as ``workers`` says."""
    shutil.copy(HERE / "together_cells.py", folder)
    del content["splits"][1], content["models"]["physics"]

    def write_two(workers=2, **training):
        content["resources"] = {"workers_per_model": workers}
        content["training"] = {**content["training"], "epochs": 4, "checkpoint_seconds": 0.0, **training}
        return write(content)

    return write_two


def plan(path, root, model="hybrid"):
    checked = check(path)
    checked.raise_problems()
    snapshot = str(checked.dataset.attrs["snapshot"])
    jobs = make_jobs(cells_of(checked.experiment, checked.folds, snapshot), Path(root), snapshot)
    return [job for job in jobs if job.cell.model == model], checked.experiment.resources


def run(path, root, runner):
    jobs, resources = plan(path, root)
    run_jobs(jobs, resources, runner=f"together_cells:{runner}")
    return jobs[0]


def weights(folder):
    return torch.load(folder / "weights.pt", weights_only=True)


def same(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for key in found:
        torch.testing.assert_close(found[key], expected[key], rtol=tolerance, atol=tolerance)


def test_two_workers_find_what_one_does_and_a_lost_one_costs_nothing_that_was_kept(two, ray_cluster):
    one = run(two(1), "one", "noted")
    whole = run(two(2), "two", "noted")
    assert (one.state, whole.state) == ("done", "done")
    same(weights(whole.folder), weights(one.folder), 1e-4)
    skill = [Run(job.folder).metrics()["nse"].to_numpy() for job in (one, whole)]
    assert abs(skill[0] - skill[1]).max() < 1e-3
    cost = cost_of(whole.folder)
    assert cost.samples == cost_of(one.folder).samples > 0
    assert cost.bytes_read > cost_of(one.folder).bytes_read  # two processes have read
    killed = run(two(2), "killed", "killed")
    assert (killed.state, killed.attempts) == ("done", 2)
    assert Path("killed.once").exists()
    same(weights(killed.folder), weights(whole.folder), 0.0)  # as many workers as before: to the bit
    history = pd.read_csv(killed.folder / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["loss"].tolist() == pd.read_csv(whole.folder / "history.csv")["loss"].tolist()
    begun = Path("killed") / "small" / (killed.folder.name + ".workers")
    assert [line[:3] for line in sorted(begun.read_text().splitlines())] == ["0 2", "0 2", "1 2", "1 2"]


def test_what_one_worker_alone_finds_wrong_is_the_reason_told(two, ray_cluster):
    job = run(two(2), "runs", "bad_input")
    assert (job.state, job.attempts) == ("failed", 1)  # the same input would fail again
    assert job.message == "forcing 'temperature' is missing at site 7"
    assert Run(job.folder).state == "failed"


def test_trials_of_a_search_have_several_workers_each(two, content, write, ray_cluster):
    space = {"training.learning_rate": {"log_uniform": [1e-3, 1e-1]}}
    objectives = ["validation", "gap", "cost"]
    content["search"] = {
        "algorithm": "random", "trials": 2, "model": "hybrid", "space": space, "objectives": objectives,
    }  # fmt: skip
    found, costs = {}, {}
    for workers in (1, 2):
        trials, folder = search_experiment(two(workers), Path(f"runs{workers}"))
        found[workers] = [trials.found[number] for number in (1, 2)]
        costs[workers] = cost_of(folder / "search" / "trials" / "0001")
    assert costs[2].bytes_read > costs[1].bytes_read  # two processes have read
    assert costs[2].samples == costs[1].samples > 0
    for one, several in zip(found[1], found[2], strict=True):
        assert (several.state, several.epoch) == ("done", 4)
        assert several.score == pytest.approx(one.score, abs=1e-3)
        assert several.measures["gap"] == pytest.approx(one.measures["gap"], abs=1e-3)
        assert several.measures["parameters"] == one.measures["parameters"]


def test_floors_need_no_workers(two, ray_cluster):
    jobs, resources = plan(two(2), "runs", "climatology")
    run_jobs(jobs, resources, runner="together_cells:noted")
    assert jobs[0].state == "done"
    assert jobs[0].folder.with_name(jobs[0].folder.name + ".workers").read_text()[:3] == "0 1"


DRIVER = """
import sys
from pathlib import Path
sys.path.append({tests!r})
from thalweg.flows import cluster, worker
import test_together
worker.enter(str(Path.cwd()))
with cluster.cluster():
    job = test_together.run(Path("experiment.yaml"), "runs", "noted")
print(job.state, job.attempts, job.message, flush=True)
"""


def test_a_lost_node_leaves_the_others_to_go_on_from_the_checkpoint(two, tmp_path_factory, ray_cluster):
    one = run(two(1, epochs=40), "one", "noted")
    two(2, epochs=40)
    # the nodes and five processes of Ray Train start at once: a busy machine must not look like a lost one
    patient = {"health_check_period_ms": 1000, "health_check_failure_threshold": 15}
    log = tmp_path_factory.mktemp("cluster") / "log"
    # with Ray's dashboard: it is what frees the places where the node of Ray Train's own controller was lost
    with Host(log, include_dashboard=True, dashboard_port=0, settings=patient) as host:
        nodes = [host.add(cpus=1), host.add(cpus=1)]
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER.format(tests=str(HERE))],
            env=host.environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        folder = Path("runs/small") / one.folder.name
        deadline = time.monotonic() + 240
        while not (folder / "checkpoint.pt").exists() or (Run(folder).status.get("epoch") or 0) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        host.remove(nodes[1])
        said = driver.communicate(timeout=400)[0]
    assert said.split()[:2] == ["done", "2"], said
    sizes = [line.split()[1] for line in folder.with_name(folder.name + ".workers").read_text().splitlines()]
    assert sizes == ["2", "2", "1"]
    history = pd.read_csv(folder / "history.csv")
    assert history["epoch"].tolist() == list(range(1, 41))
    same(weights(folder), weights(one.folder), 1e-3)


def test_a_driver_that_is_killed_leaves_no_places_taken(two, tmp_path_factory):
    """The same command on the same cluster begins at once: Ray keeps no places for the dead."""
    two(2, epochs=60)
    with Host(tmp_path_factory.mktemp("cluster") / "log", include_dashboard=False) as host:
        host.add(cpus=2)

        def drive():
            return subprocess.Popen(
                [sys.executable, "-c", DRIVER.format(tests=str(HERE))],
                env=host.environment, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip

        first = drive()
        (folder,) = [job.folder for job in plan(Path("experiment.yaml"), "runs")[0]]
        deadline = time.monotonic() + 240
        while (Run(folder).status.get("epoch") or 0) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        first.kill()
        first.communicate()
        killed = time.time()
        second = drive()
        said = second.communicate(timeout=400)[0]
    assert said.split()[0] == "done", said
    attempts = json.loads((folder / "ledger.json").read_text())["attempts"]
    assert len(attempts) == 2
    begun = datetime.fromisoformat(attempts[1]["started"]).timestamp()
    assert begun - killed < 120  # Ray Train's own start takes half a minute on two busy processors
