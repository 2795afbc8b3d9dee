"""What runs in a worker process: one cell."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

from thalweg.flows import logs
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError

RUN_CELL = "thalweg.flows.cell:run_cell"

# Errors that come again with the same seed on the same data, by name: importing them here would
# import torch before the number of threads is set. The first are for people, the others mistakes in code.
CLEAR = ("InputError", "DivergenceError")
HOPELESS = (
    *CLEAR,
    *("TypeError", "AttributeError", "NameError", "ValueError", "KeyError", "NotImplementedError"),
)

SEEN_SECONDS = 10.0  # within which a new folder is seen by every node that shares it
LONGEST_REASON = 500  # characters

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def pack(cell: Any, folder: Path) -> bytes:
    """Give what :func:`execute` takes; small, so that it goes with the task and not by the object store."""
    return zlib.compress(pickle.dumps((cell, run_sharing.place_of(folder))))


def execute(packed: bytes, directory: str, threads: int, runner: str = RUN_CELL) -> None:
    """Run ``runner(cell, folder)`` in a working directory.

    Parameters
    ----------
    packed : from :func:`pack`; unpacked only when the number of threads is set, since numerical
        libraries read it when they are imported.
    runner : ``package.module:function``; a module of the working directory will do.

    Raises
    ------
    InputError
        When the folder, which the driver has made, is not there on this machine.
    """
    set_threads(threads)
    enter(directory)
    # a command started in the background ignores SIGINT and so do its workers; Ray stops them by it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    run_packed(packed, runner)


def run_packed(packed: bytes, runner: str) -> None:
    """Run ``runner(cell, folder)``; of several workers of a model the first one keeps the run's folder."""
    cell, folder = unpack(packed)
    check_shared(folder)
    told = {"experiment": folder.parent.name, "run": folder.name, "snapshot": cell.snapshot}
    if _helps():
        if not _agreed(False):
            find(runner)(cell, folder)
        return
    with run_sharing.worked_on(folder):
        # it is done where its end could not be sent, or its node was lost before it could tell
        if not _agreed(_is_done(cell, folder)):
            with logs.told("cell", **told):
                find(runner)(cell, folder)


def _is_done(cell: Any, folder: Path) -> bool:
    """Tell whether an earlier attempt at a cell, which its driver marked as waiting, has finished it."""
    from thalweg.flows.plan import is_of  # not before the number of threads is set
    from thalweg.storage.run import Run

    run = Run(folder)
    return run.state == "done" and bool(run.manifest) and is_of(run, cell, cell.snapshot)


def _agreed(found: bool) -> bool:
    """Give what the first of several workers of a model found; what is found by one that is alone."""
    answer = [found]
    if (group := _group()) is not None:
        group.broadcast_object_list(answer)
    return answer[0]


def _helps() -> bool:
    """Tell whether this is a worker of a model other than its first."""
    group = _group()
    return group is not None and bool(group.get_rank())


def _group() -> Any:
    """Give `torch.distributed` where several workers train a model."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed


def unpack(packed: bytes) -> tuple[Any, Path]:
    """Give cell and folder of :func:`pack`."""
    cell, place = pickle.loads(zlib.decompress(packed))
    return cell, run_sharing.folder_at(place)


def check_shared(folder: Path) -> None:
    """Raise :class:`InputError` when the folder, which the driver has made, is not there."""
    if run_sharing.mirror_of(folder) is not None:
        return
    deadline = time.monotonic() + SEEN_SECONDS
    while not (folder / "status.json").exists():
        if time.monotonic() > deadline:
            raise InputError(
                f"{folder}: is not there on node {os.uname().nodename}; --runs must name a folder on storage "
                "that all nodes of the cluster share"
            )
        time.sleep(0.2)


def hopeless(error: BaseException | None) -> bool:
    """Tell whether the same cell would fail in the same way again."""
    return not isinstance(error, OSError) and _is_one_of(error, HOPELESS)


def reason(error: BaseException | None) -> str:
    """Give one line for a person: the message, after the error's name where it needs that."""
    message = "" if error is None else " ".join(str(error).split())
    if len(message) > LONGEST_REASON:
        message = message[:LONGEST_REASON] + " ..."
    name = type(error).__name__
    if not message:
        return name
    return message if _is_one_of(error, CLEAR) else f"{name}: {message}"


def _is_one_of(error: BaseException | None, kinds: tuple[str, ...]) -> bool:
    return any(base.__name__ in kinds for base in type(error).__mro__)


def set_threads(threads: int) -> None:
    """Set how many threads the numerical libraries imported from now on may use."""
    os.environ.update(dict.fromkeys(THREADS, str(threads)))


def enter(directory: str) -> None:
    """Work in a directory and let its modules be imported, after all that is installed.

    A node of a cluster that does not have it stays where it is: in its copy of what was submitted.
    """
    if not Path(directory).is_dir():
        return
    os.chdir(directory)
    if directory not in sys.path:
        sys.path.append(directory)


def find(name: str) -> Any:
    """Import ``package.module:function``."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
