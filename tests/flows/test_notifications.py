"""What Prefect's server posts to THALWEG_NOTIFY_URL; a server with all its services, and a receiver."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from waiting import until

from thalweg.flows.prefect_settings import prefect_settings
from thalweg.flows.server import server
from thalweg.flows.services import automations, chain
from thalweg.flows.services.keeper import TAG
from thalweg.flows.services.retrying import OutOfTimeError, WorkFailedError

LOOK = {
    **{"at": "2003-12-01T03:00:00+00:00", "run": "rivers/physics--temporal--0--s1", "snapshot": "abc"},
    **{"first": "2003-10-02", "last": "2003-11-30", "nse": 0.1, "nse_tested": 0.8, "ratio": 2.5},
    **{"limit": 1.2, "p_value": 0.001, "share": 1.0, "sites": 6, "drift": True},
}


@pytest.fixture
def receiver():
    """A web server that keeps what it is posted."""
    posted = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.path, json.loads(content)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}/hook?token=secret", posted
    served.shutdown()
    served.server_close()


@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({}, 2, "PREFECT_API_URL is missing"),
        ({"PREFECT_API_URL": "http://127.0.0.1:9/api", "THALWEG_NOTIFY_URL": "hook"}, 2, "is no address"),
        (
            {"PREFECT_API_URL": "http://127.0.0.1:9/api"},
            1,
            "server at 127.0.0.1:9 does not do as it is asked",
        ),
    ],
)
def test_the_command_says_what_is_wrong(environment, code, said, folder, monkeypatch):
    """As it is called where no `thalweg up` does; without a server's address Prefect would start its own."""
    for name in ("PREFECT_API_URL", "THALWEG_NOTIFY_URL"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run(
        [sys.executable, "-P", "-m", automations.__name__],
        env={**os.environ, "PREFECT_HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert said in line


@pytest.fixture
def lab(folder, monkeypatch):
    """A server of our own that heeds events, as that of `thalweg up` does."""
    with server(folder / "prefect", scheduler=True) as started:
        monkeypatch.setenv("PREFECT_LOGGING_TO_API_ENABLED", "false")
        started.wait()
        monkeypatch.setenv("PREFECT_API_URL", started.url)
        with prefect_settings(started, folder):
            yield started


@pytest.mark.slow
def test_a_run_that_fails_and_a_model_that_drifts_are_posted(lab, receiver):
    from prefect import flow, tags
    from prefect.client.orchestration import get_client

    url, posted = receiver
    assert automations.ensure(url) == list(automations.NAMES.values())

    def made():
        with get_client(sync_client=True) as client:
            return {name: client.read_automations_by_name(name) for name in automations.NAMES.values()}

    first = made()
    automations.ensure(url)  # as at each start of the services
    assert made() == first

    @flow(flow_run_name="experiment rivers.yaml")
    def night(error):
        if error is not None:
            raise error

    def fail(error):
        with pytest.raises(type(error)):
            night(error)

    night(None)
    fail(WorkFailedError("of somebody else"))
    with tags(TAG):
        night(None)
        fail(WorkFailedError('failed: "physics"'))
    until(lambda: posted)
    with tags(TAG):
        fail(OutOfTimeError("rivers-1: took longer than its time limit, and was stopped"))
    until(lambda: len(posted) > 1)

    @flow
    def look():
        chain._tell(chain.nightly.Look(**{**LOOK, "drift": False}))
        chain._tell(chain.nightly.Look(**LOOK))

    look()
    until(lambda: len(posted) > 2)
    assert {path for path, _ in posted} == {"/hook?token=secret"}
    failed, late, drifted = [content for _, content in posted]
    assert failed.keys() == late.keys() == {"event", "flow_run", "id", "message"}
    assert (failed["event"], failed["flow_run"]) == ("failed", "experiment rivers.yaml")
    assert 'failed: "physics"' in failed["message"]
    assert "rivers-1: took longer than its time limit" in late["message"]
    assert drifted == {"event": "drift", "run": LOOK["run"], "message": chain.nightly.Look(**LOOK).text()}

    assert automations.ensure(None) == []
    assert not any(made().values())
