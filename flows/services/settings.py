"""Ports, environment variables and places of what `thalweg up` starts; deployments elsewhere use the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from socket import SOCK_STREAM, AddressFamily, getaddrinfo

from thalweg.storage.errors import InputError

LOOPBACK = "127.0.0.1"

# name of the service: (environment variable, default port)
PORTS: Mapping[str, tuple[str, int]] = {
    "prefect": ("THALWEG_PREFECT_PORT", 4200),
    "ray": ("THALWEG_RAY_PORT", 6379),
    "ray-dashboard": ("THALWEG_RAY_DASHBOARD_PORT", 8265),
    "dashboard": ("THALWEG_DASHBOARD_PORT", 8501),
    "metrics": ("THALWEG_METRICS_PORT", 9464),
}

# what each of our own variables says
VARIABLES: Mapping[str, str] = {
    "THALWEG_SERVICES": "folder of `thalweg up`: state, logs, tokens, Prefect's database",
    "THALWEG_HOST": "address that the servers of `thalweg up` listen on",
    **{variable: f"port of {name}" for name, (variable, _) in PORTS.items()},
    "THALWEG_WORK_POOL": "Prefect work pool of `thalweg schedule` and of the worker of `thalweg up`",
    "THALWEG_RUNS": "folder of all runs, or s3://bucket/prefix",
    "THALWEG_SCRATCH": "folder for copies of runs that are in object storage",
    "THALWEG_CACHE": "folder of compiled kernels",
    "THALWEG_DASHBOARD_TOKEN": "token that the dashboard wants before it lets anybody submit",
    "THALWEG_METRICS_TOKEN": "token that the metrics want from whoever asks",
    "THALWEG_LOG_FORMAT": "`json`: one JSON object a line on standard error, of what begins, ends and fails",
    "THALWEG_LOG_FILE": "file to which the same lines are added, from all processes",
    "THALWEG_NOTIFY_URL": "web address that is posted JSON when a scheduled run fails or models drift",
    "THALWEG_JOB": "id of the Ray job that a process belongs to; set by `thalweg submit`",
    "THALWEG_FLOW_RUN": "id of the scheduled flow run that a process belongs to; set by it",
    "THALWEG_SERVICE": "which service of which `thalweg up` a process belongs to; set by it",
}

# variables of others that `thalweg up`, `schedule` and `submit` read
FOREIGN_VARIABLES: Mapping[str, str] = {
    "PREFECT_API_URL": "a Prefect server that is there already, such as http://prefect:4200/api",
    "PREFECT_API_AUTH_STRING": "what clients show that server, `user:password`",
    "PREFECT_SERVER_API_AUTH_STRING": "what a Prefect server wants to be shown",
    "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://..., instead of SQLite in the folder",
    "RAY_ADDRESS": "a Ray cluster that this machine belongs to, HEAD:6379",
    "RAY_API_SERVER_ADDRESS": "the dashboard of a Ray cluster, http://HEAD:8265: scheduled runs go there",
    "RAY_AUTH_MODE": "`token`: Ray wants a token",
    "RAY_AUTH_TOKEN": "that token",
    "RAY_AUTH_TOKEN_PATH": "or a file that holds it",
}

HOME = Path(".thalweg") / "services"
WORK_POOL = "thalweg"
SERVICES = ("prefect", "worker", "ray", "dashboard", "metrics")

# where each server tells that it is well
HEALTH_PATHS: Mapping[str, str] = {
    "prefect": "/api/health",
    "ray-dashboard": "/api/version",
    "dashboard": "/_stcore/health",
    "metrics": "/health",
}
METRICS_PATH = "/metrics"


@dataclass(frozen=True)
class Settings:
    """Where services keep their things and listen.

    Attributes
    ----------
    home : folder of state, logs, tokens and database.
    runs : folder of all runs, absolute, or ``s3://bucket/prefix``.
    host : address that servers listen on.
    ports : by name, as in ``PORTS``.
    """

    home: Path
    runs: str
    host: str = LOOPBACK
    work_pool: str = WORK_POOL
    ports: Mapping[str, int] = field(default_factory=lambda: {name: each[1] for name, each in PORTS.items()})

    def url(self, name: str) -> str:
        """Give the address of a server as this machine reaches it."""
        host = LOOPBACK if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.ports[name]}"

    @property
    def api(self) -> str:
        """The address of Prefect's server for its clients."""
        return f"{self.url('prefect')}/api"


def read(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> Settings:
    """Give the settings of this directory and environment.

    Raises
    ------
    InputError
        When a port or the address is none.
    """
    host = environment.get("THALWEG_HOST", LOOPBACK)
    try:
        ip_address(host)
    except ValueError:
        raise InputError(f"THALWEG_HOST={host}: is no address: write one such as {LOOPBACK}") from None
    ports = {name: _port(environment, *each) for name, each in PORTS.items()}
    if len(set(ports.values())) < len(ports):
        named = ", ".join(f"{PORTS[name][0]}={port}" for name, port in ports.items())
        raise InputError(f"two services cannot have one port: {named}")
    runs = environment.get("THALWEG_RUNS") or "runs"
    return Settings(
        (home or Path(environment.get("THALWEG_SERVICES", HOME))).absolute(),
        runs if "://" in runs else str(Path(runs).absolute()),
        host,
        environment.get("THALWEG_WORK_POOL", WORK_POOL),
        ports,
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address or `localhost`; of other names that is not known."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listening(host: str) -> tuple[AddressFamily, str]:
    """Give the family and the address of a host to listen at.

    Raises
    ------
    InputError
        When it is no host.
    """
    try:
        family, _, _, _, place = getaddrinfo(host, None, type=SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise InputError(f"--host {host}: is no address of this machine") from None
    return family, str(place[0])


def _port(environment: Mapping[str, str], variable: str, default: int) -> int:
    text = environment.get(variable, str(default))
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise InputError(f"{variable}={text}: is no port: write a number from 1 to 65535")
    return int(text)
