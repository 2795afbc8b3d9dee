"""A scheduled ingest: one at a time for one store, tried again where that may help."""

from __future__ import annotations

import hashlib
from pathlib import Path

from prefect import get_client

from thalweg.flows.services.retrying import OutOfTimeError, guarded


def ingest(spec: Path, hours: float) -> str:
    """Bring a store up to its source; of all schedules on one server, one at a time for one store."""
    from prefect.concurrency.asyncio import AcquireConcurrencySlotTimeoutError
    from prefect.concurrency.sync import concurrency

    from thalweg.flows.ingestion import ingest_file, read_spec

    def update() -> str:
        store = read_spec(spec).store
        try:
            with concurrency(only_one(store), occupy=1, timeout_seconds=hours * 3600):
                return ingest_file(spec).text()
        except AcquireConcurrencySlotTimeoutError:
            raise OutOfTimeError(f"{store}: another ingest of it did not end in {hours:.3g} hours") from None

    return str(guarded(hours, name=f"ingest {spec.name}")(update)())


def only_one(store: str) -> str:
    """Make the limit that lets in one ingest of a store, and give its name."""
    place = store if "://" in store else str(Path(store).resolve())
    name = f"thalweg-ingest-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    return name
