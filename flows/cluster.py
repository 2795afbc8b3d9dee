"""Ray for one command: a private local one, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from thalweg.flows.experiment import Resources
from thalweg.flows.scratch import scratch_folder
from thalweg.storage.errors import InputError, UnavailableError

# Cells open the store themselves; only names and scores pass through Ray.
OBJECT_STORE_BYTES = 150 * 2**20

HEAD_LOOK_SECONDS = 5.0
HEAD_SILENT_SECONDS = 40.0  # Ray gives up, and ends the process, at 60

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
            _join(os.environ["RAY_ADDRESS"], options)
            yield
        finally:
            ray.shutdown()
        return
    with _private_token(), scratch_folder() as folder:
        try:
            _start(
                address="local",
                include_dashboard=dashboard,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(folder / "r"),  # in which Ray lets everybody write; nobody else comes there
                **options,
            )
            yield
        finally:
            ray.shutdown()


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


def _join(address: str, options: Mapping[str, Any]) -> None:
    """Join a cluster.

    Raises
    ------
    InputError
        When the address is of another kind.
    UnavailableError
        When no cluster answers there; Ray itself would take two minutes to find out, and end the process.
    """
    if "://" in address:
        raise InputError(
            f"RAY_ADDRESS={address}: only a machine of the cluster can join it, by HEAD:6379; from elsewhere "
            "use `thalweg submit EXPERIMENT --address http://HEAD:8265`"
        )
    if address != "auto" and not _answers(address):
        raise UnavailableError(f"RAY_ADDRESS={address}: no Ray cluster answers there")
    import ray

    try:
        _start(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        text = " ".join(str(error).split())[:300]
        raise UnavailableError(f"RAY_ADDRESS={address}: the cluster cannot be joined: {text}") from error


def _answers(address: str) -> bool:
    """Tell whether anything listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=HEAD_LOOK_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


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
    """Give how many runs fit at once.

    Raises
    ------
    InputError
        When not even one fits, for which Ray would wait for ever.
    """
    if resources.gpus_per_worker > 1 and resources.gpus_per_worker % 1:
        raise InputError(f"resources.gpus_per_worker: {resources.gpus_per_worker:g}: must be whole above 1")
    nodes = _nodes()
    workers = _workers(resources, nodes)
    if workers >= resources.workers_per_model:
        return room(resources, nodes)
    if workers:
        raise InputError(
            f"resources.workers_per_model: {resources.workers_per_model} wanted, but there is room "
            f"for {workers}"
        )
    for key, name, wanted in _wanted(resources):
        most = max((node.get(name, 0) for node in nodes), default=0)
        if wanted > most:
            where = "there is" if len(nodes) < 2 else "no node has more than"
            raise InputError(f"resources.{key}: {wanted:g} wanted, but {where} {most:g} {name}")
    raise InputError("resources: no node has both the CPUs and the GPUs that one worker wants")


def room(resources: Resources, nodes: Sequence[Mapping[str, float]] | None = None) -> int:
    """Give how many runs fit on the nodes that are there now, at most ``resources.workers``.

    Where fewer workers fit than a model is to have, one run goes on with those.
    """
    workers = _workers(resources, _nodes() if nodes is None else nodes)
    fitting = max(workers // resources.workers_per_model, min(workers, 1))
    return min(fitting, resources.workers or fitting)


def workers_that_fit(resources: Resources) -> int:
    """Give how many workers fit on the nodes that are there now, were nothing else on them."""
    return _workers(resources, _nodes())


def _workers(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> int:
    """Give how many workers fit: each is on one node, and a share of a GPU on one GPU."""
    fitting = 0
    for node in nodes:
        counts = []
        for _, name, wanted in _wanted(resources):
            if name == "GPU" and wanted < 1:
                counts.append(int(1 / wanted + 1e-9) * int(node.get(name, 0)))
            else:
                counts.append(int(node.get(name, 0) / wanted + 1e-9))
        fitting += min(counts)
    return fitting


def _wanted(resources: Resources) -> list[tuple[str, str, float]]:
    """Give what a worker wants of Ray: the key in the experiment, Ray's name, the amount."""
    wanted = [("cpus_per_worker", "CPU", resources.cpus_per_worker)]
    if resources.gpus_per_worker:
        wanted.append(("gpus_per_worker", "GPU", resources.gpus_per_worker))
    return wanted


def _nodes() -> list[Mapping[str, float]]:
    """Give the resources of each node that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


class Head:
    """Tells whether the cluster's head still answers; without it Ray ends this process after a minute."""

    def __init__(self) -> None:
        import ray

        self.address = str(ray.get_runtime_context().gcs_address)
        self.looked = self.heard = time.monotonic()

    def check(self) -> bool:
        """Look, every few seconds; False while it does not answer.

        Raises
        ------
        UnavailableError
            When it has not answered for too long.
        """
        now = time.monotonic()
        if now - self.looked < HEAD_LOOK_SECONDS:
            return self.heard >= self.looked
        self.looked = now
        if not _answers(self.address):
            silent = time.monotonic() - self.heard
            if silent > HEAD_SILENT_SECONDS:
                raise UnavailableError(
                    f"the head of the Ray cluster at {self.address} has not answered for {silent:.0f} s: "
                    "start it again; the same command then goes on from here"
                )
            return False
        self.heard = time.monotonic()
        return True
