"""Looks after flow runs: those whose process was killed, or whose machine is gone, are started again.

A run sends heartbeats. One that is said to run but has sent none for :data:`SILENT_SECONDS` is marked as
crashed, and one that crashed is put back on the schedule: it goes on from what is done. After
:data:`ATTEMPTS` attempts it fails for good. One that a worker took and did not begin, since it was killed
just then, is put back too. Prefect's automations could do the first half, but what they do sets off no other
one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from thalweg.flows.services.health import UnhealthyError, ask

TAG = "thalweg"  # of all flow runs that are ours
HEARTBEAT_SECONDS = 30  # Prefect takes no less
SILENT_SECONDS = 150.0  # more than two beats of a minute, which is how often others may send them
ATTEMPTS = 5
LOOK_SECONDS = 15.0
MOST = 200  # that the server gives at once
AGE = timedelta(days=7)  # crashed runs that are older are nobody's any more
RESUMED = "was killed; goes on from what is done"
NOT_BEGUN = "was taken by a worker that did not begin it"


class Keeper:
    """Looks after the flow runs of one server.

    Parameters
    ----------
    api : its address, ending in ``/api``.
    headers : that it wants.
    clock : gives the time, in UTC.
    """

    def __init__(
        self,
        api: str,
        headers: Mapping[str, str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.api, self.headers, self.clock = api.rstrip("/"), headers, clock
        self.heard: datetime | None = None  # since when the server has answered every time

    def look(self) -> list[str]:
        """Look once; gives what was done, in words.

        While the server was away it got no heartbeats, so silence counts only from when it was back.
        """
        done = []
        try:
            runs = self._runs(["RUNNING", "CRASHED"], "start_time")
            taken = self._runs(["PENDING"], "expected_start_time")
            self.heard = self.heard or self.clock()
            for run in taken:
                if run["deployment_id"] and self._silent(run):
                    done += self._set(run, "SCHEDULED", "AwaitingRetry", NOT_BEGUN)
            for run in runs:
                if run["state_type"] == "RUNNING" and self._silent(run):
                    done += self._set(run, "CRASHED", "Crashed", "nothing heard of it")
                elif run["state_type"] == "CRASHED" and run["deployment_id"]:
                    done += self._again(run)
        except UnhealthyError:
            self.heard = None
        return done

    def _again(self, run: Mapping[str, Any]) -> list[str]:
        if run["run_count"] >= ATTEMPTS:
            reason = f"was killed {run['run_count']} times: look why before it is started again"
            return self._set(run, "FAILED", "Failed", reason)
        return self._set(run, "SCHEDULED", "AwaitingRetry", RESUMED)

    def _silent(self, run: Mapping[str, Any]) -> bool:
        assert self.heard is not None
        wanted = {
            "filter": {
                "event": {"name": ["prefect.flow-run.heartbeat"]},
                "resource": {"id": [f"prefect.flow-run.{run['id']}"]},
                "occurred": {"since": (self.clock() - AGE).isoformat(), "until": self.clock().isoformat()},
                "order": "DESC",
            },
            "limit": 1,
        }
        found = self._ask("events/filter", wanted)["events"]
        beats = [_time(found[0]["occurred"])] if found else []
        last = max([*beats, _time(run["state"]["timestamp"]), self.heard])
        return (self.clock() - last).total_seconds() > SILENT_SECONDS

    def _runs(self, states: list[str], since: str) -> list[dict[str, Any]]:
        wanted = {
            "flow_runs": {
                "operator": "and_",
                "tags": {"all_": [TAG]},
                "state": {"type": {"any_": states}},
                since: {"after_": (self.clock() - AGE).isoformat()},
            },
            "sort": f"{since.upper()}_DESC",
            "limit": MOST,
        }
        return list(self._ask("flow_runs/filter", wanted))

    def _set(self, run: Mapping[str, Any], kind: str, name: str, message: str) -> list[str]:
        state: dict[str, Any] = {"type": kind, "name": name, "message": message}
        if kind == "SCHEDULED":
            state["state_details"] = {"scheduled_time": self.clock().isoformat()}
        answer = self._ask(f"flow_runs/{run['id']}/set_state", {"state": state})
        return [f"{run['name']} ({run['id']}): {message}"] if answer["status"] == "ACCEPT" else []

    def _ask(self, path: str, content: object) -> Any:
        return json.loads(ask(f"{self.api}/{path}", self.headers, content))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def keep(keeper: Keeper) -> None:
    """Look for ever, in a thread that ends with the process."""

    def run() -> None:
        while True:
            try:
                for line in keeper.look():
                    print(line, flush=True)
            except Exception as error:
                print(f"keeper: {type(error).__name__}: {error}", flush=True)
            time.sleep(LOOK_SECONDS)

    threading.Thread(target=run, daemon=True, name="keeper").start()
