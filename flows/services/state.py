"""What the supervisor writes down, and what is true of it now."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thalweg.flows.services.processes import Process, family, memory
from thalweg.storage.atomic import write_text
from thalweg.storage.errors import InputError

FILE = "state.json"


def now() -> str:
    """Give the time as text, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class ServiceState:
    """How one service does.

    Attributes
    ----------
    state : ``waiting`` for another service, ``starting``, ``healthy``, ``unhealthy``, ``restarting`` (ended
        by itself, and is started again in a while), ``stopped``.
    process : while it runs.
    since : when this state began.
    restarts : how often it was started again.
    checked, message : when its health was last looked at, and what was found.
    """

    name: str
    state: str = "waiting"
    process: Process | None = None
    port: int | None = None
    url: str | None = None
    log: str = ""
    since: str = field(default_factory=now)
    restarts: int = 0
    checked: str | None = None
    message: str = ""

    def turn(self, state: str, message: str = "") -> None:
        """Note a state and why."""
        if state != self.state:
            self.state, self.since = state, now()
        self.message = message


@dataclass
class State:
    """The supervisor and its services."""

    process: Process
    since: str
    settings: dict[str, Any]
    services: list[ServiceState]

    def write(self, home: Path) -> None:
        """Put it into the folder, in one step."""
        write_text(home / FILE, json.dumps(asdict(self), indent=1))

    def current(self) -> dict[str, Any]:
        """Give how everything does now, for people and scripts; what is written down may be old."""
        up = self.process.alive()
        rows = []
        for service in self.services:
            alive = service.process is not None and service.process.alive()
            state = service.state if up else ("orphaned" if alive else "stopped")
            if up and service.process is not None and not alive:
                state = "restarting"  # the supervisor sees it within a second, or cannot write it down
            row = {key: value for key, value in asdict(service).items() if key != "process"}
            pid = service.process.pid if alive and service.process else None
            held = memory(family(pid)) if pid else None
            rows.append({**row, "state": state, "pid": pid, "memory": held})
        healthy = up and all(row["state"] == "healthy" for row in rows)
        return {
            "up": up,
            "healthy": healthy,
            "pid": self.process.pid if up else None,
            "since": self.since if up else None,
            "services": rows,
        }


def read_state(home: Path) -> State | None:
    """Give what the folder holds, or None where nothing was ever started.

    Raises
    ------
    InputError
        When the file is not one of ours.
    """
    file = home / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    try:
        services = [
            ServiceState(**{**each, "process": _process(each["process"])}) for each in content["services"]
        ]
        return State(Process(**content["process"]), content["since"], content["settings"], services)
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: is not what `thalweg up` writes: {error!r}; delete it") from None


def mark_of(home: Path) -> str:
    """Give the mark that everything bears which was started for a folder."""
    return hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]


def _process(content: dict[str, int] | None) -> Process | None:
    return None if content is None else Process(**content)
