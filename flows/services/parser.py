"""The options of the commands that run services and schedules."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from thalweg.flows.services.settings import LOOPBACK, PORTS, SERVICES, VARIABLES

Command = Callable[[str, str], argparse.ArgumentParser]
Add = Callable[[argparse.ArgumentParser], None]


def add_service_commands(command: Command, add_json: Add, add_runs: Add) -> None:
    """Add `up`, `down`, `status`, `schedule`, `metrics` and `doctor`."""
    added = command(
        "up", "start a Prefect server, a worker, a Ray head, the dashboard and metrics, and look after them"
    )
    added.add_argument(
        "--without", action="append", default=[], choices=SERVICES, help="leave one out; may be given again"
    )
    added.add_argument(
        "--foreground", action="store_true", help="stay, for systemd or a container; SIGTERM ends all"
    )
    added.epilog = "Environment: " + "; ".join(f"{name}: {text}" for name, text in VARIABLES.items()) + "."
    add_json(added)

    added = command("down", "end what `thalweg up` started, and nothing else")
    added = command("status", "show how each service of `thalweg up` does; 1 when one is not well")
    added.add_argument(
        "--env",
        action="store_true",
        help="print what `prefect`, `ray` and `thalweg jobs` have to know: eval $(thalweg status --env)",
    )
    add_json(added)

    added = command("schedule", "run an experiment, an ingest or a nightly chain by the clock")
    added.description = (
        "Make a deployment on the Prefect server of `thalweg up` or of PREFECT_API_URL. Where there is none, "
        "or with --here: do it now and then by the clock in this process, one at a time, until stopped."
    )
    added.add_argument(
        "spec", type=Path, metavar="SPEC", help="a YAML file: of an experiment, an ingest or a nightly chain"
    )
    added.add_argument("--cron", metavar="LINE", help='such as "0 3 * * *": at 3:00 each day')
    added.add_argument("--timezone", default="UTC", help="such as Europe/Zurich (default: UTC)")
    added.add_argument(
        "--ingest", action="store_true", help="of an experiment: only bring its store up to date"
    )
    added.add_argument("--force", action="store_true", help="of an experiment: replace runs on older data")
    added.add_argument("--here", action="store_true", help="in this process, also where there is a server")
    added.add_argument("--work-pool", metavar="NAME", help="(default: THALWEG_WORK_POOL, or thalweg)")
    added.add_argument(
        "--time-limit",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="after which a run is ended (default: 24)",
    )
    added.add_argument("--remove", action="store_true", help="delete the deployment instead of making it")
    add_runs(added)
    add_json(added)

    added = command("metrics", "serve how runs, stores and services do, for Prometheus")
    added.add_argument("--host", default=LOOPBACK, help=f"address to listen on (default: {LOOPBACK})")
    added.add_argument("--port", type=port, default=PORTS["metrics"][1], help="(default: %(default)s)")
    added.add_argument("--once", action="store_true", help="print them and end")
    added.add_argument(
        "--keep", action="store_true", help="start flow runs again that were killed; on one machine alone"
    )
    add_runs(added)

    added = command("doctor", "check the installation, this machine and what it reaches, and say what to do")
    add_json(added)


def port(text: str) -> int:
    """Read the number of a port."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r}: is no port; take one from 1 to 65535")
    return int(text)
