"""What has to be true when the faults are over, and after `thalweg down`."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from soaking.faults import Faults, say
from soaking.lab import Lab, wait_until
from soaking.source import SITES, Source
from soaking.watch import RUNS, Watcher

from thalweg.storage.results import Run, find_runs
from thalweg.storage.store import open_store

SETTLE_SECONDS = 420.0  # a run that was killed is found after 150 s, and one that lost its job waits a minute
PARTIAL = re.compile(r"\.(part|partial|earlier|replaced|tmp)$")
HANGING = ["RUNNING", "PENDING", "CANCELLING"]


def settle(lab: Lab, source: Source, watcher: Watcher, faults: Faults) -> list[str]:
    """Wait until all has caught up, then end the schedules; gives what did not."""
    problems = []
    began = time.monotonic()
    if not faults.wait(SETTLE_SECONDS):
        problems += [
            f"{told.fault} of {told.at:.0f} s: not over after {SETTLE_SECONDS:.0f} s"
            for told in faults.told
            if told.recovered is None
        ]
    if not wait_until(lambda: watcher.days() == source.days, SETTLE_SECONDS):
        problems.append(f"store: has {watcher.days()} of {source.days} days")
    if not wait_until(lambda: finished(lab), SETTLE_SECONDS):
        problems.append(f"experiment: has not finished on the newest data: {states(lab)}")
    say(f"{faults._now():6.1f} s  store and experiment have caught up with the source")
    lab.thalweg("schedule", "experiment.yaml", "--remove")
    lab.thalweg("schedule", "ingest.yaml", "--remove")
    if not wait_until(lambda: not hanging(lab), SETTLE_SECONDS, 3.0):
        problems += [f"flow run hangs: {each}" for each in hanging(lab)]
    say(f"{faults._now():6.1f} s  settled after {time.monotonic() - began:.0f} s")
    return problems


def finished(lab: Lab) -> bool:
    """Tell whether both runs are done on what the store has now."""
    snapshot = open_store(lab.store).attrs["snapshot"]
    runs = [Run(lab.runs / "rivers" / name) for name in RUNS]
    return all(run.state == "done" and run.manifest["snapshot"] == snapshot for run in runs)


def states(lab: Lab) -> list[str]:
    """Give the states of all runs, in words."""
    return [f"{run.id} {run.state} {run.status.get('message') or ''}".strip() for run in find_runs(lab.runs)]


def hanging(lab: Lab) -> list[str]:
    """Give the flow runs that are said to be under way."""
    found = lab.prefect("flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": HANGING}}}})
    return [f"{run['name']} ({run['id']}) {run['state_name']}" for run in found]


def check(lab: Lab, source: Source, watcher: Watcher, faults: Faults) -> Iterator[str]:
    """Give what is wrong at the end, while the services are still up."""
    watcher.look()
    yield from _versions(lab)
    yield from _runs(lab)
    yield from partial(lab.disk)
    yield from finished_twice(lab.settings.home / "logs" / "events.jsonl")
    status = lab.status()
    if not status["healthy"]:
        yield f"services: not all are well: {[row['message'] for row in status['services'].values()]}"
    for name, times in faults.killed.items():
        counted = status["services"][name]["restarts"]
        if counted < times:
            yield f"{name}: was killed {times} times, the supervisor counts {counted} restarts"
    if source.days != watcher.days() or len(SITES) != open_store(lab.store).sizes["site"]:
        yield "store: does not hold what the source has"


def _versions(lab: Lab) -> Iterator[str]:
    versions = json.loads(lab.thalweg("data", "log", str(lab.store), "--json"))
    if len({each["id"] for each in versions}) < len(versions):
        yield "store: a version is there twice"
    changed = Counter(each["snapshot"] for each in versions if each["properties"]["changed"])
    yield from (f"store: content {name[:12]} was published {n} times" for name, n in changed.items() if n > 1)
    lasts = [each["properties"]["last"] for each in versions]
    if lasts != sorted(lasts, reverse=True):
        yield f"store: its last day went back: {lasts}"


def _runs(lab: Lab) -> Iterator[str]:
    listed = json.loads(lab.thalweg("runs", "--json"))
    names = sorted(row["run"] for row in listed)
    if names != [f"rivers/{name}" for name in RUNS]:
        yield f"runs: {names} are listed"
    folders = sorted(folder.name for folder in (lab.runs / "rivers").iterdir() if folder.is_dir())
    strange = [name for name in folders if name not in RUNS and not name.startswith(".")]
    if strange or any(row["state"] != "done" for row in listed):
        yield f"runs: {folders}, {[row['state'] for row in listed]}"


def partial(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if PARTIAL.search(path.name):
            yield f"left behind: {path.relative_to(folder)}"


def finished_twice(events: Path) -> Iterator[str]:
    """Give the cells that were finished twice on the same data.

    Jobs do not tell them apart: a Ray head that was killed forgets its jobs, and gives their names again.
    """
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    done = [each for each in lines if each["event"] == "cell-finished"]
    for (run, snapshot), times in Counter((each["run"], each["snapshot"]) for each in done).items():
        if times > 1:
            when = [
                f"{each['time']} in {each['job']}"
                for each in done
                if (each["run"], each["snapshot"]) == (run, snapshot)
            ]
            yield f"{run} on data {snapshot[:12]} was finished {times} times: {', '.join(when)}"


def check_down(lab: Lab) -> Iterator[str]:
    """Run `thalweg down` and give what is left."""
    lab.thalweg("down")
    if left := lab.left():
        yield f"down: {len(left)} processes are left: {left[:5]}"
    if lab.status()["up"]:
        yield "down: the supervisor says it is up"
