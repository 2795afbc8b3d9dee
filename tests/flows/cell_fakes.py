"""Cells that behave badly in known ways; copied into the working directory, from where workers import."""

import os
import resource
import signal
import time

from thalweg.flows.manifest import describe
from thalweg.storage.errors import InputError
from thalweg.storage.results import write_manifest, write_metrics, write_status


class Prepared:
    """As much of a preparation as a manifest needs."""

    class dataset:  # noqa: N801
        attrs = {"snapshot": "abc"}  # noqa: RUF012

    class statistics:  # noqa: N801
        hash = "x"

    attributes = ()


def tries(folder):
    """Count the attempts at a cell, in a file beside its folder."""
    path = folder.with_name(folder.name + ".tries")
    count = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(count))
    return count


def good(cell, folder):
    write_manifest(folder, describe(cell, Prepared()))
    write_status(folder, {"state": "running", "epoch": 1, "epochs": 1, "loss": 0.5})
    tries(folder)
    write_status(folder, {"state": "done", "epoch": 1, "epochs": 1, "loss": 0.5})


def killed_once(cell, folder):
    if cell.model == "hybrid" and tries(folder) == 1:
        write_status(folder, {"state": "running", "epoch": 1, "epochs": 2})
        os.kill(os.getpid(), signal.SIGKILL)
    good(cell, folder)


def killed_within_an_epoch(cell, folder):
    """Be killed twice, each time a little further in the first epoch."""
    if cell.model == "hybrid" and tries(folder) <= 2:
        (folder / "checkpoint.pt").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    good(cell, folder)


def never_good(cell, folder):
    if cell.model != "hybrid":
        return good(cell, folder)
    tries(folder)
    raise RuntimeError("it\nbroke")


def bad_input(cell, folder):
    tries(folder)
    raise InputError("the store has no such thing")


def bad_code(cell, folder):
    tries(folder)
    raise KeyError("watr")


def full_disk(cell, folder):
    if cell.model != "hybrid":
        return good(cell, folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        import pandas as pd

        write_metrics(folder, pd.DataFrame({"site": [str(i) for i in range(5000)], "nse": 0.123}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def slow(cell, folder):
    write_manifest(folder, describe(cell, Prepared()))
    try:
        for epoch in range(1, 200):
            write_status(folder, {"state": "running", "epoch": epoch, "epochs": 200, "loss": 1 / epoch})
            time.sleep(0.05)
    except KeyboardInterrupt:
        write_status(folder, {"state": "stopped", "epoch": epoch, "epochs": 200})
        raise


def threads(cell, folder):
    good(cell, folder)
    (folder / "threads.txt").write_text(f"{os.environ['OMP_NUM_THREADS']} {os.environ['NUMBA_NUM_THREADS']}")
