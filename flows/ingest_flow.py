"""An ingest as a Prefect flow: one task for each partition, with retries, and the quality report."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from thalweg.flows.ingest_progress import IngestProgress, plan_line
from thalweg.flows.prefect_settings import HOME, prefect_settings, settle
from thalweg.flows.server import ServerError, configured_url, server
from thalweg.storage.ingest.failures import may_pass
from thalweg.storage.ingest.pipeline import FIRST_PAUSE, Ingest, Result

SERVER_NICENESS = 10
ROWS_SHOWN = 500  # of the quality report in Prefect; all of it is in the store


class Attempts:
    """The first attempt at every partition, begun at once, and more of those that fail.

    Prefect takes seconds to come up. Partitions are read in the meantime, and when none of them fails
    they are published too: nobody waits for data that are there. Its tasks wait for all that.
    """

    def __init__(self, ingest: Ingest) -> None:
        self.ingest = ingest
        self.error: Exception | None = None  # the first for which there is no use in going on
        self.pool = ThreadPoolExecutor(max(ingest.plan.workers, 1))
        self.partitions = {partition.name: partition for partition in ingest.pending}
        self.first: dict[str, Future[None]] = {
            name: self.pool.submit(ingest.run, partition) for name, partition in self.partitions.items()
        }
        self.last = ThreadPoolExecutor(1)
        self.published = self.last.submit(self._publish, list(self.first.values()))

    def _publish(self, first: list[Future[None]]) -> Result | None:
        """Publish when all first attempts went well; else that is left to :meth:`publish`."""
        try:
            for each in first:
                each.result()
        except Exception:
            return None
        return self.ingest.finish()

    def publish(self) -> Result:
        """Give what was published, or publish what is committed."""
        return self.published.result() or self.ingest.finish()

    def wait(self, name: str) -> None:
        """Wait for an attempt at a partition: the first one, or a new one when that was waited for."""
        attempt = self.first.pop(name, None) or self.pool.submit(self.ingest.run, self.partitions[name])
        try:
            attempt.result()
        except CancelledError:
            raise
        except Exception as error:
            if not may_pass(error):
                self.error = self.error or error
                self.close()
            raise

    def close(self) -> None:
        """Give up what has not begun."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.last.shutdown(wait=False, cancel_futures=True)


def run_as_flow(ingest: Ingest) -> Result:
    """Run an ingest that has something to do as a flow, on the configured server or on one of its own.

    Raises
    ------
    InputError
        As the partitions raise it.
    ServerError
        When a server is configured, but does not answer.
    """
    print(plan_line(ingest.plan), file=sys.stderr, flush=True)
    with server(HOME) as prefect_server, ExitStack() as stack:
        if prefect_server.process is not None:  # the readers come first
            os.setpriority(os.PRIO_PROCESS, prefect_server.process.pid, SERVER_NICENESS)
        ingest.start()
        ingest.on_commit = stack.enter_context(IngestProgress(ingest.plan, len(ingest.pending)))
        attempts = Attempts(ingest)
        stack.callback(attempts.close)
        try:
            prefect_server.wait()
        except ServerError as problem:
            if configured_url() is not None:
                raise
            print(f"{problem}; going on without Prefect", file=sys.stderr, flush=True)
            return run_alone(attempts)
        with prefect_settings(prefect_server, HOME):
            try:
                return flow_of(ingest, attempts)(str(ingest.location), plan_line(ingest.plan))
            finally:
                settle()
                prefect_server.leave()


def run_alone(attempts: Attempts) -> Result:
    """Finish an ingest without Prefect."""
    for name in attempts.partitions:
        try:
            attempts.wait(name)
        except Exception as error:
            if not may_pass(error):
                raise
            attempts.ingest.run_patiently(attempts.partitions[name])
    return attempts.publish()


def flow_of(ingest: Ingest, attempts: Attempts) -> Callable[[str, str], Result]:
    """Give the flow of an ingest."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import ThreadPoolTaskRunner

    retries = ingest.plan.options.retries

    @task(
        task_run_name="{name}",
        cache_policy=NO_CACHE,
        retries=retries,
        retry_delay_seconds=[FIRST_PAUSE * 2**attempt for attempt in range(retries)],
        retry_condition_fn=_may_pass,
    )
    def partition(name: str) -> None:
        attempts.wait(name)

    @task(cache_policy=NO_CACHE)
    def publish() -> None:
        made.append(attempts.publish())
        _artifact(ingest, made[0])

    tasks: Any = ThreadPoolTaskRunner(max_workers=max(ingest.plan.workers, 1))

    @flow(
        name="ingest",
        flow_run_name=ingest.location.text.rstrip("/").rpartition("/")[2],
        task_runner=tasks,
    )
    def ingestion(store: str, plan: str) -> None:
        read = [partition.submit(name) for name in attempts.partitions]
        for each in read:
            each.wait()
        if attempts.error is not None:
            raise attempts.error
        for each in read:
            each.result()
        publish()

    made: list[Result] = []

    def run(store: str, plan: str) -> Result:
        ingestion(store, plan)
        return made[0]

    return run


def _may_pass(task: Any, run: Any, state: Any) -> bool:
    return isinstance(state.data, Exception) and may_pass(state.data)


def _artifact(ingest: Ingest, result: Result) -> None:
    """Keep the quality report with the flow run, for those who look at it in Prefect."""
    from prefect.artifacts import create_table_artifact

    from thalweg.storage.store import quality_report

    report = quality_report(ingest.location)
    days = report["first_day"].dt.strftime("%Y-%m-%d").fillna("")
    rows = report.assign(first_day=days).head(ROWS_SHOWN).to_dict("records")
    name = re.sub(r"[^a-z0-9]+", "-", ingest.location.text.lower()).strip("-")[-60:].strip("-")
    create_table_artifact(
        [{str(key): value for key, value in row.items()} for row in rows],
        key=f"quality-{name}",
        description=f"Quality of {ingest.location}, snapshot {result.snapshot[:12]}: {len(report)} findings, "
        f"{result.quarantined} sites in quarantine",
    )
