"""Cells that train nothing and need no torch, for tests of what befalls them; workers import this module.

Every epoch of every attempt is written down beside the run's folder: what was done twice can be counted.
"""

import json
import os
import signal
import time
from pathlib import Path

from thalweg.flows.ledger import Meter
from thalweg.storage.atomic import write_text
from thalweg.storage.results import write_status


def stepping(cell, folder):
    """Train by sleeping; a checkpoint each epoch."""
    with Meter(folder, every=0.3) as meter:
        write_text(folder / "manifest.json", json.dumps({"model": cell.model}))
        place = folder / "checkpoint.txt"
        done = int(place.read_text()) if place.exists() else 0
        try:
            for epoch in range(done + 1, cell.epochs + 1):
                time.sleep(cell.step)
                note(folder, epoch)
                write_text(place, str(epoch))
                write_status(folder, {"state": "running", "epoch": epoch, "epochs": cell.epochs})
        except BaseException:
            if not meter.superseded:
                write_status(folder, {"state": "stopped"})
            raise
        write_status(folder, {"state": "done", "epoch": cell.epochs, "epochs": cell.epochs})
        place.unlink()


def note(folder, epoch):
    """Add a line: epoch, process, time, node."""
    line = {"epoch": epoch, "process": os.getpid(), "time": time.time(), "node": node()}
    with folder.with_name(folder.name + ".epochs").open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def node():
    import ray

    return ray.get_runtime_context().get_node_id()


def killed(cell, folder):
    """Be killed in the third epoch, once, if the cell's name says so."""
    if cell.model == "killed" and not folder.with_name("killed.once").exists():
        folder.with_name("killed.once").touch()
        signal.signal(signal.SIGALRM, lambda *ignored: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, 2.5 * cell.step)
    stepping(cell, folder)


def out_of_memory(cell, folder):
    """Want more than there is, if the cell's name says so."""
    if cell.model != "greedy":
        return stepping(cell, folder)
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 300 * 2**20, before[1]))
    try:
        note(folder, 0)
        return bytearray(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def hungry(cell, folder):
    """Take memory until somebody ends it, if the cell's name says so."""
    if cell.model != "greedy":
        return stepping(cell, folder)
    note(folder, 0)
    held = []
    while True:
        held.append(bytearray(os.urandom(2**20)) * 64)
        time.sleep(0.02)


def fills_the_object_store(cell, folder):
    """Put more into Ray's object store than it holds, if the cell's name says so."""
    if cell.model != "greedy":
        return stepping(cell, folder)
    import numpy as np
    import ray

    note(folder, 0)
    held = [ray.put(np.ones(2**22)) for _ in range(16)]
    return len(held)
