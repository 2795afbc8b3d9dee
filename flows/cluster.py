"""Ray for one command: a private local one, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from thalweg.flows.experiment import Resources
from thalweg.storage.errors import InputError

# Cells open the store themselves; only names and scores pass through Ray.
OBJECT_STORE_BYTES = 150 * 2**20

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # a task killed for its memory would otherwise be started again for ever
    "RAY_task_oom_retries": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}


@contextmanager
def cluster(*, dashboard: bool = False) -> Iterator[None]:
    """Have Ray for the body, and stop what was started for it; a Ray that is there already is used.

    Parameters
    ----------
    dashboard : start Ray's own web page too.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import ray

    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if os.environ.get("RAY_ADDRESS"):
        try:
            _start(address=os.environ["RAY_ADDRESS"], **options)
            yield
        finally:
            ray.shutdown()
        return
    with _private_token():
        folder = Path(tempfile.mkdtemp(prefix="thalweg-"))
        try:
            _start(
                address="local",
                include_dashboard=dashboard,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(folder),
                **options,
            )
            yield
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _private_token() -> Iterator[None]:
    """Let nobody else in, unless a token was given: Ray listens on every interface."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        yield
        return
    os.environ["RAY_AUTH_TOKEN"] = _token()
    try:
        yield
    finally:
        os.environ.pop("RAY_AUTH_TOKEN", None)


@cache
def _token() -> str:
    """Give the token of this process, which Ray reads once; no file keeps it."""
    return secrets.token_hex(32)


def _start(**options: Any) -> None:
    """Start Ray, which would take SIGTERM for itself, and tell of workers that died, as we do."""
    import ray

    # `log_to_driver` does not cover what the raylet says, and nothing public does
    ray._private.worker._worker_logs_enabled = False
    if threading.current_thread() is not threading.main_thread():
        ray.init(**options)
        return
    before = signal.getsignal(signal.SIGTERM)
    ray.init(**options)
    signal.signal(signal.SIGTERM, before)


def check_fits(resources: Resources) -> int:
    """Give how many workers fit at once.

    Raises
    ------
    InputError
        When not even one fits, for which Ray would wait for ever.
    """
    import ray

    there = ray.cluster_resources()
    fitting = []
    for key, name, wanted in (
        ("cpus_per_worker", "CPU", resources.cpus_per_worker),
        ("gpus_per_worker", "GPU", resources.gpus_per_worker),
    ):
        if wanted > there.get(name, 0):
            raise InputError(
                f"resources.{key}: {wanted:g} wanted, but there is {there.get(name, 0):g} {name}"
            )
        if wanted:
            fitting.append(int(there[name] / wanted + 1e-9))
    return min([*fitting, resources.workers or max(fitting)])
