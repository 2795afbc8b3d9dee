"""From `thalweg up` to what a schedule has run, with what is cancelled and what is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from waiting import free_port

from thalweg.flows.services import settings
from thalweg.flows.services.processes import marked
from thalweg.flows.services.state import mark_of, read_state
from thalweg.flows.services.tokens import authorization, read_token
from thalweg.storage.results import Run

SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": 4, "regions": 2, "years": 3}
PATIENCE = 300.0


class Lab:
    """A whole `thalweg up` in a folder of its own."""

    def __init__(self):
        self.settings = settings.read()

    def run(self, *words, code=0):
        command = [sys.executable, "-m", "thalweg.flows.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def api(self, path, content):
        user, _, token = authorization(read_token(self.settings.home, "prefect")).partition(":")
        answer = httpx.post(f"{self.settings.api}/{path}", auth=(user, token), json=content, timeout=30)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def flow_run(self, deployment, *states):
        """Wait until a run of a deployment is in one of some states, and give it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self.api("flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}})
            for run in found:
                if run["state_type"] in states:
                    return run
            time.sleep(1)
        raise AssertionError([(run["name"], run["state"]) for run in found])

    def start(self, deployment):
        return self.api(f"deployments/{deployment}/create_flow_run", {"state": {"type": "SCHEDULED"}})["id"]

    def pid(self, name):
        return next(each.process.pid for each in read_state(self.settings.home).services if each.name == name)

    def said(self):
        lines = (self.settings.home / "logs" / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def lab(folder, monkeypatch):
    for name in (
        "PREFECT_API_URL",
        "RAY_API_SERVER_ADDRESS",
        "RAY_ADDRESS",
        "RAY_AUTH_TOKEN",
        "THALWEG_HOST",
    ):
        monkeypatch.delenv(name, raising=False)
    for variable, _ in settings.PORTS.values():
        monkeypatch.setenv(variable, str(free_port()))
    made = Lab()
    yield made
    subprocess.run([sys.executable, "-m", "thalweg.flows.cli", "down"], timeout=PATIENCE)


def soon():
    """Give a cron line for the minute after the next one begins, at the earliest half a minute ahead."""
    then = datetime.now(UTC) + timedelta(seconds=90)
    return f"{then.minute} {then.hour} * * *"


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_from_up_to_the_first_run(lab, folder):
    """An experiment by the clock; a run that is cancelled stops its Ray job; one that is killed goes on."""
    experiment = {
        "name": "small",
        "data": {"store": "twin.zarr", "source": SOURCE},
        "splits": [
            {"kind": "temporal", "train": ["2001-01-01", "2001-12-31"], "test": ["2002-01-01", "2002-12-31"]}
        ],
        "models": {"physics": {"kind": "calibrated", "process": "hbv"}},
        "training": {"epochs": 2, "window": 90, "warmup": 90},
    }
    Path("small.yaml").write_text(yaml.safe_dump(experiment))
    lab.run("up")
    made = json.loads(lab.run("schedule", "small.yaml", "--cron", soon(), "--json"))
    run = lab.flow_run(made["id"], "COMPLETED", "FAILED", "CRASHED")
    assert run["state_type"] == "COMPLETED", run["state"]
    assert Run(folder / "runs" / "small" / "physics--temporal--0--s1").state == "done"
    (table,) = [each for each in lab.api("artifacts/filter", {}) if each["key"] == "skill-small"]
    assert json.loads(table["data"])[0]["model"] == "physics"
    cell = next(each for each in lab.said() if each["event"] == "cell-finished")
    assert cell["run"] == "physics--temporal--0--s1"
    assert cell["flow_run"] == run["id"]
    assert cell["job"].startswith("small-")

    assert httpx.post(f"{lab.settings.api}/flow_runs/filter", json={}).status_code == 401
    assert httpx.get(f"{lab.settings.url('ray-dashboard')}/api/jobs/").status_code == 401

    experiment["training"]["epochs"] = 100_000
    Path("long.yaml").write_text(yaml.safe_dump({**experiment, "name": "long"}))
    long = json.loads(lab.run("schedule", "long.yaml", "--cron", "0 3 * * *", "--json"))["id"]
    started = lab.start(long)
    place = folder / "runs" / "long" / "physics--temporal--0--s1"
    deadline = time.monotonic() + PATIENCE
    while not Run(place).status.get("epoch"):
        assert time.monotonic() < deadline
        time.sleep(1)
    lab.api(f"flow_runs/{started}/set_state", {"state": {"type": "CANCELLING"}})
    assert lab.flow_run(long, "CANCELLED")["id"] == started
    while Run(place).state != "stopped":
        assert time.monotonic() < deadline
        time.sleep(1)

    # the worker and what it runs are killed outright: the run goes on by itself from where it was
    started = lab.start(long)
    epoch = Run(place).status["epoch"]
    while Run(place).state != "running" or not Run(place).status.get("epoch", 0) > epoch:
        assert time.monotonic() < deadline + PATIENCE
        time.sleep(1)
    worker = lab.pid("worker")
    killed = [each.pid for each in _marked(lab) if each.pid != worker]
    for pid in [worker, *killed]:
        os.kill(pid, signal.SIGKILL)
    lab.api("flow_runs/filter", {})
    again = time.monotonic() + PATIENCE
    while lab.api("flow_runs/filter", {"flow_runs": {"id": {"any_": [started]}}})[0]["run_count"] < 2:
        assert time.monotonic() < again
        time.sleep(2)
    lab.api(f"flow_runs/{started}/set_state", {"state": {"type": "CANCELLING"}})

    lab.run("down")
    assert marked(mark_of(lab.settings.home)) == []


def _marked(lab):
    return marked(f"{mark_of(lab.settings.home)}/worker")
