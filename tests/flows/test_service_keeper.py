"""Flow runs that were killed are found and started again; those whose worker was killed go on."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from thalweg.flows.services import keeper


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
