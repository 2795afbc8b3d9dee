"""The flow that `thalweg schedule` serves; Prefect imports it in a process of its own for every run."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from thalweg.flows import worker
from thalweg.flows.ingestion import ingest_file


@flow(name="scheduled-ingest", flow_run_name="{spec}")
def scheduled_ingest(spec: str, directory: str) -> str:
    """Ingest what a file describes, with paths as in `directory`; returns what was found, in words."""
    worker.enter(directory)
    result = ingest_file(Path(spec)).text()
    print(result)
    return result
