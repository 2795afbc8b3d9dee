"""Experiments as jobs on a real cluster: followed, cancelled, attached to, and taken up by a new cluster."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import free_port, until

from thalweg.storage.results import find_runs

HERE = Path(__file__).parent
sys.path.append(str(HERE))
from cluster_host import Host  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

DATA = """
from pathlib import Path
import thalweg.flows
from thalweg.flows.twin import twin

def read(**options):
    Path("where.txt").write_text(f"{__file__}\\n{thalweg.flows.__file__}\\n{Path.cwd()}")
    return twin(**options)
"""


@pytest.fixture
def environment(monkeypatch):
    """The venv's python is the cluster's."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


# Two nodes on one machine would unpack a job's code into one folder, one over the other.
ONE_NODE = {"num_cpus": 2, "include_dashboard": True, "dashboard_port": 0}


def test_a_job_from_submission_to_results(environment, folder, content, write, tmp_path_factory):
    (folder / "my_data.py").write_text(DATA)
    source = {"kind": "my_data:read", "sites": 6, "regions": 2, "years": 3, "seed": 3}
    content["data"] = {"store": "data/new.zarr", "source": source}
    content["splits"] = content["splits"][:1]
    content["models"] = {"lstm": {"kind": "lstm", "hidden": 4}, "climatology": {"kind": "climatology"}}
    write(content)
    with Host(tmp_path_factory.mktemp("jobs") / "log", **ONE_NODE) as host:

        def thalweg(*words, code=0):
            command = [sys.executable, "-m", "thalweg.flows.cli", *words, "--address", host.url]
            result = subprocess.run(command, env=own(host), capture_output=True, text=True)
            assert result.returncode == code, result.stdout + result.stderr
            return result

        said = thalweg("submit", "experiment.yaml", "--wait")
        name, log = said.stdout.split("\n", 1)
        assert name.startswith("small-")
        assert "2 of 2 cells run" in log
        assert [run.state for run in find_runs("runs")] == ["done", "done"]
        # the code ran as it was sent, in the directory that it was sent from
        module, package, directory = Path("where.txt").read_text().splitlines()
        assert "_ray_pkg_" in module
        assert "_ray_pkg_" in package
        assert directory == str(folder)
        assert "2 of 2 cells run" in thalweg("logs", name).stdout
        listed = json.loads(thalweg("jobs", "--json").stdout)
        assert [(job["id"], job["state"], job["runs"]) for job in listed] == [
            (name, "succeeded", str(folder / "runs"))
        ]
        long = ["submit", "experiment.yaml", "--set", "training.epochs=9999", "--set", "name=long"]
        name = thalweg(*long).stdout.strip()
        status = Path("runs/long/lstm--temporal--0--s1/status.json")
        until(lambda: status.exists() and json.loads(status.read_text()).get("epoch"), seconds=300)
        again = thalweg(*long)
        assert again.stdout.strip() == name
        assert "runs there already" in again.stderr
        thalweg("cancel", name[:8])
        until(lambda: json.loads(thalweg("jobs", "--json").stdout)[0]["state"] == "stopped", seconds=300)
        found = json.loads(status.read_text())
        assert (found["state"], found["epoch"] > 0) == ("stopped", True)
        third = thalweg(*long).stdout.strip()
        assert third == name.removesuffix("1") + "2"
        assert "no job 'nothing'" in thalweg("logs", "nothing", code=2).stderr
        broken = thalweg("submit", "experiment.yaml", "--set", "training.warmup=9999", "--wait", code=2)
        assert "warmup 9999 + window 90 days do not fit" in broken.stdout + broken.stderr


def own(host):
    """Give our environment, with the token but without the cluster's address."""
    environment = {**os.environ, "RAY_AUTH_TOKEN": host.environment["RAY_AUTH_TOKEN"]}
    for key in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        environment.pop(key, None)
    return environment


def test_who_waits_goes_on_on_a_cluster_that_was_started_anew(
    environment, folder, content, write, tmp_path_factory, monkeypatch
):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    content["splits"] = content["splits"][:1]
    content["models"] = {"lstm": {"kind": "lstm", "hidden": 4}}
    content["training"] |= {"epochs": 400}
    write(content)
    logs, port = tmp_path_factory.mktemp("anew"), free_port()
    options = {**ONE_NODE, "dashboard_port": port}
    with Host(logs / "first", **options) as host:
        command = [sys.executable, "-m", "thalweg.flows.cli", "submit", "experiment.yaml", "--wait"]
        waiting = subprocess.Popen(
            [*command, "--address", host.url],
            env=own(host), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        run = Path("runs/small/lstm--temporal--0--s1")
        status = run / "status.json"
        until(
            lambda: status.exists() and (json.loads(status.read_text()).get("epoch") or 0) > 20, seconds=300
        )
    time.sleep(1)
    reached = json.loads(status.read_text())["epoch"]
    with Host(logs / "second", **options):
        said = waiting.communicate(timeout=600)
    assert waiting.returncode == 0, said
    assert "the cluster has forgotten it: submitting again" in said[1]
    assert json.loads(status.read_text())["state"] == "done"
    attempts = json.loads((run / "ledger.json").read_text())["attempts"]
    assert len(attempts) == 2
    # no epoch before the checkpoint was trained again
    history = (run / "history.csv").read_text().splitlines()
    assert len(history) == 401
    an_epoch = int(history[1].split(",")[history[0].split(",").index("samples")])
    assert attempts[1]["samples"] <= (400 - reached + 1) * an_epoch
