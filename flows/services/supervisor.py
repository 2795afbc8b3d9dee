"""The one process that starts the services, looks after them, and ends them: `thalweg up`.

A service that ends, or that does not answer three times in a row, is started again: after a second, then
two, four, up to a minute; the count begins anew when it has been well for five minutes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from thalweg.flows.services import processes
from thalweg.flows.services.catalogue import Service, ray_folder, services
from thalweg.flows.services.kept_service import STOP_SECONDS, KeptService, over_full_disk
from thalweg.flows.services.processes import Process
from thalweg.flows.services.settings import Settings, read
from thalweg.flows.services.state import State, mark_of, now, read_state
from thalweg.flows.services.tokens import make_tokens

TICK_SECONDS = 0.5


class AlreadyUpError(RuntimeError):
    """Another supervisor has the folder."""


@contextmanager
def only_supervisor(home: Path) -> Iterator[None]:
    """Hold the folder.

    Raises
    ------
    AlreadyUpError
        When another holds it.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyUpError(f"{home}: is up already") from None
        yield


class Supervisor:
    """All services of one folder."""

    def __init__(self, settings: Settings, wanted: Sequence[Service]) -> None:
        self.settings = settings
        self.keepers = [KeptService(service, settings) for service in wanted]
        process = Process.of(os.getpid())
        assert process is not None
        content = {**asdict(settings), "home": str(settings.home)}
        self.state = State(process, now(), content, [keeper.state for keeper in self.keepers])
        self.stopping = False
        self.prepared = False

    def run(self) -> None:
        """Keep the services until a signal comes."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        sweep(self.settings.home)
        try:
            while not self.stopping:
                healthy = {each.state.name for each in self.keepers if each.state.state == "healthy"}
                for keeper in self.keepers:
                    if not self.stopping:
                        with over_full_disk():
                            keeper.tick(healthy)
                with over_full_disk():
                    self._prepare(healthy)
                    self.state.write(self.settings.home)
                time.sleep(TICK_SECONDS)
        finally:
            self.end()

    def _prepare(self, healthy: set[str]) -> None:
        """Tell a Prefect server that has just come up what we expect of it."""
        if "worker" not in healthy:
            self.prepared = False
        elif not self.prepared:
            keeper = next(each for each in self.keepers if each.service.name == "worker")
            command = [sys.executable, "-m", "thalweg.flows.services.automations"]
            environment = {**os.environ, **keeper.service.environment}
            with keeper.log.open("ab") as stream:
                told = subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
                )
            threading.Thread(target=told.wait, daemon=True).start()
            self.prepared = True

    def end(self) -> None:
        """End all of them, the Prefect server last: the others tell it how they ended."""
        for keeper in sorted(self.keepers, key=lambda each: each.service.name == "prefect"):
            keeper.end(STOP_SECONDS)
            keeper.state.turn("stopped")
            with over_full_disk():
                self.state.write(self.settings.home)
        sweep(self.settings.home)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True


def sweep(home: Path) -> None:
    """End what was started for this folder and its supervisor could not end, and remove Ray's folder."""
    state = read_state(home)
    left = [each.process for each in state.services if each.process] if state else []
    processes.end([*left, *processes.marked(mark_of(home))], 5.0)
    shutil.rmtree(ray_folder(home), ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """Supervise until told to stop; the services to leave out are given."""
    settings = read()
    try:
        with only_supervisor(settings.home):
            tokens = make_tokens(settings.home)
            Supervisor(settings, services(settings, tokens, without=arguments)).run()
    except AlreadyUpError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
