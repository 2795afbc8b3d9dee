"""`thalweg dashboard`: serves on loopback, stops with the command, says what is missing."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from waiting import free_port

from thalweg.flows import dashboard_server
from thalweg.storage.errors import InputError


def test_what_to_install(monkeypatch, tmp_path):
    known = dashboard_server.importlib.util.find_spec
    monkeypatch.setattr(
        dashboard_server.importlib.util,
        "find_spec",
        lambda name: None if name == "streamlit" else known(name),
    )
    with pytest.raises(
        InputError, match=r"needs streamlit, which is not installed: pip install 'thalweg\[dashboard\]'"
    ):
        dashboard_server.serve(tmp_path)


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is taken: give another with --port"):
            dashboard_server.serve(tmp_path, port)


@pytest.mark.parametrize(
    ("quiet", "number", "code"),
    [(["--no-browser"], signal.SIGTERM, 143), ([], signal.SIGINT, 0)],
    ids=["without a browser", "at its first start"],
)
def test_it_serves_until_it_is_stopped(quiet, number, code, folder):
    """Also for who has never had Streamlit before, which would ask for an address of mail first."""
    pytest.importorskip("streamlit")
    port = free_port()
    command = [sys.executable, "-m", "thalweg.flows.cli", "dashboard", *quiet, "--port", str(port)]
    aside = {"HOME": str(folder), "BROWSER": "true"}
    environment = {**os.environ, **aside, "THALWEG_RUNS": str(folder / "elsewhere")}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        line = process.stdout.readline()
        assert line == f"dashboard of {folder / 'elsewhere'} at http://127.0.0.1:{port}  (Ctrl-C stops it)\n"
        process.send_signal(number)
        time.sleep(0.2)
        process.send_signal(number)  # by an impatient person, while the server ends
        assert process.wait(20) == code
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
