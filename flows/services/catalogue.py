"""The services of `thalweg up`: how each is started, where it listens, and how one sees that it is well."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thalweg.flows.cluster import ENVIRONMENT as RAY_ENVIRONMENT
from thalweg.flows.cluster import OBJECT_STORE_BYTES
from thalweg.flows.services import health
from thalweg.flows.services.keeper import HEARTBEAT_SECONDS
from thalweg.flows.services.settings import HEALTH_PATHS, LOOPBACK, SERVICES, Settings, is_loopback
from thalweg.flows.services.state import State, mark_of
from thalweg.flows.services.tokens import NAMES, authorization, read_token, token_file
from thalweg.storage.errors import InputError

# Nothing is sent to anybody.
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PYTHONUNBUFFERED": "1",
}

RAY_MODULE = "thalweg.flows.services.ray_head"  # named, since importing it takes a second


@dataclass(frozen=True)
class Service:
    """One service.

    Attributes
    ----------
    environment : what it has beyond that of `thalweg up` itself.
    check : returns when it is well, else raises :class:`thalweg.flows.services.health.UnhealthyError`.
    ports : names of the ports that it listens on, the one for people first.
    after : services that have to be well before it is started.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    check: health.Check
    ports: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def services(
    settings: Settings,
    tokens: Mapping[str, str],
    environment: Mapping[str, str] = os.environ,
    without: Sequence[str] = (),
) -> list[Service]:
    """Give the services to start, in this order.

    A Prefect server or a Ray cluster that the environment names is used, and none is started.

    Raises
    ------
    InputError
        When a service is unknown, or would be open to other machines without a token.
    """
    for name in without:
        if name not in SERVICES:
            raise InputError(f"--without {name}: unknown; there are {', '.join(SERVICES)}")
    left_out = set(without)
    if environment.get("PREFECT_API_URL"):
        left_out.add("prefect")
    if environment.get("RAY_API_SERVER_ADDRESS"):
        left_out.add("ray")
    shared = {**QUIET, **clients(settings, tokens, environment, left_out)}
    made = [
        _prefect(settings, tokens),
        _worker(settings, shared, "prefect" not in left_out),
        _ray(settings, tokens),
        _dashboard(settings, tokens),
        _metrics(settings, tokens),
    ]
    # a job on the cluster must not depend on the Prefect server: the flow that submitted it tells that
    of_ray = {name: text for name, text in shared.items() if not name.startswith("PREFECT_")}
    return [
        Service(
            **{
                **vars(each),
                "environment": {
                    **(of_ray if each.name == "ray" else shared),
                    **each.environment,
                    **_marks(settings, each),
                },
            }
        )
        for each in made
        if each.name not in left_out
    ]


def clients(
    settings: Settings,
    tokens: Mapping[str, str],
    environment: Mapping[str, str] = os.environ,
    without: set[str] | frozenset[str] = frozenset(),
) -> dict[str, str]:
    """Give the environment of those who use the services: where they are, and the tokens."""
    found = {
        "THALWEG_SERVICES": str(settings.home),
        "THALWEG_RUNS": settings.runs,
        "THALWEG_WORK_POOL": settings.work_pool,
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_API_URL": environment.get("PREFECT_API_URL", settings.api).rstrip("/"),
    }
    if "prefect" not in without:
        found["PREFECT_API_AUTH_STRING"] = authorization(tokens["prefect"])
    if "ray" not in without:
        found["RAY_API_SERVER_ADDRESS"] = settings.url("ray-dashboard")
        found["RAY_AUTH_MODE"] = "token"
        found["RAY_AUTH_TOKEN_PATH"] = str(token_file(settings.home, "ray"))
        found["RAY_AUTH_TOKEN"] = ""  # one of another cluster would go before the file
    return found


def clients_of(state: State) -> dict[str, str]:
    """Give the environment of those who use what was started, wherever that is by now said to be.

    Raises
    ------
    InputError
        When a token is gone, or what is written down is not of `thalweg up`.
    """
    try:
        settings = Settings(**{**state.settings, "home": Path(state.settings["home"])})
    except (KeyError, TypeError) as error:
        raise InputError(f"state.json: is not what `thalweg up` writes: {error!r}; delete it") from None
    left_out = set(SERVICES) - {each.name for each in state.services}
    tokens = {name: read_token(settings.home, name) for name in NAMES}
    found = clients(settings, tokens, {}, left_out)
    if "prefect" in left_out:  # another one is used, which the environment has to name
        del found["PREFECT_API_URL"]
    return found


def _marks(settings: Settings, service: Service) -> dict[str, str]:
    """Mark what a service starts as its own; jobs that the dashboard starts outlive it."""
    return (
        {} if service.name == "dashboard" else {"THALWEG_SERVICE": f"{mark_of(settings.home)}/{service.name}"}
    )


def _prefect(settings: Settings, tokens: Mapping[str, str]) -> Service:
    database = settings.home / "prefect" / "prefect.db"
    environment = {
        "PREFECT_SERVER_API_AUTH_STRING": authorization(tokens["prefect"]),
        "PREFECT_API_DATABASE_CONNECTION_URL": os.environ.get(
            "PREFECT_API_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{database}"
        ),
        # kept over a server that is killed: a run that holds a lease would be ended, a limit stay taken
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_UI_API_URL": "/api",  # of whatever address the browser came by
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    command = ["server", "start", "--host", settings.host, "--port", str(settings.ports["prefect"])]
    check = health.web(settings.url("prefect") + HEALTH_PATHS["prefect"])
    return Service("prefect", _prefect_command(*command), environment, check, ("prefect",))


def _worker(settings: Settings, shared: Mapping[str, str], own_server: bool) -> Service:
    name = f"{socket.gethostname()}-{mark_of(settings.home)[:6]}"
    command = ["worker", "start", "--pool", settings.work_pool, "--type", "process", "--name", name]
    command += ["--install-policy", "never"]
    environment = {
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "PREFECT_LOGGING_LEVEL": "INFO",
        "THALWEG_LOG_FILE": os.environ.get("THALWEG_LOG_FILE", str(settings.home / "logs" / "events.jsonl")),
    }
    token = shared.get("PREFECT_API_AUTH_STRING", os.environ.get("PREFECT_API_AUTH_STRING", ""))
    check = health.worker(
        shared["PREFECT_API_URL"], settings.work_pool, name, health.basic(token) if token else {}
    )
    return Service(
        "worker", _prefect_command(*command), environment, check, after=("prefect",) if own_server else ()
    )


def _prefect_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "prefect", "--no-prompt", *words]


def _ray(settings: Settings, tokens: Mapping[str, str]) -> Service:
    """Give Ray's head. Its sockets need a short path; its own processes keep their mark with SPT_NOENV."""
    folder = ray_folder(settings.home)
    command = [
        *(sys.executable, "-P", "-m", RAY_MODULE, "start", "--head", "--block", "--disable-usage-stats"),
        *("--port", str(settings.ports["ray"]), "--temp-dir", str(folder / "r")),
        *("--include-dashboard", "true", "--dashboard-host", settings.host),
        *("--dashboard-port", str(settings.ports["ray-dashboard"]), "--dashboard-agent-listen-port", "0"),
        *("--min-worker-port", "0", "--max-worker-port", "0"),  # any that are free, not 10002 to 19999
        *("--object-store-memory", str(OBJECT_STORE_BYTES)),
    ]
    if is_loopback(settings.host):
        command += ["--node-ip-address", LOOPBACK]
    environment = {
        **RAY_ENVIRONMENT,
        # Ray would serve its metrics at all addresses without a token; there is no other way to have none
        "RAY_enable_metrics_collection": "0",
        "AUTOSCALER_METRIC_PORT": "-1",
        "DASHBOARD_METRIC_PORT": "-1",
        "SPT_NOENV": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "THALWEG_LOG_FILE": os.environ.get("THALWEG_LOG_FILE", str(settings.home / "logs" / "events.jsonl")),
    }
    check = health.web(
        settings.url("ray-dashboard") + HEALTH_PATHS["ray-dashboard"], health.bearer(tokens["ray"])
    )
    return Service("ray", command, environment, check, ("ray-dashboard", "ray"))


def ray_folder(home: Path) -> Path:
    """Give the folder, which nobody else enters, of Ray's sockets, logs and spilled objects."""
    return Path(tempfile.gettempdir()) / f"thalweg-ray-{mark_of(home)}"


def _dashboard(settings: Settings, tokens: Mapping[str, str]) -> Service:
    command = ["dashboard", "--no-browser", "--port", str(settings.ports["dashboard"])]
    command += ["--runs", settings.runs]
    if not is_loopback(settings.host):
        command += ["--host", settings.host]
    environment = {"THALWEG_DASHBOARD_TOKEN": os.environ.get("THALWEG_DASHBOARD_TOKEN", tokens["dashboard"])}
    check = health.web(settings.url("dashboard") + HEALTH_PATHS["dashboard"])
    return Service("dashboard", _own_command(*command), environment, check, ("dashboard",))


def _metrics(settings: Settings, tokens: Mapping[str, str]) -> Service:
    command = ["metrics", "--keep", "--host", settings.host, "--port", str(settings.ports["metrics"])]
    environment = {"THALWEG_METRICS_TOKEN": os.environ.get("THALWEG_METRICS_TOKEN", tokens["metrics"])}
    check = health.web(settings.url("metrics") + HEALTH_PATHS["metrics"])
    return Service("metrics", _own_command(*command), environment, check, ("metrics",))


def _own_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "thalweg.flows.cli", *words]
