"""What Prefect is told in this process: where its server is, and to keep the terminal free."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg.flows.server import SETTINGS, Server, configured_url

HOME = Path(".thalweg") / "prefect"


@contextmanager
def prefect_settings(prefect_server: Server, home: Path) -> Iterator[None]:
    """Let Prefect talk to the server, and write its log to a file rather than the terminal."""
    private = configured_url() is None
    for key in ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED"):
        os.environ.setdefault(key, SETTINGS[key])
    if private:
        os.environ.setdefault("PREFECT_HOME", str(home.resolve()))
    from prefect import settings
    from prefect.logging.configuration import setup_logging

    changes: dict[Any, Any] = {settings.PREFECT_API_URL: prefect_server.url}
    if private:
        # its log would go to a server that nobody can look at, and is gone before the log is sent
        changes[settings.PREFECT_LOGGING_TO_API_ENABLED] = False
    with settings.temporary_settings(changes):
        setup_logging()
        home.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(home / "flow.log")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logger = logging.getLogger("prefect")
        before = logger.propagate
        logger.addHandler(handler)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = before
            handler.close()


def settle(seconds: float = 10.0) -> None:
    """Wait until Prefect has sent what it has to say; to be called before its server is stopped.

    It would else try to reach the server that is gone, for minutes, when the process ends.
    """
    from prefect.events.worker import EventsWorker

    EventsWorker.drain_all(timeout=seconds)
