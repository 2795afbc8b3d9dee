"""`thalweg up`, `down`, `status`: settings, tokens, and what is started and ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import pytest
from own_services import own_services
from waiting import PATIENCE, until

from thalweg.flows import dashboard_server, job_address
from thalweg.flows.services import control, settings, tokens
from thalweg.flows.services.catalogue import ray_folder, services
from thalweg.flows.services.ports import refuse_busy_ports
from thalweg.flows.services.processes import Process
from thalweg.flows.services.state import ServiceState, State, now, read_state
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


def test_the_folder_is_for_its_owner_alone(tmp_path):
    tokens.make_tokens(tmp_path / "lab" / "services")
    for folder in ("services", "services/tokens"):
        assert (tmp_path / "lab" / folder).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *(("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("LOCALHOST", True)),
        *(("0.0.0.0", False), ("::", False), ("192.0.2.7", False), ("banana", False), ("", False)),
    ],
)
def test_what_is_this_machine_alone(host, own):
    assert settings.is_loopback(host) is own
    assert dashboard_server.is_loopback is settings.is_loopback
    if host:
        address = f"http://[{host}]:8265" if ":" in host else f"http://{host}:8265"
        assert job_address.is_local(address) is own


def started(home, names, **more):
    """Write down that services run, whose process is this one."""
    process = Process.of(os.getpid())
    given = settings.read({"THALWEG_PREFECT_PORT": "4300", **more}, home)
    rows = [ServiceState(name, "healthy", process=process) for name in names]
    State(process, now(), {**asdict(given), "home": str(given.home)}, rows).write(home)


def test_the_environment_is_that_of_what_was_started(folder, monkeypatch, capsys):
    """Not what the shell's own variables would have: those may be of another lab, or have changed."""
    home = Path(".thalweg/services").absolute()
    env = Namespace(env=True, json=False)
    assert control.status(env) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"{home}: nothing is up; `thalweg up` starts it\n")
    assert not home.exists()

    made = tokens.make_tokens(home)
    started(home, ["prefect", "worker", "ray"], THALWEG_RUNS="s3://lab/runs")
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere:4200/api")
    assert control.status(env) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "export PREFECT_API_URL=http://127.0.0.1:4300/api" in lines
    assert f"export PREFECT_API_AUTH_STRING=thalweg:{made['prefect']}" in lines
    assert "export RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265" in lines
    assert "export THALWEG_RUNS=s3://lab/runs" in lines

    started(home, ["worker"])  # with the server and the cluster of somebody else
    control.status(env)
    names = {line.split()[1].partition("=")[0] for line in capsys.readouterr().out.splitlines()}
    assert names == {"THALWEG_SERVICES", "THALWEG_RUNS", "THALWEG_WORK_POOL", "PREFECT_HOME"}

    state = json.loads((home / "state.json").read_text())
    del state["settings"]["ports"]
    state["settings"]["port"] = 4200
    (home / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="is not what `thalweg up` writes"):
        control.status(env)


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
    asked = urllib.request.Request(
        f"{lab.url('metrics')}/metrics",
        headers={"Authorization": f"Bearer {tokens.read_token(lab.home, 'metrics')}"},
    )
    assert urllib.request.urlopen(asked, timeout=10).status == 200
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
