"""What `thalweg up` starts is found by its mark, started again when it ends, and ended."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import free_port, until

from thalweg.flows.services import kept_service, processes, settings, supervisor
from thalweg.flows.services.catalogue import Service
from thalweg.flows.services.health import UnhealthyError, web
from thalweg.flows.services.kept_service import KeptService, over_full_disk
from thalweg.flows.services.processes import Process
from thalweg.flows.services.state import ServiceState, State
from thalweg.storage.errors import InputError

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
    kept = KeptService(made, settings.read({}, folder))
    monkeypatch.setattr(kept_service, "FIRST_PAUSE", 0.1)
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

    kept = KeptService(Service("fake", ["sleep", "600"], {}, check), settings.read({}, folder))
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
    full = KeptService(Service("full", ["sleep", "600"], {}, lambda: None), place)
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
    with pytest.raises(PermissionError), over_full_disk():
        raise PermissionError(13, "denied")


def _tick_until(kept, state):
    deadline = time.monotonic() + 30
    while kept.state.state != state:
        kept.tick(set())
        assert time.monotonic() < deadline, kept.state
        time.sleep(0.02)
