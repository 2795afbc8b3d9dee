"""`thalweg schedule`: an ingest by the clock, one at a time, on a Prefect server."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import re
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from thalweg.flows import specfile
from thalweg.flows.ingestion import options_of, read_spec
from thalweg.flows.job_address import shown
from thalweg.flows.prefect_settings import HOME, prefect_settings
from thalweg.flows.server import Server, ServerError, server
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.runner import Runner
    from prefect.schedules import Schedule

SERVER_HOME = HOME.parent / "schedule"  # not the one of runs: its server lives long
PLAN_SECONDS = 60.0  # a server plans the runs of a new deployment within 5 s
# Each ingest says how it went in a line of our own, and one that was stopped leaves nothing that matters.
QUIET = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
}


def serve(path: Path, cron: str, timezone: str = "UTC", work: dict[str, Any] | None = None) -> int:
    """Ingest now, which makes up for what was missed, and then by the clock, until stopped.

    While one runs no other is started. The times that pass meanwhile are made up for by one after it.

    Parameters
    ----------
    path : as :func:`thalweg.flows.ingestion.read_spec` takes it.
    cron : five fields, such as ``0 3 * * *``.
    timezone : of the cron line, such as ``Europe/Zurich``.
    work : parameters of :func:`thalweg.flows.services.work.scheduled_work`, to do that instead.

    Raises
    ------
    InputError
        When the file, the cron line or the time zone is wrong.
    ServerError
        When the Prefect server does not answer, or plans nothing.
    """
    if work is None:
        options_of(read_spec(path))
    schedule = make_schedule(cron, timezone)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with server(SERVER_HOME, scheduler=True) as prefect_server:
        prefect_server.wait()
        with prefect_settings(prefect_server, SERVER_HOME):
            return asyncio.run(_serve(path, schedule, prefect_server, work))


def make_schedule(cron: str, timezone: str) -> Schedule:
    """Give Prefect's schedule.

    Raises
    ------
    InputError
        When the cron line or the time zone is wrong.
    """
    from prefect.schedules import Cron
    from prefect.server.schemas.schedules import CronSchedule

    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise InputError(f"--timezone {timezone}: unknown; write one such as Europe/Zurich") from None
    try:
        following = asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(1))
    except ValueError:
        following = []
    if not following or len(cron.split()) != 5:
        raise InputError(f'--cron "{cron}": wrong; write five fields, such as "0 3 * * *"')
    return Cron(cron, timezone=timezone)


def deployment_name(path: Path) -> str:
    """Give the name that a file's deployment has on a server: another one for the same name elsewhere.

    It is the name in the file, as of an experiment, where it has one: those from the dashboard are all called
    `experiment.yaml`.
    """
    try:
        name = specfile.read(path).content.get("name")
    except InputError:
        name = None
    said = name if isinstance(name, str) and name else path.stem
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', said)}-{place_digest(path)}"


def place_digest(path: Path) -> str:
    """Give what the names of all deployments of a file end with, whatever is in the file."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]


async def _serve(path: Path, schedule: Schedule, prefect_server: Server, work: dict[str, Any] | None) -> int:
    """Serve the flow until a signal comes, and give the exit code."""
    from prefect import get_client
    from prefect.runner import Runner
    from prefect.types.entrypoint import EntrypointType

    flow, parameters = _flow_and_parameters(path, work)
    name = deployment_name(path)
    runner = Runner(name=name, limit=1)
    deployment = await runner.aadd_flow(
        flow,
        name=name,
        schedules=[schedule],
        paused=False,
        parameters=parameters,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    async with get_client() as client:
        following = await first_planned(client, deployment, prefect_server.url, prefect_server.log)
        await client.create_flow_run_from_deployment(deployment)
    local = following.astimezone(ZoneInfo(schedule.timezone or "UTC"))
    print(f"{path}: now, and next at {local:%Y-%m-%d %H:%M %Z}; Ctrl-C ends it", file=sys.stderr, flush=True)
    return await _until_stopped(runner)


async def _until_stopped(runner: Runner) -> int:
    """Run until a signal comes, and give the exit code; an ingest under way is killed, without harm."""
    running = asyncio.create_task(runner.start())
    await asyncio.sleep(0)  # it has set a handler of its own, which waits for the ingest
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        for child in multiprocessing.active_children():
            child.kill()
        running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    with suppress(asyncio.CancelledError):
        await running
    return 128 + came[0] if signal.SIGTERM in came else 0


def _flow_and_parameters(path: Path, work: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
    if work is None:
        from thalweg.flows.scheduled import scheduled_ingest

        return scheduled_ingest, {"spec": str(path), "directory": str(Path.cwd())}
    from thalweg.flows.services.work import scheduled_work

    return scheduled_work, work


async def first_planned(client: PrefectClient, deployment: UUID, url: str, log: Path) -> datetime:
    """Give the time of the first run that the server has planned.

    A server whose scheduler does not work says so in its log alone: nothing would ever be ingested.

    Raises
    ------
    ServerError
        When it plans nothing within a minute.
    """
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    planned = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [deployment]},
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"after_": datetime.now(UTC)},
        }
    )
    deadline = time.monotonic() + PLAN_SECONDS
    while time.monotonic() < deadline:
        runs = await client.read_flow_runs(
            flow_run_filter=planned, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=1
        )
        if runs and runs[0].expected_start_time is not None:
            return runs[0].expected_start_time
        await asyncio.sleep(0.5)
    raise ServerError(f"the Prefect server at {shown(url)} plans no runs; see {log}")
