"""What Prometheus is told: how runs, stores, services and scheduled flows do, as its text format has it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from thalweg.flows.ledger import cost_of
from thalweg.flows.services import health
from thalweg.flows.services.settings import read
from thalweg.flows.services.state import read_state
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, find_runs

DAY = timedelta(days=1)


@dataclass
class Metric:
    """One metric: its name without ``thalweg_``, what it is, and values by labels."""

    name: str
    text: str
    kind: str = "gauge"
    values: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """Add a value."""
        self.values.append((labels, float(value)))

    def lines(self) -> Iterator[str]:
        """Give it as Prometheus reads it."""
        yield f"# HELP thalweg_{self.name} {self.text}"
        yield f"# TYPE thalweg_{self.name} {self.kind}"
        for labels, value in self.values:
            inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            yield f"thalweg_{self.name}{'{' + inside + '}' if inside else ''} {value:.17g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def text(metrics: Iterable[Metric]) -> str:
    """Give metrics as Prometheus reads them."""
    return "".join(f"{line}\n" for metric in metrics if metric.values for line in metric.lines())


def collect(runs: Path) -> list[Metric]:
    """Look at everything; what cannot be read is left out, and counted."""
    made: list[Metric] = []
    failures = Metric("collect_failures", "parts of these metrics that could not be read")
    found = cache(lambda: find_runs(runs))
    parts: dict[str, Callable[[], list[Metric]]] = {
        "pull": lambda: _pull(runs),
        "runs": lambda: of_runs(found()),
        "stores": lambda: of_stores(found()),
        "services": of_services,
        "flows": of_flows,
        "drift": lambda: of_drift(runs),
    }
    for name, part in parts.items():
        try:
            made += part()
            failures.add(0, part=name)
        except Exception:
            failures.add(1, part=name)
    return [*made, failures]


def _pull(runs: Path) -> list[Metric]:
    """Take what changed in an object store; what is here already is told where it does not answer."""
    run_sharing.pull(runs)
    return []


def of_runs(runs: Iterable[Run]) -> list[Metric]:
    """Give counts by state and what runs took, by experiment."""
    states = Metric("runs", "runs by state")
    seconds = Metric("run_seconds_total", "wall seconds that runs took, all attempts", "counter")
    cpu = Metric("run_cpu_seconds_total", "CPU seconds that runs took, all attempts", "counter")
    gpu = Metric("run_gpu_seconds_total", "seconds of reserved GPUs, all attempts", "counter")
    attempts = Metric("run_attempts_total", "attempts at runs", "counter")
    counts: Counter[tuple[str, str]] = Counter()
    took: dict[str, list[float]] = {}
    for run in runs:
        counts[run.experiment, run.state] += 1
        if (cost := cost_of(run.path)) is not None:
            before = took.setdefault(run.experiment, [0.0] * 4)
            these = (cost.wall_seconds, cost.cpu_seconds, cost.gpu_seconds, cost.attempts)
            took[run.experiment] = [one + two for one, two in zip(before, these, strict=True)]
    for (experiment, state), count in sorted(counts.items()):
        states.add(count, experiment=experiment, state=state)
    for experiment, values in sorted(took.items()):
        for metric, value in zip((seconds, cpu, gpu, attempts), values, strict=True):
            metric.add(value, experiment=experiment)
    return [states, seconds, cpu, gpu, attempts]


def of_stores(runs: Iterable[Run]) -> list[Metric]:
    """Give how fresh the stores are that runs read."""
    import numpy as np

    from thalweg.storage.repository import Repository
    from thalweg.storage.versions import log

    last = Metric("store_last_day_timestamp_seconds", "the last day in a store")
    published = Metric("store_published_timestamp_seconds", "when the newest version was published")
    sites = Metric("store_sites", "sites in a store")
    names = {str(((run.manifest.get("config") or {}).get("data") or {}).get("store", "")) for run in runs}
    for name in sorted(names - {""}):
        try:
            repository = Repository.open(name)
            dataset = repository.dataset()
            newest = log(repository)[0]
        except (InputError, OSError, LookupError):
            continue  # moved or deleted since
        day = dataset["time"].values[-1].astype("datetime64[s]")
        last.add(float((day - np.datetime64(0, "s")) / np.timedelta64(1, "s")), store=name)
        published.add(newest.written.timestamp(), store=name)
        sites.add(dataset.sizes["site"], store=name)
    return [last, published, sites]


def of_services() -> list[Metric]:
    """Give whether the services of this folder are well."""
    well = Metric("service_up", "whether a service is well")
    restarts = Metric("service_restarts_total", "how often a service was started again", "counter")
    held = Metric("service_memory_bytes", "memory of a service and what it started")
    state = read_state(read().home)
    for row in state.current()["services"] if state else ():
        well.add(row["state"] == "healthy", service=row["name"])
        restarts.add(row["restarts"], service=row["name"])
        held.add(row["memory"] or 0, service=row["name"])
    return [well, restarts, held]


def of_flows() -> list[Metric]:
    """Give the flow runs of the last day by state, as the Prefect server counts them."""
    made = Metric("flow_runs", "flow runs that were due in the last 24 hours, by state")
    api = os.environ.get("PREFECT_API_URL")
    if not api:
        return []
    now = datetime.now(UTC)  # runs that are planned for later have a start, too
    begun = {"after_": (now - DAY).isoformat(), "before_": now.isoformat()}
    wanted = {"flow_runs": {"start_time": begun}, "limit": 200}
    counts: Counter[str] = Counter()
    for offset in range(0, 2000, 200):
        content = {**wanted, "offset": offset}
        found = json.loads(health.ask(f"{api}/flow_runs/filter", prefect_headers(), content))
        counts.update(str(each["state_type"]).lower() for each in found)
        if len(found) < 200:
            break
    for state, count in sorted(counts.items()):
        made.add(count, state=state)
    return [made]


def prefect_headers() -> dict[str, str]:
    """Give what the Prefect server is shown."""
    token = os.environ.get("PREFECT_API_AUTH_STRING")
    return health.basic(token) if token else {}


def of_drift(runs: Path) -> list[Metric]:
    """Give what nightly chains found of their models, from the records that they keep beside the runs."""
    statistic = Metric(
        "drift_statistic", "errors of the newest days over those of its test, at the last look"
    )
    limit = Metric("drift_limit", "above which it is an alarm, at the last look")
    drifting = Metric("drift", "whether a model drifts, at the last look")
    looked = Metric("drift_looked_timestamp_seconds", "when it was looked at")
    for file in sorted(runs.glob("*/nightly.json")):
        for row in json.loads(file.read_text(encoding="utf-8"))["looks"][-1:]:
            labels = {"chain": file.parent.name, "run": str(row["run"])}
            statistic.add(row["ratio"], **labels)
            limit.add(row["limit"], **labels)
            drifting.add(row["drift"], **labels)
            looked.add(datetime.fromisoformat(row["at"]).timestamp(), **labels)
    return [statistic, limit, drifting, looked]
