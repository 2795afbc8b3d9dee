"""`thalweg dashboard`: serve the web page, on this machine or for others."""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from thalweg.flows.services.settings import is_loopback as is_loopback  # the page takes it from here
from thalweg.flows.services.settings import listening
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.run_mirror import tables

ADDRESS = "127.0.0.1"
WAIT_SECONDS = 60.0
STOP_SECONDS = 5.0
# threads of sessions share heaps, and what is let go is given back: half of the memory of many sessions
MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "MALLOC_TRIM_THRESHOLD_": "262144",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
FOLLOW_SECONDS = 15.0  # between looks at runs in an object store

TOKEN = "THALWEG_DASHBOARD_TOKEN"
"""With this token people log in."""
SUBMIT = "THALWEG_DASHBOARD_SUBMIT"
"""`1`: experiments may be started from the page."""
PUBLIC = "THALWEG_DASHBOARD_PUBLIC"
"""`1`: whoever reaches the page may read it."""
SUBMITTERS = "THALWEG_DASHBOARD_SUBMITTERS"
"""Who of those that log in by OIDC may submit: addresses with commas between, `*@lab.org` for all of it."""
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Sharing:
    """Where the page is served, and what visitors may do.

    Attributes
    ----------
    host : the address to listen at.
    submit : whether experiments may be started from the page.
    public : whether whoever reaches it may read it.
    url : as others see it, where a proxy is in front.
    """

    host: str = ADDRESS
    submit: bool = False
    public: bool = False
    url: str | None = None


def serve(
    runs: Path, port: int | None = None, *, browser: bool = True, sharing: Sharing | None = None
) -> int:
    """Serve the dashboard over a folder of runs until it is stopped.

    Parameters
    ----------
    port : the next free one from 8501 on, if absent.

    Raises
    ------
    InputError
        When the dashboard is not installed, the port is taken, or others could reach it without a login.
    """
    sharing = sharing or Sharing()
    for name in ("streamlit", "plotly"):
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"the dashboard needs {name}, which is not installed: pip install 'thalweg[dashboard]'"
            )
    _refuse_open_doors(sharing)
    port = _free_port(port, sharing.host)
    near = ADDRESS if sharing.host in ("0.0.0.0", "::", "localhost") else sharing.host
    url = f"http://{f'[{near}]' if ':' in near else near}:{port}"
    run_sharing.pull(runs, tables)
    allowed = {SUBMIT: "1" if sharing.submit else "", PUBLIC: "1" if sharing.public else ""}
    with _signals() as asked:
        process = subprocess.Popen(
            _command(port, browser, sharing),
            env={**MEMORY, **os.environ, "THALWEG_RUNS": str(runs.resolve()), **allowed},
            stdout=subprocess.DEVNULL,
        )
        try:
            if _answers(f"{url}/_stcore/health", process, asked):
                place = run_sharing.named(runs)
                print(f"dashboard of {place} at {sharing.url or url}  (Ctrl-C stops it)", flush=True)
            with run_sharing.following(runs, tables, FOLLOW_SECONDS):
                while process.poll() is None and not asked:
                    time.sleep(0.1)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if signal.SIGTERM in asked:
        return 128 + signal.SIGTERM
    return 0 if asked else process.returncode


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Note the signals to stop, until the end of the block: Python loses exceptions within a callback."""
    asked: list[int] = []
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in the background of a script
            before[number] = signal.signal(number, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse_open_doors(sharing: Sharing) -> None:
    """Raise :class:`InputError` where others could read without a login that nobody allowed."""
    token = os.environ.get(TOKEN, "")
    if token and len(token) < SHORTEST_TOKEN:
        raise InputError(
            f"{TOKEN}: is too short ({len(token)} characters): take {SHORTEST_TOKEN} or more, such as what "
            "`openssl rand -hex 24` prints"
        )
    if is_loopback(sharing.host) or sharing.public or token or _has_oidc():
        return
    listening(sharing.host)  # what is no host at all is told as such
    raise InputError(
        f"--host {sharing.host}: others could read all results: set {TOKEN}, or [auth] in "
        ".streamlit/secrets.toml, so that they log in; or allow it with --public"
    )


def _has_oidc() -> bool:
    """Tell whether Streamlit's secrets name an identity provider."""
    for folder in (Path.cwd(), Path.home()):
        try:
            secrets = tomllib.loads((folder / ".streamlit" / "secrets.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if "auth" in secrets:
            return True
    return False


def _command(port: int, browser: bool, sharing: Sharing) -> list[str]:
    package = importlib.util.find_spec("thalweg.dashboard")
    assert package is not None
    assert package.origin is not None
    options = {
        "server.address": sharing.host,
        "server.port": str(port),
        "server.headless": str(not browser).lower(),
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": "false",  # which Streamlit asks for at its first start, and ends without
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
    }
    if sharing.url:
        parts = urlsplit(sharing.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"--url {sharing.url}: no address; write one such as https://thalweg.lab.org")
        options["browser.serverAddress"] = parts.hostname
        options["server.corsAllowedOrigins"] = f"{parts.scheme}://{parts.netloc}"
    app = Path(package.origin).with_name("app.py")
    command = [sys.executable, "-m", "thalweg.dashboard.server", "run", str(app)]
    for key, value in options.items():
        command += [f"--{key}", value]
    return command


def _free_port(wanted: int | None, host: str) -> int:
    candidates = [wanted] if wanted is not None else range(8501, 8601)
    family, place = listening(host)
    for port in candidates:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((place, port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise InputError(f"--host {host}: is no address of this machine") from None
                continue
            return port
    raise InputError(
        f"port {wanted} is taken: give another with --port" if wanted else "no free port: give --port"
    )


def _answers(url: str, process: subprocess.Popen[bytes], asked: list[int]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while process.poll() is None and not asked and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except OSError:
            time.sleep(0.2)
    return False
