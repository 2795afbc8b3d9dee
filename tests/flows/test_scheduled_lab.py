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
from own_services import own_services
from secret_search import files_with, watched
from small_experiment import EXPERIMENT

from thalweg.flows.services import settings
from thalweg.flows.services.catalogue import ray_folder
from thalweg.flows.services.processes import marked
from thalweg.flows.services.state import mark_of, read_state
from thalweg.flows.services.tokens import NAMES, authorization, make_tokens, read_token, token_file
from thalweg.storage.results import Run

PATIENCE = 300.0
PLANTED = "planted-7c1f0a9be2d34586"


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
    own_services(monkeypatch)
    made = Lab()
    yield made
    subprocess.run([sys.executable, "-m", "thalweg.flows.cli", "down"], timeout=PATIENCE)


def soon():
    """Give a cron line for the minute after the next one begins, at the earliest half a minute ahead."""
    then = datetime.now(UTC) + timedelta(seconds=90)
    return f"{then.minute} {then.hour} * * *"


@pytest.fixture
def secrets(lab, place, monkeypatch):
    """Secrets in the environment of `thalweg up`, with a store that wants some of them."""
    planted = {
        "AWS_SECRET_ACCESS_KEY": f"{PLANTED}-aws",
        "AWS_SESSION_TOKEN": f"{PLANTED}-session",
        "RAY_AUTH_TOKEN": f"{PLANTED}-ray",  # of another cluster
        "PREFECT_API_AUTH_STRING": f"thalweg:{PLANTED}-prefect",  # of another server
        "PREFECT_SERVER_API_AUTH_STRING": f"thalweg:{PLANTED}-prefect",
        "THALWEG_DASHBOARD_TOKEN": f"{PLANTED}-dashboard",
        "THALWEG_METRICS_TOKEN": f"{PLANTED}-metrics",
        "THALWEG_NOTIFY_URL": f"http://127.0.0.1:9/{PLANTED}-hook",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    made = make_tokens(lab.settings.home)
    return [PLANTED, *planted.values(), *made.values(), authorization(made["prefect"])]


def leaked(lab, secrets):
    """Give the files of the lab that hold a secret, but for those that are there to do so."""
    kept = {str(token_file(lab.settings.home, name)) for name in NAMES}
    assert {Path(each).stat().st_mode & 0o777 for each in kept} == {0o600}
    return files_with(secrets, Path.cwd()) - kept | files_with(secrets, ray_folder(lab.settings.home))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_from_up_to_the_first_run(lab, folder, place, secrets):
    """An experiment by the clock; a run that is cancelled stops its Ray job; one that is killed goes on.

    No file and no command line has a secret in it.
    """
    data = {**EXPERIMENT["data"], "store": place.replace("/lab/runs", "/twin.zarr")}
    experiment = {
        **EXPERIMENT,
        "data": data,
        "models": {"physics": {"kind": "calibrated", "process": "hbv"}},
        "training": {"epochs": 2, "window": 90, "warmup": 90},
    }
    Path("small.yaml").write_text(yaml.safe_dump(experiment))
    with watched(secrets) as told:
        lab.run("up")
        made = json.loads(lab.run("schedule", "small.yaml", "--cron", soon(), "--json"))
        run = lab.flow_run(made["id"], "COMPLETED", "FAILED", "CRASHED")
    assert not told
    assert not leaked(lab, secrets)
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

    experiment["data"] = EXPERIMENT["data"]
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

    assert not leaked(lab, secrets)
    lab.run("down")
    assert marked(mark_of(lab.settings.home)) == []
    assert not leaked(lab, secrets)


def _marked(lab):
    return marked(f"{mark_of(lab.settings.home)}/worker")
