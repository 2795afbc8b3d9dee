"""Keeps one job: starts its command, writes how it ended, and stops it when told to.

Runs as `python -m thalweg.dashboard.starting.job_keeper FOLDER`, in a session of its own, so that a job
outlives the dashboard that started it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from thalweg.dashboard.starting import schedules
from thalweg.flows.services.processes import Process
from thalweg.storage import atomic

ORDER, STATE, END, LOG = "job.json", "state.json", "end.json", "log.txt"
EXPERIMENT = "experiment.yaml"
STOP_SECONDS = 40.0  # a run writes how far it is, and its workers end
LOOK_SECONDS = 0.5


class Keeper:
    """One job under way.

    Attributes
    ----------
    state : of ``state.json``: the processes, and the id of a job on a cluster.
    stopped : whether it was told to stop.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.order: dict[str, Any] = json.loads((folder / ORDER).read_text(encoding="utf-8"))
        self.state: dict[str, Any] = {"keeper": _told(os.getpid())}
        self.child: subprocess.Popen[bytes] | None = None
        self.stopped = False

    def keep(self) -> int:
        """Do the job and give its exit code."""
        signal.signal(signal.SIGTERM, self._stop)
        self._write()
        code = 1
        try:
            ways = {"ray": self._on_cluster, "schedule": self._by_the_clock}
            way = ways.get(self.order["where"])
            code = way() if way else self._run(self.order["command"])
        finally:
            end = {"code": code, "stopped": self.stopped, "ended": datetime.now(UTC).isoformat()}
            atomic.write_text(self.folder / END, json.dumps(end))
        return code

    def _on_cluster(self) -> int:
        """Submit, follow what the job says, and cancel it when told to stop."""
        told = self.folder / "submitted.json"
        code = self._run(self.order["command"], told)
        if code:
            return code
        self.state["id"] = json.loads(told.read_text(encoding="utf-8"))["id"]
        self._write()
        address = ["--address", self.order["address"]] if self.order.get("address") else []
        name = str(self.state["id"])
        if not self.stopped:
            code = self._run([*self.order["thalweg"], "logs", "-f", name, *address])
        if self.stopped:
            with (self.folder / LOG).open("ab") as log:
                subprocess.run(
                    [*self.order["thalweg"], "cancel", name, *address],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=120, check=False,
                )  # fmt: skip
        return code

    def _by_the_clock(self) -> int:
        """Make the schedule of an experiment's name, or remove it, and note what came of it."""
        file, removes = Path(self.order["file"]), self.order.get("removes")
        if removes:
            code = self._run(self.order["command"])
            if code == 0:
                schedules.removed(file, removes)
            return code
        with schedules.written(file, (self.folder / EXPERIMENT).read_text(encoding="utf-8")) as worked:
            code = self._run(self.order["command"])  # without a server it keeps the clock until it is stopped
            worked.append(code == 0)
        if code == 0:
            schedules.made(file, self.folder.name)
        return code

    def _run(self, command: list[str], output: Path | None = None) -> int:
        """Run one command; what it says goes to the log, or what it prints to a file."""
        with contextlib.ExitStack() as stack:
            log = stack.enter_context((self.folder / LOG).open("ab"))
            out = log if output is None else stack.enter_context(output.open("wb"))
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log)
            self.state["child"] = _told(self.child.pid)
            self._write()
            deadline = None
            while True:
                try:
                    return self.child.wait(LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    pass
                if self.stopped:
                    deadline = deadline or time.monotonic() + STOP_SECONDS
                    if deadline < time.monotonic():
                        self.child.kill()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()

    def _write(self) -> None:
        atomic.write_text(self.folder / STATE, json.dumps(self.state))


def _told(pid: int) -> dict[str, Any]:
    process = Process.of(pid)
    return {"pid": pid, "started": process.started if process else 0}


if __name__ == "__main__":
    sys.exit(Keeper(Path(sys.argv[1])).keep())
