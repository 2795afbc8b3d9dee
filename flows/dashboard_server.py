"""`thalweg dashboard`: serve the web page on this machine."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from thalweg.storage.errors import InputError

ADDRESS = "127.0.0.1"
WAIT_SECONDS = 60.0
STOP_SECONDS = 5.0


def serve(runs: Path, port: int | None = None, *, browser: bool = True) -> int:
    """Serve the dashboard over a folder of runs until it is stopped.

    Parameters
    ----------
    port : the next free one from 8501 on, if absent.

    Raises
    ------
    InputError
        When the dashboard is not installed, or the port is taken.
    """
    for name in ("streamlit", "plotly"):
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"the dashboard needs {name}, which is not installed: pip install 'thalweg[dashboard]'"
            )
    port = _free_port(port)
    url = f"http://{ADDRESS}:{port}"
    process = subprocess.Popen(
        _command(port, browser),
        env={**os.environ, "THALWEG_RUNS": str(runs.resolve())},
        stdout=subprocess.DEVNULL,
    )
    try:
        if _answers(f"{url}/_stcore/health", process):
            print(f"dashboard of {runs} at {url}  (Ctrl-C stops it)", flush=True)
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _command(port: int, browser: bool) -> list[str]:
    package = importlib.util.find_spec("thalweg.dashboard")
    assert package is not None
    assert package.origin is not None
    options = {
        "server.address": ADDRESS,
        "server.port": str(port),
        "server.headless": str(not browser).lower(),
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
    }
    app = Path(package.origin).with_name("app.py")
    command = [sys.executable, "-m", "streamlit", "run", str(app)]
    for key, value in options.items():
        command += [f"--{key}", value]
    return command


def _free_port(wanted: int | None) -> int:
    candidates = [wanted] if wanted is not None else range(8501, 8601)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
            return port
    raise InputError(
        f"port {wanted} is taken: give another with --port" if wanted else "no free port: give --port"
    )


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except OSError:
            time.sleep(0.2)
    return False
