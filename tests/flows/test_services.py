"""`thalweg up`, `down`, `status`: settings, tokens, and what is started and ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from own_services import own_services
from waiting import PATIENCE, until

from thalweg.flows.services import settings, tokens
from thalweg.flows.services.catalogue import ray_folder, services
from thalweg.flows.services.ports import refuse_busy_ports
from thalweg.flows.services.processes import Process
from thalweg.flows.services.state import read_state
from thalweg.storage.errors import InputError

ONLY_METRICS = ["prefect", "worker", "ray", "dashboard"]


@pytest.fixture
def lab(folder, monkeypatch):
    """A folder with ports of its own for all services; what is left at the end is ended."""
    own_services(monkeypatch)
    yield settings.read()
    run("down")


def run(*words):
    """Run a command in a process of its own; gives code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "thalweg.flows.cli", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 4,
    )
    return done.returncode, done.stdout, done.stderr


def status():
    return read_state(settings.read().home).current()


def service(name="metrics"):
    return next(each for each in status()["services"] if each["name"] == name)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"THALWEG_PREFECT_PORT": "http"}, "THALWEG_PREFECT_PORT=http: is no port"),
        ({"THALWEG_METRICS_PORT": "70000"}, "THALWEG_METRICS_PORT=70000: is no port"),
        ({"THALWEG_HOST": "localhost"}, "THALWEG_HOST=localhost: is no address"),
        ({"THALWEG_RAY_PORT": "8501"}, "two services cannot have one port"),
    ],
)
def test_wrong_settings(environment, said):
    with pytest.raises(InputError, match=said):
        settings.read(environment)


def test_runs_may_be_in_an_object_store():
    assert settings.read({"THALWEG_RUNS": "s3://lab/runs"}).runs == "s3://lab/runs"


def test_tokens_are_for_their_owner_alone(tmp_path):
    made = tokens.make_tokens(tmp_path)
    assert tokens.make_tokens(tmp_path) == made
    assert len(set(made.values())) == len(tokens.NAMES)
    assert all(len(token) == 64 for token in made.values())
    for name in tokens.NAMES:
        assert tokens.token_file(tmp_path, name).stat().st_mode & 0o777 == 0o600
    tokens.token_file(tmp_path, "ray").chmod(0o644)
    with pytest.raises(InputError, match="others may read it: chmod 600"):
        tokens.make_tokens(tmp_path)
    with pytest.raises(InputError, match=r"tokens: cannot be written to: .*THALWEG_SERVICES names another"):
        tokens.make_tokens(Path("/proc/nothing"))


def test_an_address_of_another_machine_is_no_busy_port(tmp_path):
    elsewhere = settings.read({"THALWEG_HOST": "192.0.2.77"}, tmp_path)
    with pytest.raises(InputError, match=r"^THALWEG_HOST=192\.0\.2\.77: is no address of this machine$"):
        refuse_busy_ports(elsewhere, services(elsewhere, tokens.make_tokens(tmp_path), {}))


def test_every_server_that_others_reach_wants_a_token(tmp_path):
    """What `up` starts at another address is given the token that each of its servers wants."""
    open_to_all = settings.read({"THALWEG_HOST": "0.0.0.0"}, tmp_path)
    made = {each.name: each for each in services(open_to_all, tokens.make_tokens(tmp_path), {})}
    assert made["prefect"].environment["PREFECT_SERVER_API_AUTH_STRING"].startswith("thalweg:")
    assert made["prefect"].environment["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith("filesystem")
    assert made["ray"].environment["RAY_AUTH_MODE"] == "token"
    assert made["ray"].environment["RAY_AUTH_TOKEN"] == ""  # not one of the shell's
    assert made["dashboard"].environment["THALWEG_DASHBOARD_TOKEN"]
    assert made["metrics"].environment["THALWEG_METRICS_TOKEN"]
    # a browser elsewhere has no loopback of ours
    assert made["prefect"].environment["PREFECT_UI_API_URL"] == "/api"
    secrets = [(tmp_path / "tokens" / name).read_text() for name in tokens.NAMES]
    assert not any(token in " ".join(each.command) for each in made.values() for token in secrets)


def test_a_server_that_is_there_is_used(tmp_path):
    given = {"PREFECT_API_URL": "http://elsewhere:4200/api", "RAY_API_SERVER_ADDRESS": "http://head:8265"}
    made = services(settings.read({}, tmp_path), tokens.make_tokens(tmp_path), given)
    assert [each.name for each in made] == ["worker", "dashboard", "metrics"]
    assert made[0].environment["PREFECT_API_URL"] == "http://elsewhere:4200/api"
    assert "RAY_AUTH_TOKEN_PATH" not in made[0].environment


@pytest.mark.slow  # a dozen commands, each in a process of its own
def test_up_and_down(lab):
    """One service of all: found busy, started, killed, started again, ended; its supervisor too."""
    without = [word for name in ONLY_METRICS for word in ("--without", name)]
    assert run("status")[0] == 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", lab.ports["metrics"]))
        taken.listen()
        code, _, said = run("up", *without)
        assert code == 2
        assert said.count("\n") == 1
        assert f"port {lab.ports['metrics']}, for metrics, is taken (PID {os.getpid()}" in said
        assert "set THALWEG_METRICS_PORT" in said

    code, shown, _ = run("up", *without)
    assert code == 0, shown
    assert urllib.request.urlopen(f"{lab.url('metrics')}/metrics", timeout=10).status == 200
    row = service()
    assert row["state"] == "healthy"
    assert row["memory"] > 2**20
    assert Path(row["log"]).exists()
    assert run("up", *without)[0] == 0  # it is up already
    assert status()["services"][0]["pid"] == row["pid"]

    os.kill(row["pid"], signal.SIGKILL)
    until(lambda: service()["restarts"] == 1 and service()["state"] == "healthy")

    watched = status()["pid"]
    os.kill(watched, signal.SIGKILL)
    until(lambda: not status()["up"])
    left = service()
    assert left["state"] == "orphaned"
    assert run("status")[0] == 1
    assert run("up", *without)[0] == 0
    assert service()["pid"] != left["pid"]
    assert Process.of(left["pid"]) is None

    now = status()
    left_by_ray = ray_folder(lab.home) / "session_1" / "logs"
    left_by_ray.mkdir(parents=True)
    assert run("down")[0] == 0
    assert not ray_folder(lab.home).exists()
    assert Process.of(now["pid"]) is None
    assert Process.of(now["services"][0]["pid"]) is None
    assert not status()["up"]
    code, said, _ = run("down")
    assert (code, said) == (0, "was down\n")

    assert run("up", *without)[0] == 0
    os.kill(status()["pid"], signal.SIGKILL)
    until(lambda: not status()["up"])
    found = [each for each in json.loads(run("doctor", "--json")[1]) if each["check"] == "ports"]
    assert [(each["level"], each["advice"]) for each in found] == [
        ("warning", "`thalweg up` ends it and starts anew")
    ]
    assert run("down")[:2] == (0, "was down; ended what was left\n")
    assert run("down")[:2] == (0, "was down\n")
