"""The private Prefect server: it leaves with its parent, and one that is configured wins."""

import subprocess
import sys
import time
import urllib.request

import pytest

from thalweg.flows import server as servers
from thalweg.flows.server import Server, ServerError, server


def test_it_answers_on_loopback_alone(prefect_server):
    assert prefect_server.url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(f"{prefect_server.url}/health") as answer:
        assert answer.read() == b"true"


def test_a_configured_server_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_API_URL", "http://10.1.2.3:4200/api/")
    with server(tmp_path) as found:
        assert found == Server("http://10.1.2.3:4200/api", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_that_does_not_answer_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(servers, "WAIT_SECONDS", 0.2)
    with pytest.raises(ServerError, match=r"http://127.0.0.1:9/api does not answer \(from PREFECT_API_URL\)"):
        Server("http://127.0.0.1:9/api", tmp_path).wait()


def test_one_that_ends_at_once_is_named(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"], stdin=subprocess.PIPE)
    with pytest.raises(ServerError, match=r"ended with code 3; see .*log"):
        Server("http://127.0.0.1:9/api", tmp_path / "a.log", process).wait()


def test_two_never_share_a_database(tmp_path):
    with servers._own_database(tmp_path) as first, servers._own_database(tmp_path) as second:
        assert first.name == "server-1.db"
        assert second.name == "server-2.db"
    with servers._own_database(tmp_path) as again:
        assert again == first


def test_it_leaves_when_its_parent_is_killed(tmp_path):
    code = f"""
import os, sys
from pathlib import Path
from thalweg.flows.server import server
with server(Path({str(tmp_path)!r})) as started:
    print(started.process.pid, flush=True)
    os.kill(os.getpid(), 9)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    child = int(found.stdout)
    deadline = time.monotonic() + 30
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(child)


def _alive(process):
    try:
        with open(f"/proc/{process}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
