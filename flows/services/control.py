"""`thalweg up`, `down` and `status`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thalweg.flows.console import console, print_json, table
from thalweg.flows.progress import duration
from thalweg.flows.services import catalogue, supervisor
from thalweg.flows.services.catalogue import services
from thalweg.flows.services.kept_service import last_line
from thalweg.flows.services.ports import refuse_busy_ports
from thalweg.flows.services.processes import Process, gone
from thalweg.flows.services.settings import Settings, is_loopback, read
from thalweg.flows.services.state import State, read_state
from thalweg.flows.services.tokens import make_tokens
from thalweg.storage.errors import UnavailableError

DONE, FAILED = 0, 1
UP_SECONDS = 300.0
DOWN_SECONDS = 90.0
LOOK_SECONDS = 0.5
MIB = 2**20
COLOURS = {"healthy": "green", "starting": "cyan", "waiting": "cyan", "unhealthy": "red", "restarting": "red"}


def up(options: Namespace) -> int:
    """Start the services and wait until all are well; or keep them in this process."""
    settings = read()
    before = read_state(settings.home)
    if before is not None and before.process.alive():
        _show(before, options.json)
        print(f"up since {before.since}; `thalweg down` ends it", file=sys.stderr)
        return DONE if before.current()["healthy"] else FAILED
    if before is not None:
        supervisor.sweep(settings.home)
    tokens = make_tokens(settings.home)
    wanted = services(settings, tokens, without=options.without)
    refuse_busy_ports(settings, wanted)
    if not is_loopback(settings.host):
        print(
            f"warning: {settings.host}: other machines reach these services; tokens are in "
            f"{settings.home / 'tokens'}, and travel in the clear unless a proxy with TLS is in front",
            file=sys.stderr,
        )
    if options.foreground:
        return supervisor.main(options.without)
    started = _start(settings, options.without)
    state = _until_well(settings, started)
    _show(state, options.json)
    if not state.current()["healthy"]:
        print(f"not all are well yet; see the logs in {settings.home / 'logs'}", file=sys.stderr)
        return FAILED
    return DONE


def down(options: Namespace) -> int:
    """End what `thalweg up` started in this folder, and nothing else."""
    settings = read()
    state = read_state(settings.home)
    if state is None:
        print(f"{settings.home}: nothing was started here")
        return DONE
    was_up, left = state.process.alive(), _left(state)
    if was_up:
        state.process.send(15)
        if not gone([state.process], DOWN_SECONDS):
            state.process.send(9)
            gone([state.process], DOWN_SECONDS)
    supervisor.sweep(settings.home)
    print("down" if was_up else "was down; ended what was left" if left else "was down")
    return DONE


def _left(state: State) -> bool:
    return any(service.process is not None and service.process.alive() for service in state.services)


def status(options: Namespace) -> int:
    """Show how each service does, or print where they are; 1 when one is not well, or nothing is up."""
    settings = read()
    state = read_state(settings.home)
    if options.env:
        if state is None or not (state.process.alive() or _left(state)):
            print(f"{settings.home}: nothing is up; `thalweg up` starts it", file=sys.stderr)
            return FAILED
        for name, text in catalogue.clients_of(state).items():
            print(f"export {name}={shlex.quote(text)}")
        return DONE
    if state is None:
        if options.json:
            print_json({"up": False, "healthy": False, "services": []})
        else:
            print(f"{settings.home}: nothing was started here; `thalweg up` does")
        return FAILED
    _show(state, options.json)
    return DONE if state.current()["healthy"] else FAILED


def _start(settings: Settings, without: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the supervisor, which lives on when we end."""
    log = settings.home / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "thalweg.flows.services.supervisor", *without],
            env={**os.environ, "THALWEG_SERVICES": str(settings.home), "THALWEG_RUNS": settings.runs},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def _until_well(settings: Settings, started: subprocess.Popen[bytes]) -> State:
    """Give the state when all are well, or one has ended, or time is up.

    Raises
    ------
    UnavailableError
        When the supervisor ended.
    """
    process = Process.of(started.pid)
    deadline = time.monotonic() + UP_SECONDS
    told: set[str] = set()
    while True:
        state = read_state(settings.home)
        if started.poll() is not None:
            log = settings.home / "logs" / "supervisor.log"
            raise UnavailableError(f"the supervisor ended: {last_line(log)}; see {log}")
        if state is not None and state.process == process:
            for service in state.services:
                if service.state == "healthy" and service.name not in told:
                    print(f"{service.name}: well", file=sys.stderr, flush=True)
                    told.add(service.name)
            bad = any(service.restarts >= 3 for service in state.services)
            if bad or state.current()["healthy"] or time.monotonic() > deadline:
                return state
        elif time.monotonic() > deadline:
            raise UnavailableError(f"the supervisor says nothing; see {settings.home / 'logs'}")
        time.sleep(LOOK_SECONDS)


def _show(state: State, as_json: bool) -> None:
    current = state.current()
    if as_json:
        print_json(current)
        return
    made = table("service", "state", "pid", "memory", "since", "checked", "address", right=("pid", "memory"))
    for row in current["services"]:
        made.add_row(
            row["name"],
            row["state"],
            str(row["pid"] or ""),
            f"{row['memory'] / MIB:,.0f} MiB" if row["memory"] else "",
            _ago(row["since"]),
            _ago(row["checked"]),
            row["url"] or "",
            style=COLOURS.get(row["state"]),
        )
    console().print(made)
    for row in current["services"]:
        if row["message"] and row["state"] != "healthy":
            print(f"{row['name']}: {row['message']}; see {row['log']}")
    if not current["up"]:
        print("the supervisor does not run; `thalweg up` starts it")
    else:
        print(f"logs and tokens: {Path(current['services'][0]['log']).parent.parent}")


def _ago(time_text: Any) -> str:
    if not time_text:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(time_text)).total_seconds()
    return f"{duration(max(seconds, 0.0))} ago"
