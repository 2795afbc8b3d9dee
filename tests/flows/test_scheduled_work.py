"""What schedules run: what is tried again and what not; and a whole lab from `thalweg up` on."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import closing
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest
import yaml

from thalweg.flows.prefect_settings import prefect_settings
from thalweg.flows.services import deploying, schedule_command, settings
from thalweg.flows.services.state import mark_of, read_state
from thalweg.flows.services.tokens import authorization, read_token
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.results import Run

SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": 4, "regions": 2, "years": 3}
PATIENCE = 300.0


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionError("reset by peer"), True),
        (UnavailableError("no Ray cluster answers"), True),
        (InputError("line 3 is cut off"), False),
        (PermissionError(13, "denied"), False),
        (OSError(28, "No space left on device"), False),
        (ZeroDivisionError("a mistake"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error, again):
    from thalweg.flows.services.work import JobLostError, WorkFailedError, passes

    assert passes(None, None, SimpleNamespace(data=error)) is again
    assert passes(None, None, SimpleNamespace(data=JobLostError("killed"))) is True
    assert passes(None, None, SimpleNamespace(data=WorkFailedError("failed"))) is False


def test_what_a_file_describes(write, content, folder):
    Path("sub").mkdir()
    experiment = write(content)
    assert schedule_command.kind_of(experiment) == "experiment"
    assert schedule_command.kind_of(write({"store": "a.zarr", "source": SOURCE}, "rivers.yaml")) == "ingest"
    content["data"] = {"store": "b.zarr", "source": SOURCE}
    experiment = write(content)
    assert schedule_command.kind_of(experiment, ingest=True) == "ingest"
    chain = write({"nightly": {"experiment": str(experiment), "model": "hybrid"}}, "nightly.yaml")
    assert schedule_command.kind_of(chain) == "nightly"
    content["models"] = {"physics": {"kind": "calibrated", "proces": "hbv"}}
    with pytest.raises(InputError, match="did you mean 'process'"):
        schedule_command.kind_of(write(content))


def test_paths_are_those_of_where_it_was_scheduled(folder):
    options = Namespace(spec=Path("a.yaml"), runs=Path("runs"), force=True, time_limit=2.0)
    assert schedule_command.parameters("experiment", options) == {
        **{"kind": "experiment", "spec": "a.yaml", "directory": str(folder), "runs": str(folder / "runs")},
        **{"force": True, "hours": 2.0},
    }


def test_what_the_command_refuses(write, folder):
    spec = write({"store": "a.zarr", "source": SOURCE})
    given = {"ingest": False, "force": False, "here": False, "remove": False, "timezone": "UTC"}
    options = Namespace(spec=spec, cron=None, time_limit=1.0, runs=Path("runs"), **given)
    with pytest.raises(InputError, match="--cron is missing"):
        schedule_command.schedule(options)
    with pytest.raises(InputError, match="--time-limit 0: must be more than 0 hours"):
        schedule_command.schedule(Namespace(**{**vars(options), "cron": "0 3 * * *", "time_limit": 0.0}))
    with pytest.raises(InputError, match="there is no Prefect server"):
        schedule_command.schedule(Namespace(**{**vars(options), "remove": True}))


def test_a_schedule_outlives_its_file_and_can_be_removed(write, folder, prefect_server, monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    spec = write({"store": "a.zarr", "source": SOURCE}, "rivers.yaml")
    given = {"ingest": False, "force": False, "here": False, "timezone": "UTC", "json": False}
    given |= {"spec": spec, "time_limit": 1.0, "runs": Path("runs"), "remove": False, "work_pool": None}
    options = Namespace(**given, cron="0 3 * * *")
    with pytest.raises(InputError, match=r"--work-pool a/b: a name has no / in it"):
        schedule_command.schedule(Namespace(**{**vars(options), "work_pool": "a/b"}))

    async def planned(*arguments):  # the server of tests plans nothing
        return datetime(2026, 1, 1, 3, tzinfo=UTC)

    monkeypatch.setattr(deploying, "first_planned", planned)
    with prefect_settings(prefect_server, folder):
        schedule_command.schedule(options)
        spec.unlink()
        remove = Namespace(**{**vars(options), "cron": None, "remove": True})
        schedule_command.schedule(remove)
        assert re.search(r"deleted thalweg/ingest-rivers-\w{8}\n$", capsys.readouterr().out)
        with pytest.raises(InputError, match=r"has no schedule thalweg/ingest-.* or .* or "):
            schedule_command.schedule(remove)


def test_a_look_that_was_taken_is_not_taken_again(folder, prefect_server, monkeypatch):
    """A result with a key that names all it depends on is kept, for other runs and other processes too."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    monkeypatch.setenv("PREFECT_LOCAL_STORAGE_PATH", str(folder / "results"))
    from prefect import flow

    from thalweg.flows.services.work import guarded

    calls = []

    def look(run):
        calls.append(run)
        return {"ratio": 1.5}

    @flow
    def night(key):
        return guarded(1.0, name="look", cache_key=key)(look)("a/b")

    with prefect_settings(prefect_server, folder):
        key = f"weights-{os.urandom(4).hex()}"
        assert [night(key), night(key)] == [{"ratio": 1.5}] * 2
        assert len(calls) == 1
        night(f"{key}-other")
        assert len(calls) == 2


async def planned(*_):
    """Instead of the server's scheduler, which those of tests have not."""
    return datetime.now(UTC)


def test_remove_waits_for_a_run_that_is_under_way(write, folder, prefect_server, monkeypatch):
    """Without its deployment Prefect could note no end of it: it would be said to run for ever."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    monkeypatch.setattr(deploying, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(deploying, "first_planned", planned)
    from prefect import get_client
    from prefect.states import Completed, Pending, Running

    from thalweg.flows.scheduling import make_schedule

    given = {"force": False, "time_limit": 1.0, "work_pool": None, "runs": Path("runs")}
    spec = write({"store": "a.zarr", "source": SOURCE}, "rivers.yaml")
    removed = []
    with prefect_settings(prefect_server, folder), get_client(sync_client=True) as client:
        made = deploying.deploy("ingest", Namespace(spec=spec, **given), make_schedule("0 3 * * *", "UTC"))
        run = client.create_flow_run_from_deployment(UUID(made["id"]))
        for state in (Pending(), Running()):
            client.set_flow_run_state(run.id, state)
        context = copy_context()
        remove = partial(context.run, lambda: removed.extend(deploying.remove(spec, ["ingest"])))
        removing = Thread(target=remove)
        removing.start()
        removing.join(2.0)
        assert removing.is_alive()
        client.set_flow_run_state(run.id, Completed())
        removing.join(60.0)
        assert removed == [made["deployment"]]
        assert client.read_flow_run(run.id).state.is_completed()
        with pytest.raises(InputError, match="has no schedule"):
            deploying.remove(spec, ["ingest"])


def free_port():
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


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
    from thalweg.flows.services.processes import marked

    assert marked(mark_of(lab.settings.home)) == []


def _marked(lab):
    from thalweg.flows.services.processes import marked

    return marked(f"{mark_of(lab.settings.home)}/worker")
