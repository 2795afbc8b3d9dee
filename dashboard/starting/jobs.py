"""Jobs that were started from the page: each a folder and a process of its own, which outlives the dashboard.

A folder `.jobs/ID` beside the runs holds `experiment.yaml` as it was checked, `job.json` (what was ordered),
`state.json` (its processes), `log.txt` and, once it ended, `end.json`. What is scheduled lies in
`.jobs/schedules`.
"""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from thalweg.dashboard.reading import cards
from thalweg.dashboard.starting import schedules
from thalweg.dashboard.starting.job_keeper import END, EXPERIMENT, LOG, ORDER, STATE
from thalweg.dashboard.starting.typed import Where
from thalweg.dashboard.starting.typed_paths import workspace
from thalweg.flows.job_address import dashboard_url
from thalweg.flows.services.processes import Process
from thalweg.storage import atomic, run_sharing
from thalweg.storage.errors import InputError

FOLDER = ".jobs"
MOST_ALIVE = 4  # jobs of the page that run at once
LOG_BYTES = 64 * 1024  # of the end of a log that are shown
THALWEG = [sys.executable, "-m", "thalweg.flows.cli"]
# variables of the dashboard alone: its token among them, and how its server keeps memory
_HIDDEN = ("THALWEG_DASHBOARD_", "STREAMLIT_", "MALLOC_", "ARROW_DEFAULT_MEMORY_POOL")
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9_-]+")

Command = Literal["run", "search"]


@dataclass(frozen=True)
class Job:
    """A job, as it is now.

    Attributes
    ----------
    state : ``running``, ``done``, ``failed`` or ``stopped``; ``scheduled`` while a Prefect server has the
        schedule that it made; ``lost`` when its process went away without saying how it ended.
    what : such as `thalweg run`.
    by : who started it.
    clock : cron line and time zone of what it schedules; empty for others.
    """

    id: str
    folder: Path
    experiment: str
    where: Where
    what: str
    by: str
    state: str
    code: int | None
    created: datetime | None
    ended: datetime | None
    clock: str = ""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.state == "running"

    @property
    def seconds(self) -> float | None:
        """How long it has taken (s)."""
        until = datetime.now(UTC) if self.alive else self.ended
        return None if self.created is None or until is None else (until - self.created).total_seconds()

    def log(self) -> str:
        """The end of what it said."""
        try:
            with (self.folder / LOG).open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - LOG_BYTES))
                text = stream.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return text if size <= LOG_BYTES else "…" + text.partition("\n")[2]

    def cancel(self) -> bool:
        """Ask it to stop; what is done is kept. False when it had ended."""
        if (self.folder / END).exists():
            return False
        left = _processes(self.folder)[:1]  # the keeper passes it on
        for process in left:
            process.send(signal.SIGTERM)
        return bool(left)


def jobs() -> list[Job]:
    """All jobs, the newest first; those that another dashboard started, or this one before, too."""
    try:
        folders = list(_home().iterdir())
    except OSError:
        return []
    found = (_job(folder) for folder in folders if _ID.fullmatch(folder.name))
    # the time in the id is in whole seconds
    return sorted((job for job in found if job is not None), key=_age, reverse=True)


def find(name: str) -> Job | None:
    """The job with this id."""
    return _job(_home() / name) if _ID.fullmatch(name) else None


def start_local(text: str, experiment: str, by: str, command: Command = "run") -> Job:
    """Run an experiment on this machine.

    Parameters
    ----------
    text : that was checked.
    """
    return _start(text, experiment, by, {"where": "local", "what": f"thalweg {command}"}, command, ())


def start_on_cluster(text: str, experiment: str, by: str, address: str, command: Command = "run") -> Job:
    """Submit an experiment to a Ray cluster.

    Parameters
    ----------
    address : of the cluster's dashboard.

    Raises
    ------
    InputError
        When the address is none.
    """
    url = dashboard_url(address.strip())
    if "@" in url:
        raise InputError("the address must not hold a password: set RAY_AUTH_TOKEN where the dashboard runs")
    words = ("--json", "--address", url, *(("--search",) if command == "search" else ()))
    order = {"where": "ray", "what": f"thalweg submit to {url}", "address": url, "thalweg": THALWEG}
    return _start(text, experiment, by, order, "submit", words)


def start_scheduled(text: str, experiment: str, by: str, cron: str, timezone: str = "UTC") -> Job:
    """Give an experiment to a Prefect server, in place of an earlier one of its name.

    Where there is no server the job keeps the clock itself, until it is cancelled.

    Raises
    ------
    InputError
        When the cron line or the time zone is wrong, or a job of the same name is at it.
    """
    from thalweg.flows.scheduling import make_schedule

    cron = " ".join(cron.split())
    make_schedule(cron, timezone)
    file = schedules.file_of(_home(), experiment)
    _refuse_another(experiment)
    order = {
        "where": "schedule",
        "what": f"thalweg schedule, {cron} {timezone}",
        "clock": f"{cron} {timezone}",
        "file": str(file),
    }
    return _start(text, experiment, by, order, "schedule", ("--cron", cron, "--timezone", timezone))


def start_removal(job: Job, by: str) -> Job:
    """Remove the schedule that a job made, after the run of it that is under way.

    Raises
    ------
    InputError
        When it has none, or a job of the same name is at it.
    """
    if job.state != "scheduled":
        raise InputError(f"{job.id}: has no schedule that could be removed")
    _refuse_another(job.experiment)
    file = _order(job.folder)["file"]
    order = {"where": "schedule", "what": "thalweg schedule --remove", "file": file, "removes": job.id}
    text = (job.folder / EXPERIMENT).read_text(encoding="utf-8")
    return _start(text, job.experiment, by, order, "schedule", ("--remove",))


def _refuse_another(experiment: str) -> None:
    """Refuse a second job that schedules an experiment's name, or removes its schedule, while one does."""
    for job in jobs():
        if job.alive and job.where == "schedule" and job.experiment == experiment:
            raise InputError(f"{job.id}: schedules {experiment} already: cancel that job first")


def _start(
    text: str, experiment: str, by: str, order: Mapping[str, Any], command: str, words: tuple[str, ...]
) -> Job:
    """Write a job's folder and start its keeper."""
    going = [job for job in jobs() if job.alive]
    if len(going) >= MOST_ALIVE and "removes" not in order:
        raise InputError(f"{len(going)} jobs run already, and {MOST_ALIVE} may: wait for one, or cancel it")
    if not re.fullmatch(r"[a-z0-9_-]+", experiment):
        raise InputError(f"{experiment!r}: is no name of an experiment")
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{experiment[:60]}-{secrets.token_hex(2)}"
    folder = _home() / name
    folder.mkdir(parents=True, mode=0o700)
    file = folder / EXPERIMENT
    atomic.write_text(file, text)
    runs = run_sharing.named(cards.root().resolve())
    full = {
        **order,
        "id": name,
        "experiment": experiment,
        "by": by,
        "created": datetime.now(UTC).isoformat(),
        "command": [*THALWEG, command, str(order.get("file", file)), "--runs", runs, *words],
    }
    atomic.write_text(folder / ORDER, json.dumps(full, indent=2))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_HIDDEN)}
    with (folder / LOG).open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "thalweg.dashboard.starting.job_keeper", str(folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=workspace(), start_new_session=True,
            env={**kept, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    _wait_for(folder, keeper)
    job = _job(folder)
    assert job is not None
    return job


def _wait_for(folder: Path, keeper: "subprocess.Popen[bytes]") -> None:
    """Note the keeper's process until it has done so itself, and collect it when it ends."""
    process = Process.of(keeper.pid)
    if process is not None and not (folder / STATE).exists():
        first = {"keeper": {"pid": process.pid, "started": process.started}}
        atomic.write_text(folder / STATE, json.dumps(first))
    threading.Thread(target=keeper.wait, daemon=True, name="keeper").start()


def _job(folder: Path) -> Job | None:
    order = _order(folder)
    if not order:
        return None
    alive = bool(_processes(folder))  # before its end is read, which it writes before it goes
    end = _json(folder / END)
    code = None if end is None else int(end.get("code", 1))
    if end is not None:
        state = "stopped" if end.get("stopped") else "failed" if code else "done"
    else:
        state = "running" if alive else "lost"
    if end is not None and order.get("clock") and schedules.maker(Path(str(order["file"]))) == folder.name:
        state = "scheduled"
    return Job(
        id=folder.name,
        folder=folder,
        experiment=str(order.get("experiment", "")),
        where=order.get("where", "local"),
        what=str(order.get("what", "")),
        by=str(order.get("by", "")),
        state=state,
        code=code,
        created=_time(order.get("created")),
        ended=None if end is None else _time(end.get("ended")),
        clock=str(order.get("clock", "")),
    )


def _order(folder: Path) -> dict[str, Any]:
    """What was ordered; empty where that cannot be read."""
    return _json(folder / ORDER) or {}


def _age(job: Job) -> tuple[str, str]:
    return job.id[:15], "" if job.created is None else job.created.isoformat()


def _processes(folder: Path) -> list[Process]:
    """The keeper and what it runs, as far as they are alive."""
    state = _json(folder / STATE) or {}
    told = [state.get(name) for name in ("keeper", "child")]
    known = [Process(int(each["pid"]), int(each["started"])) for each in told if isinstance(each, dict)]
    return [process for process in known if process.alive()]


def _home() -> Path:
    return cards.root().resolve() / FOLDER


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None
