"""One service of `thalweg up`: started, looked after, started again, and ended."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thalweg.flows.services import processes
from thalweg.flows.services.catalogue import Service
from thalweg.flows.services.health import UnhealthyError, UnknownHealthError
from thalweg.flows.services.processes import Process
from thalweg.flows.services.settings import Settings
from thalweg.flows.services.state import ServiceState, now
from thalweg.storage.atomic import out_of_room
from thalweg.storage.errors import InputError

STARTING_SECONDS, LOOK_SECONDS = 1.0, 10.0  # between looks at the health
START_SECONDS = 240.0  # within which a service has to be well; a cold Prefect took 20 s on a busy machine
BAD_LOOKS = 3
FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS = 1.0, 60.0, 300.0
STOP_SECONDS = 15.0
ERROR = re.compile(r"[\w.]*(Error|Exception)\b.*:|(ERROR|CRITICAL)\b")
LOG_BYTES = 20 * 2**20  # a longer log is put aside when its service is started


@contextmanager
def over_full_disk() -> Iterator[None]:
    """Go on where nothing can be written: services that run need not end for it."""
    try:
        yield
    except (OSError, InputError) as error:
        if not out_of_room(error):
            raise


class KeptService:
    """Keeps one service running."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service = service
        self.log = settings.home / "logs" / f"{service.name}.log"
        port = service.ports[0] if service.ports else None
        self.state = ServiceState(
            service.name,
            port=settings.ports[port] if port else None,
            url=settings.url(port) if port else None,
            log=str(self.log),
        )
        self.popen: subprocess.Popen[bytes] | None = None
        self.begun = self.looked = self.well = time.monotonic()
        self.pause, self.again, self.bad = FIRST_PAUSE, 0.0, 0

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C is for the supervisor."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            os.replace(self.log, self.log.with_suffix(".log.1"))
        with self.log.open("ab") as stream:
            stream.write(f"--- {now()} {' '.join(self.service.command)}\n".encode())
            stream.flush()
            self.popen = subprocess.Popen(
                self.service.command,
                env={**os.environ, **self.service.environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.state.process = Process.of(self.popen.pid)
        self.begun = time.monotonic()
        self.looked = self.bad = 0
        self.state.turn("starting")

    def tick(self, healthy: set[str]) -> None:
        """Start it when its time has come, see that it runs, and look at its health now and then."""
        moment = time.monotonic()
        if self.popen is None:
            if moment >= self.again and healthy.issuperset(self.service.after):
                self.start()
        elif self.popen.poll() is not None:
            self._again(f"ended with code {self.popen.returncode}: {last_line(self.log)}")
        elif moment - self.looked >= (LOOK_SECONDS if self.state.state == "healthy" else STARTING_SECONDS):
            self._look()

    def _look(self) -> None:
        try:
            self.service.check()
        except UnknownHealthError as problem:
            self.state.message = str(problem)
        except (UnhealthyError, ValueError, LookupError) as problem:
            self._unwell(str(problem))
        else:
            self.bad = 0
            if self.state.state != "healthy":
                self.well = time.monotonic()
            elif time.monotonic() - self.well > STEADY_SECONDS:
                self.pause = FIRST_PAUSE
            self.state.turn("healthy")
        self.looked, self.state.checked = time.monotonic(), now()

    def _unwell(self, problem: str) -> None:
        if self.state.state == "starting":
            self.state.message = problem
            if time.monotonic() - self.begun > START_SECONDS:
                self._again(f"was not well within {START_SECONDS:.0f} s: {problem}")
            return
        self.bad += 1
        self.state.turn("unhealthy", problem)
        if self.bad >= BAD_LOOKS:
            self._again(f"{problem} {self.bad} times")

    def _again(self, reason: str) -> None:
        """Have it started again after a pause."""
        with over_full_disk():
            print(f"{now()} {self.service.name}: {reason}; again in {self.pause:.0f} s", flush=True)
        self.end(STOP_SECONDS)
        self.state.turn("restarting", reason)
        self.state.restarts += 1
        self.again = time.monotonic() + self.pause
        self.pause = min(2 * self.pause, LONGEST_PAUSE)

    def end(self, patience: float) -> None:
        """End it and what it started.

        Runs that a worker began are left where it alone has ended: they report to the server by themselves.
        """
        if self.popen is None:
            return
        whole = processes.family(self.popen.pid)
        if self.service.name == "ray":
            whole += processes.marked(self.service.environment["THALWEG_SERVICE"])
        elif self.service.name != "worker":
            whole += processes.session(self.popen.pid)
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(patience)
        processes.end(whole, 3.0)
        self.popen.kill()
        self.popen.wait()
        self.popen = self.state.process = None


def last_line(log: Path) -> str:
    """Give the last line of a log that names an error, or else that says something."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 4000))
        lines = stream.read().decode(errors="replace").splitlines()
    said = [line.strip() for line in lines if any(each.isalnum() for each in line)]
    errors = [line for line in said if ERROR.match(line)]
    return (errors or said or ["it says nothing"])[-1][:300]
