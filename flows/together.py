"""One model on several workers: Ray Train starts them and joins them, and they train it together."""

from __future__ import annotations

import os
import pickle
import zlib
from pathlib import Path
from typing import Any

from thalweg.flows import worker
from thalweg.flows.cluster import workers_that_fit
from thalweg.flows.scratch import scratch_folder
from thalweg.flows.search_spec import Resources

RUN_PACKED = "thalweg.flows.worker:run_packed"
RESIZE_SECONDS = 300.0  # between looks at whether more workers have room: each change costs a restart

SETTINGS = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay where the job's files are
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # a process and its start less; a node that goes away is seen when it is gone
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


def execute(packed: bytes, directory: str, threads: int, runner: str = worker.RUN_CELL) -> None:
    """Run ``runner(cell, folder)`` in all workers of a cell, as :func:`thalweg.flows.worker.execute` in one.

    Raises
    ------
    LostWorkerError
        When one of them has gone away. The others are ended: the cell can begin again from its checkpoint.
    """
    worker.enter(directory)
    cell, folder = worker.unpack(packed)
    worker.check_shared(folder)
    call(cell.experiment.resources, (directory, threads), RUN_PACKED, packed, runner)


def call(resources: Resources, place: tuple[str, int], function: str, *arguments: Any) -> Any:
    """Call a function in all workers of a model; gives what the first of them gives.

    There are fewer workers than wanted where no more have room, after the loss of a node say.

    Parameters
    ----------
    place : working directory and number of threads.
    function : ``package.module:function``; it finds the others by
        :meth:`thalweg.models.group.Group.current`.

    Raises
    ------
    LostWorkerError
        When a worker has gone away; any error that one of them raised is raised here.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in SETTINGS.items()})
    from ray import train

    given = {"place": place, "function": function, "arguments": zlib.compress(pickle.dumps(arguments))}
    # what is kept and gone on with is in the run's folder; Ray Train wants one of its own
    with scratch_folder() as scratch:
        while True:
            try:
                return _trainer(resources, given, scratch).fit().return_value
            except train.TrainingFailedError as error:
                if not _lacked_room(error):
                    raise _cause(error) from None


def _trainer(resources: Resources, given: dict[str, Any], scratch: Path) -> Any:
    from ray import train
    from ray.train.torch import TorchConfig, TorchTrainer

    # Ray would try a loss of NaN again like a lost node, and wait for ever for one that went away as the
    # workers started: who called us knows better
    failures = train.FailureConfig(max_failures=0, controller_failure_limit=0)
    return TorchTrainer(
        _member,
        train_loop_config=given,
        # NCCL takes no two workers on one GPU
        torch_config=TorchConfig(backend="nccl" if resources.gpus_per_worker >= 1 else "gloo"),
        scaling_config=_scaling(resources),
        run_config=train.RunConfig(name="model", storage_path=str(scratch), failure_config=failures),
    )


def _scaling(resources: Resources) -> Any:
    """Give how many workers there are to be: all of them, or as many as fit where nodes are missing.

    Only the latter takes part in Ray Train's elastic scaling, which keeps places for minutes for a driver
    that was killed.
    """
    from ray import train

    wanted = {"CPU": float(resources.cpus_per_worker), "GPU": float(resources.gpus_per_worker)}
    workers = resources.workers_per_model
    return train.ScalingConfig(
        num_workers=workers if workers_that_fit(resources) >= workers else (1, workers),
        use_gpu=resources.gpus_per_worker > 0,
        resources_per_worker={key: amount for key, amount in wanted.items() if amount},
        elastic_resize_monitor_interval_s=RESIZE_SECONDS,
    )


def _member(given: dict[str, Any]) -> Any:
    """Call the function; runs in each worker."""
    directory, threads = given["place"]
    worker.set_threads(threads)
    worker.enter(directory)
    return worker.find(given["function"])(*pickle.loads(zlib.decompress(given["arguments"])))


def _lacked_room(error: Exception) -> bool:
    """Tell whether the workers could not all be placed: others had the room, or a node just went away."""
    return type(getattr(error, "controller_failure", None)).__name__ == "WorkerGroupStartupTimeoutError"


def _cause(error: Exception) -> Exception:
    """Give what went wrong: a worker's own error, or that one was lost, of which the others' errors tell."""
    from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckFailedError

    from thalweg.models.group import LostWorkerError

    failures: list[Exception] = list(getattr(error, "worker_failures", {}).values())
    failures = failures or [getattr(error, "controller_failure", error)]
    lost_ones = (WorkerHealthCheckFailedError, WorkerGroupStartupFailedError)
    dead = [each for each in failures if isinstance(each, lost_ones)]
    own = [each for each in failures if each not in dead and not isinstance(each, LostWorkerError)]
    hopeless = [each for each in own if worker.hopeless(each)]
    if hopeless or (own and not dead):
        return (hopeless or own)[0]
    lost = LostWorkerError(
        "one of the model's workers died: it was killed, its node went away, or memory ran out"
    )
    names = {type(getattr(each, "health_check_failure", None)).__name__ for each in dead}
    lost.crowded = "OutOfMemoryError" in names
    return lost
