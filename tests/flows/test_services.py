"""`thalweg up`, `down`, `status`: what is started is looked after, found again, and ended."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from thalweg.flows import cli
from thalweg.flows.services import keeper, metrics, processes, settings, supervisor, tokens
from thalweg.flows.services.catalogue import Service, refuse_busy_ports, services
from thalweg.flows.services.health import UnhealthyError, web
from thalweg.flows.services.processes import Process
from thalweg.flows.services.state import ServiceState, State, read_state
from thalweg.storage.errors import InputError, UnavailableError

PATIENCE = 90.0
ONLY_METRICS = ["prefect", "worker", "ray", "dashboard"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def lab(folder, monkeypatch):
    """A folder with ports of its own for all services; what is left at the end is ended."""
    for name in (
        "PREFECT_API_URL",
        "RAY_API_SERVER_ADDRESS",
        "RAY_ADDRESS",
        "THALWEG_SERVICES",
        "THALWEG_HOST",
    ):
        monkeypatch.delenv(name, raising=False)
    for variable, _ in settings.PORTS.values():
        monkeypatch.setenv(variable, str(free_port()))
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
    assert made["dashboard"].environment["THALWEG_DASHBOARD_TOKEN"]
    assert made["metrics"].environment["THALWEG_METRICS_TOKEN"]
    secrets = [(tmp_path / "tokens" / name).read_text() for name in tokens.NAMES]
    assert not any(token in " ".join(each.command) for each in made.values() for token in secrets)


def test_a_server_that_is_there_is_used(tmp_path):
    given = {"PREFECT_API_URL": "http://elsewhere:4200/api", "RAY_API_SERVER_ADDRESS": "http://head:8265"}
    made = services(settings.read({}, tmp_path), tokens.make_tokens(tmp_path), given)
    assert [each.name for each in made] == ["worker", "dashboard", "metrics"]
    assert made[0].environment["PREFECT_API_URL"] == "http://elsewhere:4200/api"
    assert "RAY_AUTH_TOKEN_PATH" not in made[0].environment


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) > 1:
    subprocess.Popen([sys.executable, __file__], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""


def test_processes_are_found_by_their_mark_and_ended(tmp_path):
    """Also those that took another parent and another session, and that do not listen."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    mark = f"test-{os.getpid()}"
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "stubborn.py"), "with child"],
        env={**os.environ, processes.MARK: f"{mark}/one"},
        stdout=subprocess.DEVNULL,
    )
    until(lambda: len(processes.marked(mark)) == 2)
    found = processes.marked(mark)
    assert {each.pid for each in processes.family(parent.pid)} == {each.pid for each in found}
    assert processes.memory(found) > 10 * 2**20
    assert processes.marked(f"{mark}/other") == []
    time.sleep(0.5)  # both have set their handlers
    parent.kill()
    parent.wait()
    (orphan,) = processes.marked(mark)
    processes.end([orphan], 0.5)
    assert not orphan.alive()
    assert processes.gone(found, 1)


def test_a_number_that_was_given_again_is_another_process():
    me = Process.of(os.getpid())
    assert me.alive()
    assert not Process(me.pid, me.started - 1).alive()
    assert Process.of(2**22 + 1) is None


SERVER = """
import http.server, os, sys
if os.path.exists("broken"):
    sys.exit("RuntimeError: it is broken")
handler = http.server.SimpleHTTPRequestHandler
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler).serve_forever()
"""


def test_a_service_that_ends_is_started_again_with_longer_pauses(folder, monkeypatch):
    port = free_port()
    (folder / "server.py").write_text(SERVER)
    made = Service("fake", [sys.executable, "server.py", str(port)], {}, web(f"http://127.0.0.1:{port}/"))
    kept = supervisor.Keeper(made, settings.read({}, folder))
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.1)
    kept.pause = 0.1
    try:
        _tick_until(kept, "healthy")
        assert kept.state.restarts == 0
        first = kept.state.process
        first.send(signal.SIGKILL)
        _tick_until(kept, "restarting")
        assert "ended with code -9" in kept.state.message
        (folder / "broken").touch()
        for _ in range(3):
            _tick_until(kept, "starting")
            _tick_until(kept, "restarting")
        assert kept.state.message == "ended with code 1: RuntimeError: it is broken"
        assert kept.state.restarts == 4
        assert kept.pause == pytest.approx(1.6)
        (folder / "broken").unlink()
        _tick_until(kept, "healthy")
        assert kept.state.process != first
    finally:
        last = kept.state.process
        kept.end(5.0)
    assert not last.alive()


def test_a_service_that_does_not_answer_is_started_again(folder):
    answers = [True]

    def check():
        if not answers[0]:
            raise UnhealthyError("answers 500")

    kept = supervisor.Keeper(Service("fake", ["sleep", "600"], {}, check), settings.read({}, folder))
    kept.pause = 0.1
    try:
        _tick_until(kept, "healthy")
        answers[0] = False
        kept.looked = 0
        _tick_until(kept, "unhealthy")
        _tick_until(kept, "restarting")
        assert kept.state.message == "answers 500 3 times"
    finally:
        kept.end(5.0)


def test_what_has_ended_is_not_called_healthy(folder):
    """Neither before the supervisor has seen it, nor while it cannot write it down."""
    me = Process.of(os.getpid())
    found = [ServiceState("metrics", "healthy", process=Process(me.pid, me.started - 1))]
    now = State(me, "2026-01-01T00:00:00+00:00", {}, found).current()
    assert (now["up"], now["healthy"], now["services"][0]["state"]) == (True, False, "restarting")


def test_services_go_on_over_a_full_disk(folder, monkeypatch):
    """Neither the state nor a log can be written for a while; what runs is left alone, then it is told."""
    wrote = State.write
    writes = []

    def write(state, home):
        writes.append([each.process for each in state.services])
        if len(writes) < 4:
            raise InputError(f"{home}: no room left") from OSError(errno.ENOSPC, "No space left on device")
        wrote(state, home)
        if len(writes) == 5:
            supervised.stopping = True

    monkeypatch.setattr(State, "write", write)
    monkeypatch.setattr(supervisor, "TICK_SECONDS", 0.05)
    place = settings.read({}, folder / "services")
    supervised = supervisor.Supervisor(place, [Service("fake", ["sleep", "600"], {}, lambda: None)])
    full = supervisor.Keeper(Service("full", ["sleep", "600"], {}, lambda: None), place)
    full.log = Path("/dev/full")
    supervised.keepers.append(full)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        supervised.run()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert len(writes) >= 5
    assert writes[0][0] is not None
    assert writes[4] == writes[0]
    assert full.popen is None
    with pytest.raises(PermissionError), supervisor.over_full_disk():
        raise PermissionError(13, "denied")


def _tick_until(kept, state):
    deadline = time.monotonic() + 30
    while kept.state.state != state:
        kept.tick(set())
        assert time.monotonic() < deadline, kept.state
        time.sleep(0.02)


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
    assert run("down")[0] == 0
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


class Prefect(BaseHTTPRequestHandler):
    """Enough of a Prefect server for the keeper: runs, their last heartbeats, and setting their state."""

    runs: dict[str, dict] = {}  # noqa: RUF012 - of the one server of a test
    beats: dict[str, str] = {}  # noqa: RUF012

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/flow_runs/filter":
            states = content["flow_runs"]["state"]["type"]["any_"]
            answer = [run for run in self.runs.values() if run["state_type"] in states]
        elif self.path == "/api/events/filter":
            (resource,) = content["filter"]["resource"]["id"]
            beat = self.beats.get(resource.rpartition(".")[2])
            answer = {"events": [{"occurred": beat}] if beat else []}
        else:
            run = self.runs[self.path.split("/")[3]]
            run["state_type"], run["message"] = content["state"]["type"], content["state"]["message"]
            answer = {"status": "ACCEPT"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_runs_that_were_killed_go_on():
    """Silent ones crash and are scheduled again, five times at most; those that live are left alone."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = [start]

    def flow_run(name, state, count=1, deployment="d"):
        timestamp = (start - timedelta(hours=1)).isoformat()
        return {
            **{
                "id": name,
                "name": name,
                "state_type": state,
                "run_count": count,
                "deployment_id": deployment,
            },
            "state": {"timestamp": timestamp},
        }

    given = [
        flow_run("silent", "RUNNING"),
        flow_run("alive", "RUNNING"),
        flow_run("crashed", "CRASHED", 2),
        flow_run("hopeless", "CRASHED", keeper.ATTEMPTS),
        flow_run("by-hand", "CRASHED", 1, None),
        flow_run("taken", "PENDING", 0),
    ]
    Prefect.runs, Prefect.beats = {each["id"]: each for each in given}, {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prefect)
    Thread(target=server.serve_forever, daemon=True).start()
    kept = keeper.Keeper(f"http://127.0.0.1:{server.server_address[1]}/api", {}, lambda: clock[0])

    def states():
        return {name: each["state_type"] for name, each in Prefect.runs.items()}

    kept.look()
    assert states() == {
        **{"silent": "RUNNING", "alive": "RUNNING"},  # only now the server is known to hear
        **{"crashed": "SCHEDULED", "hopeless": "FAILED", "by-hand": "CRASHED", "taken": "PENDING"},
    }
    assert "killed 5 times" in Prefect.runs["hopeless"]["message"]
    clock[0] += timedelta(seconds=keeper.SILENT_SECONDS - 10)
    Prefect.beats["alive"] = clock[0].isoformat()
    assert kept.look() == []
    clock[0] += timedelta(seconds=20)
    assert kept.look() == [f"taken (taken): {keeper.NOT_BEGUN}", "silent (silent): nothing heard of it"]
    assert states()["taken"] == "SCHEDULED"
    assert kept.look() == [f"silent (silent): {keeper.RESUMED}"]
    assert states()["alive"] == "RUNNING"

    server.shutdown()
    server.server_close()
    clock[0] += timedelta(hours=1)
    assert kept.look() == []
    assert kept.heard is None  # an hour without a server is nobody's silence


TALKER = """
import sys, time
from pathlib import Path
from prefect.logging import get_logger
from thalweg.flows.services.reader import outlive_reader

outlive_reader(Path("log"))
print("begins", flush=True)
sys.stdin.read()  # until told that nobody reads any more
time.sleep(0.5)
for _ in range(3):
    print("goes on", flush=True)
    get_logger().warning("said by Prefect")
Path("done").touch()
"""


def test_a_run_goes_on_when_its_worker_was_killed(folder):
    """What it says then goes to a file; without that its next line would end it."""
    pipe = subprocess.PIPE
    talker = subprocess.Popen(
        [sys.executable, "-c", TALKER], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT
    )
    assert talker.stdout.readline() == b"begins\n"
    talker.stdout.close()
    talker.stdin.close()
    assert talker.wait(120) == 0
    assert Path("done").exists()
    assert Path("log").read_text().count("goes on") == 3
    assert Path("log").read_text().count("said by Prefect") == 3


def test_metrics_are_as_prometheus_reads_them(folder, twin_store):
    from prometheus_client.parser import text_string_to_metric_families

    run_folder = folder / "runs" / 'my "rivers"\n' / "lstm--temporal--0--s1"
    run_folder.mkdir(parents=True)
    (run_folder / "status.json").write_text(json.dumps({"state": "done"}))
    config = {"config": {"data": {"store": str(twin_store)}}}
    (run_folder / "manifest.json").write_text(json.dumps({"format": 1, **config}))
    look = {"at": "2026-01-01T03:00:00+00:00", "run": "a/b", "ratio": 1.5, "limit": 1.1, "drift": True}
    (run_folder.parent / "nightly.json").write_text(json.dumps({"looks": [look]}))
    found = {
        sample.name: (sample.labels, sample.value)
        for family in text_string_to_metric_families(metrics.text(metrics.collect(Path("runs"))))
        for sample in family.samples
    }
    assert found["thalweg_runs"] == ({"experiment": 'my "rivers"\n', "state": "done"}, 1.0)
    day = datetime(2002, 12, 31, tzinfo=UTC).timestamp()
    assert found["thalweg_store_last_day_timestamp_seconds"] == ({"store": str(twin_store)}, day)
    assert found["thalweg_store_sites"][1] == 8
    assert found["thalweg_drift"][1] == 1
    assert found["thalweg_drift_statistic"][1] == 1.5
    assert found["thalweg_drift_limit"][1] == 1.1
    assert found["thalweg_collect_failures"][1] == 0


def test_what_is_here_is_told_where_the_object_store_is_away(folder, monkeypatch):
    def away(runs):
        raise UnavailableError("s3://lab/runs: did not answer")

    run_folder = folder / "runs" / "rivers" / "lstm--temporal--0--s1"
    run_folder.mkdir(parents=True)
    (run_folder / "status.json").write_text(json.dumps({"state": "done"}))
    (run_folder / "manifest.json").write_text(json.dumps({"format": 1}))
    monkeypatch.setattr(metrics.run_sharing, "pull", away)
    told = metrics.text(metrics.collect(Path("runs")))
    assert 'thalweg_runs{experiment="rivers",state="done"} 1\n' in told
    assert 'thalweg_collect_failures{part="pull"} 1\n' in told
    assert 'thalweg_collect_failures{part="runs"} 0\n' in told


def test_metrics_want_a_token_where_others_reach_them(folder, monkeypatch):
    monkeypatch.delenv("THALWEG_METRICS_TOKEN", raising=False)
    with pytest.raises(InputError, match="set THALWEG_METRICS_TOKEN"):
        metrics.serve(Path("runs"), "0.0.0.0", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), metrics._handler(Path("runs"), "secret"))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
    for header in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(urllib.request.Request(url, headers=header), timeout=10)
    asked = urllib.request.Request(url, headers={"Authorization": "Bearer secret"})
    assert urllib.request.urlopen(asked, timeout=10).status == 200
    server.shutdown()
    server.server_close()


def test_the_doctor_finds_what_is_wrong(folder, capsys, monkeypatch):
    from thalweg.flows.services import machine_checks

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0, found
    assert {each["check"] for each in found} >= {
        "python",
        "packages",
        "disk",
        "memory",
        "gpu",
        "clock",
        "ports",
    }

    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(machine_checks, "CONFLICTS", (("fastapi", (0, 1), "another one"),))
    monkeypatch.setattr(machine_checks, "DISK_LEAST", 2**60)
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--json"])
    assert ended.value.code == 1
    wrong = {each["check"] for each in json.loads(capsys.readouterr().out) if each["level"] == "error"}
    assert wrong == {"packages", "disk", "prefect", "ray", "s3"}


def test_a_wrong_clock_is_found(folder, monkeypatch):
    from thalweg.flows.services import server_checks

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store")
    monkeypatch.setattr(server_checks, "_date", lambda url: datetime.now(UTC) - timedelta(minutes=20))
    (found,) = server_checks.clock()
    assert found.level == "error"
    assert "1,200 s apart" in found.found


def test_log_lines_of_many_processes(folder, monkeypatch):
    """Each line is whole, and says what it belongs to."""
    from thalweg.flows import logs

    script = (
        "from thalweg.flows import logs\n"
        "for n in range(200):\n"
        "    with logs.about(experiment='e', run=f'r{n}'):\n"
        "        logs.event('step', text='x' * 500)\n"
    )
    given = {**os.environ, "THALWEG_LOG_FILE": "all.jsonl", "THALWEG_JOB": "job-1", "THALWEG_FLOW_RUN": "f"}
    started = [subprocess.Popen([sys.executable, "-c", script], env=given) for _ in range(3)]
    assert [each.wait(60) for each in started] == [0, 0, 0]
    lines = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert len(lines) == 600
    assert {line["run"] for line in lines} == {f"r{n}" for n in range(200)}
    assert {(line["job"], line["flow_run"], line["experiment"]) for line in lines} == {("job-1", "f", "e")}

    monkeypatch.setenv("THALWEG_LOG_FILE", str(folder / "nowhere" / "log"))
    logs.event("no harm")


def test_a_failure_is_told_with_its_reason(folder, capsys, monkeypatch):
    from thalweg.flows import logs

    monkeypatch.setenv("THALWEG_LOG_FORMAT", "json")
    with pytest.raises(ValueError, match="no"), logs.told("cell", run="r"):
        raise ValueError("no")
    begun, failed = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (begun["event"], begun["level"]) == ("cell-started", "info")
    assert (failed["event"], failed["level"], failed["run"]) == ("cell-failed", "error", "r")
    assert failed["error"] == "ValueError: no"
