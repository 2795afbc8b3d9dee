"""A lab in a folder of its own: `thalweg up` on free ports, schedules, and a second Ray node."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import yaml

from thalweg.flows.services import settings
from thalweg.flows.services.catalogue import clients, ray_folder
from thalweg.flows.services.health import basic, bearer
from thalweg.flows.services.processes import PROC, Process, end, family, marked
from thalweg.flows.services.state import mark_of
from thalweg.flows.services.tokens import authorization, make_tokens, read_token

MARK = "SOAK_RUN"  # in the environment of all that we start
FOREIGN = ("PREFECT_", "RAY_", "THALWEG_")
COMMAND_SECONDS = 420.0
RESTART_SECONDS = 2.0  # before the second node is started again
INGEST = {
    "store": "disk/rivers.zarr",
    "source": {
        "kind": "csv_stations",
        "path": "source/observed/{site}.csv",
        "stations": "source/stations.csv",
        "variables": {
            name: name
            for name in ("precipitation", "temperature", "potential_evapotranspiration", "discharge")
        },
    },
}
EXPERIMENT: dict[str, Any] = {
    "name": "rivers",
    "data": {"store": INGEST["store"]},
    "splits": [
        {"kind": "temporal", "train": ["2001-01-01", "2001-12-31"], "test": ["2002-01-01", "2002-12-31"]}
    ],
    "models": {
        "physics": {"kind": "calibrated", "process": "hbv"},
        "climatology": {"kind": "climatology"},
    },
    "training": {"epochs": 2, "window": 90, "warmup": 90},
}


class CommandError(RuntimeError):
    """A command did not end as it should."""


class Lab:
    """The folder, its services, and the commands that a person would type in it.

    Parameters
    ----------
    folder : empty; `disk` in it holds store and runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = folder / "disk"
        self.disk.mkdir(exist_ok=True)
        given = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
        ports = free_ports(len(settings.PORTS))
        self.environment = {
            **given,
            **{
                variable: str(port)
                for (variable, _), port in zip(settings.PORTS.values(), ports, strict=True)
            },
            "THALWEG_SERVICES": str(folder / "services"),
            "THALWEG_RUNS": str(self.disk / "runs"),
            "OMP_NUM_THREADS": "1",
            MARK: folder.name,
        }
        self.settings = settings.read(self.environment)
        self.mark = mark_of(self.settings.home)
        self.store, self.runs = folder / str(INGEST["store"]), self.disk / "runs"
        for name, content in (("ingest", INGEST), ("experiment", EXPERIMENT)):
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def thalweg(self, *words: str, codes: tuple[int, ...] = (0,), connected: bool = False) -> str:
        """Run a command; gives what it printed.

        Parameters
        ----------
        connected : with what `thalweg status --env` prints, as a shell has it that uses the services.

        Raises
        ------
        CommandError
            When it ends with another exit code.
        """
        done = subprocess.run(
            [sys.executable, "-m", "thalweg.flows.cli", *words],
            cwd=self.folder,
            env={**self.environment, **(self.connection() if connected else {})},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        if done.returncode not in codes:
            raise CommandError(
                f"thalweg {' '.join(words)}: exit code {done.returncode}: {done.stderr[-600:]}"
            )
        return done.stdout if done.returncode == 0 or "--json" in words else done.stdout + done.stderr

    def connection(self) -> dict[str, str]:
        """Give where the services are, with their tokens."""
        return clients(self.settings, make_tokens(self.settings.home))

    def status(self) -> dict[str, Any]:
        """Give what `thalweg status --json` says, by the name of the service."""
        said = json.loads(self.thalweg("status", "--json", codes=(0, 1)))
        return {**said, "services": {each["name"]: each for each in said["services"]}}

    def prefect(self, path: str, content: object) -> Any:
        """Ask the Prefect server."""
        token = authorization(read_token(self.settings.home, "prefect"))
        return ask(f"{self.settings.api}/{path}", basic(token), content)

    def nodes(self) -> set[str]:
        """Give the nodes of the Ray cluster that are alive."""
        token = read_token(self.settings.home, "ray")
        url = f"{self.settings.url('ray-dashboard')}/nodes?view=summary"
        found = ask(url, bearer(token))["data"]["summary"]
        return {each["raylet"]["nodeId"] for each in found if each["raylet"].get("state") == "ALIVE"}

    def left(self) -> list[str]:
        """Give the processes that we started, or that were started by those, and that still run."""
        found = []
        entry = f"{MARK}={self.folder.name}".encode()
        for folder in PROC.glob("[0-9]*"):
            with suppress(OSError):
                if entry in (folder / "environ").read_bytes().split(b"\0"):
                    words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    found.append(f"{folder.name} {' '.join(words)[:100]}")
        mine = str(os.getpid())
        return [each for each in found if each.split()[0] != mine]

    def clean(self) -> None:
        """End whatever is left, and delete what lies outside of the folder."""
        with suppress(Exception):
            self.thalweg("down")
        left = [Process.of(int(each.split()[0])) for each in self.left()]
        end([process for process in left if process], 5.0)
        shutil.rmtree(ray_folder(self.settings.home), ignore_errors=True)


class SecondNode(threading.Thread):
    """A Ray node beside the head; it is started again when it has ended, as an init system would."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True, name="second-node")
        self.lab, self.over = lab, threading.Event()
        self.popen: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Keep it until told to stop."""
        ray = Path(sys.executable).with_name("ray")
        home = self.lab.settings.home
        environment = {
            **self.lab.environment,
            **self.lab.connection(),
            "THALWEG_SERVICE": f"{self.lab.mark}-second/ray",
            "SPT_NOENV": "1",
            "RAY_enable_metrics_collection": "0",
            # a head is not started anew where Ray sees a node of the old one, which it does on one machine
            "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
            "PATH": f"{ray.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        head = f"{settings.LOOPBACK}:{self.lab.settings.ports['ray']}"
        command = [str(ray), "start", "--block", "--address", head, "--num-cpus", "1"]
        command += ["--node-ip-address", settings.LOOPBACK, "--object-store-memory", str(80 * 2**20)]
        command += ["--disable-usage-stats", "--dashboard-agent-listen-port", "0"]
        command += ["--min-worker-port", "0", "--max-worker-port", "0"]
        with (home / "logs" / "second-node.log").open("ab") as log:
            while not self.over.is_set():
                self.popen = subprocess.Popen(
                    command,
                    env=environment,
                    cwd=self.lab.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                while self.popen.poll() is None and not self.over.wait(0.5):
                    pass
                self._end()
                self.over.wait(RESTART_SECONDS)

    def kill(self) -> str:
        """Kill it outright, with its workers."""
        assert self.popen is not None
        found = [*family(self.popen.pid), *marked(f"{self.lab.mark}-second/ray")]
        for process in found:
            process.send(signal.SIGKILL)
        return f"{len(set(found))} processes"

    def stop(self) -> None:
        """End it for good."""
        self.over.set()
        self.join(30.0)

    def _end(self) -> None:
        assert self.popen is not None
        end([*family(self.popen.pid), *marked(f"{self.lab.mark}-second/ray")], 5.0)
        self.popen.wait()


def ask(url: str, headers: dict[str, str], content: object = None) -> Any:
    """Give what a web server answers, from JSON."""
    body = None if content is None else json.dumps(content).encode()
    kind = {"Content-Type": "application/json"} if body else {}
    request = urllib.request.Request(url, data=body, headers={**kind, **headers})
    with urllib.request.urlopen(request, timeout=20.0) as answer:
        return json.loads(answer.read())


def free_ports(count: int) -> list[int]:
    """Give TCP ports of this machine that nobody listens at."""
    with ExitStack() as stack:
        made = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in made:
            each.bind((settings.LOOPBACK, 0))
        return [each.getsockname()[1] for each in made]


def wait_until(true: Any, seconds: float, pause: float = 1.0) -> bool:
    """Wait until something is true; an error counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(Exception):
            if true():
                return True
        time.sleep(pause)
    return False
