"""The flow that `thalweg schedule` serves; it runs in a process of its own every time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from prefect import flow, get_client, runtime

from thalweg.flows import worker
from thalweg.flows.ingestion import ingest_file

MANY = 200  # flow runs that the server gives at a time


@flow(name="scheduled-ingest", flow_run_name="{spec}")
def scheduled_ingest(spec: str, directory: str) -> str:
    """Ingest what a file describes, with paths as in `directory`; returns what was found, in words."""
    follow_parent()
    worker.enter(directory)
    forget_missed(runtime.deployment.id)
    print(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z} {spec}", flush=True)
    try:
        found = ingest_file(Path(spec)).text()
    except Exception as error:
        print(worker.reason(error), file=sys.stderr, flush=True)
        raise
    print(found, flush=True)
    return found


def forget_missed(deployment: str | None) -> None:
    """Delete the deployment's runs whose time passed unused: the one that begins now makes up for them."""
    if deployment is None:
        return
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.exceptions import ObjectNotFound

    due = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [UUID(deployment)]},
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"before_": datetime.now(UTC)},
        }
    )
    with get_client(sync_client=True) as client:
        while missed := client.read_flow_runs(flow_run_filter=due, limit=MANY):
            for run in missed:
                with suppress(ObjectNotFound):  # somebody else was quicker
                    client.delete_flow_run(run.id)


def follow_parent() -> None:
    """Leave Ctrl-C to the process that serves, and end at once when that is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def leave() -> None:
        parent.join()
        os._exit(1)  # what is half-written is no problem: an ingest may be killed at any time

    threading.Thread(target=leave, daemon=True).start()
