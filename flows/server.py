"""The Prefect server of one `thalweg run`: a private one on loopback, unless there is one already.

Prefect's own embedded server times out on a busy machine, so that runs fail for no reason of their
own; this one is waited for. It runs in a child process that ends when its parent does, however that
happens: the parent holds a pipe open, and the child leaves when the pipe closes.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.flows.job_address import shown

WAIT_SECONDS = 120.0  # a cold start took up to 20 s on two busy cores
STOP_SECONDS = 10.0

# Nothing is sent to anybody, and nothing runs that a single flow has no use for.
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT__SERVER_WEBSERVER_ONLY": "1",
    "PREFECT__SERVER_FINAL": "1",
}


class ServerError(RuntimeError):
    """The server did not come up; the message names the log."""


@dataclass
class Server:
    """A server that is starting or running."""

    url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def leave(self) -> None:
        """Let a server that was started here end; it is waited for where its context ends."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def wait(self) -> None:
        """Return when the server answers.

        Raises
        ------
        ServerError
            When it does not answer in time, or ended.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while not _healthy(self.url):
            if self.process is not None and self.process.poll() is not None:
                raise ServerError(
                    f"the Prefect server ended with code {self.process.returncode}; see {self.log}"
                )
            if time.monotonic() > deadline:
                where = f"; see {self.log}" if self.process else " (from PREFECT_API_URL)"
                raise ServerError(f"the Prefect server at {shown(self.url)} does not answer{where}")
            time.sleep(0.1)


def configured_url() -> str | None:
    """Give the address of the server that environment or Prefect profile name, or None."""
    if os.environ.get("PREFECT_API_URL"):
        return os.environ["PREFECT_API_URL"]
    profiles = Path(os.environ.get("PREFECT_HOME", Path.home() / ".prefect")) / "profiles.toml"
    if not profiles.exists():
        return None
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


@contextmanager
def server(home: Path, *, scheduler: bool = False) -> Iterator[Server]:
    """Give the configured server, or start a private one that is stopped at the end.

    It is still starting when the body begins: call ``wait`` before it is needed.

    Parameters
    ----------
    home : folder for its SQLite database and its log.
    scheduler : whether it shall start flow runs by the clock, too.
    """
    url = configured_url()
    if url:
        yield Server(url.rstrip("/"), home)
        return
    home.mkdir(parents=True, exist_ok=True)
    with _own_database(home) as database, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port = listener.getsockname()[1]
        log = home / f"{database.stem}.log"
        started = Server(f"http://127.0.0.1:{port}/api", log, _start(listener, database, log, scheduler))
        try:
            yield started
        finally:
            _stop(started)


@contextmanager
def _own_database(home: Path) -> Iterator[Path]:
    """Give a database file that no other server has open: the first that is free."""
    for number in range(1, 1000):
        lock = (home / f"server-{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        with lock:
            yield home / f"server-{number}.db"
            return
    raise ServerError(f"{home}: no free place for a Prefect server's database")


def _start(listener: socket.socket, database: Path, log: Path, scheduler: bool) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        **SETTINGS,
        "PREFECT_HOME": str(database.parent.resolve()),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database.resolve()}",
    }
    if scheduler:
        environment.pop("PREFECT__SERVER_WEBSERVER_ONLY", None)
    with log.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "thalweg.flows.server", str(listener.fileno())],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            pass_fds=[listener.fileno()],
            # Ctrl-C in the terminal must not end it before the flow has told it how it ended
            start_new_session=True,
        )


def _stop(started: Server) -> None:
    started.leave()
    if started.process is None:
        return
    try:
        started.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        started.process.kill()
        started.process.wait()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _serve(descriptor: int) -> None:
    """Run in the child: serve on the given socket until the parent closes the pipe."""
    serving: list[Any] = []

    def leave_with_parent() -> None:
        sys.stdin.buffer.read()
        for server in serving:
            server.should_exit = True
            time.sleep(STOP_SECONDS / 2)
        os._exit(0)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    webserver_only = "PREFECT__SERVER_WEBSERVER_ONLY" in os.environ
    app = create_app(final=True, webserver_only=webserver_only)
    serving.append(uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on")))
    serving[0].run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
