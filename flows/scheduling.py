"""`thalweg schedule`: an ingest by the clock, one at a time, on a Prefect server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from thalweg.flows import worker
from thalweg.flows.ingestion import ingest_file, options_of, read_spec
from thalweg.flows.prefect_settings import HOME, prefect_settings
from thalweg.flows.server import server
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    from prefect.schedules import Schedule

SERVER_HOME = HOME.parent / "schedule"  # not the one of runs: its server lives long


def serve(path: Path, cron: str, timezone: str | None = None) -> int:
    """Ingest now, which makes up for what was missed, and then by the clock, until stopped.

    While one ingest runs no other is started. Times that pass meanwhile are made up for after it.

    Parameters
    ----------
    path : as :func:`thalweg.flows.ingestion.read_spec` takes it.
    cron : five fields, such as ``0 3 * * *``.
    timezone : such as ``Europe/Zurich``; UTC when None.

    Raises
    ------
    InputError
        When the file, the cron line or the time zone is wrong.
    """
    spec = read_spec(path)
    options_of(spec)
    schedule = _schedule(cron, timezone or "UTC")
    _ingest_now(path)
    with server(SERVER_HOME, scheduler=True) as prefect_server:
        prefect_server.wait()
        with prefect_settings(prefect_server, SERVER_HOME):
            from prefect.types.entrypoint import EntrypointType

            from thalweg.flows.scheduled import scheduled_ingest

            print(
                f"{path}: next at {_next(cron, timezone or 'UTC')}; Ctrl-C ends it",
                file=sys.stderr,
                flush=True,
            )
            scheduled_ingest.serve(
                name=path.stem,
                schedules=[schedule],
                limit=1,
                parameters={"spec": str(path), "directory": str(Path.cwd())},
                entrypoint_type=EntrypointType.MODULE_PATH,
                print_starting_message=False,
            )
    return 0


def _ingest_now(path: Path) -> None:
    """Ingest; a failure is told, and does not end the schedule: the next time may go well."""
    try:
        print(ingest_file(path).text(), flush=True)
    except Exception as error:
        print(worker.reason(error), file=sys.stderr, flush=True)


def _schedule(cron: str, timezone: str) -> Schedule:
    from prefect.schedules import Cron

    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError):
        raise InputError(f"--timezone {timezone}: unknown; write one such as Europe/Zurich") from None
    try:
        _next(cron, timezone)
    except ValueError:
        raise InputError(f'--cron "{cron}": wrong; write five fields, such as "0 3 * * *"') from None
    return Cron(cron, timezone=timezone)


def _next(cron: str, timezone: str) -> str:
    from prefect.server.schemas.schedules import CronSchedule

    following = asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(1))[0]
    return f"{following:%Y-%m-%d %H:%M} {timezone}"
