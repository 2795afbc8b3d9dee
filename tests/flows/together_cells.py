"""Cells of several workers of which one comes to grief; copied into the working directory of the workers."""

import os
import signal
import threading
import time
from pathlib import Path

from thalweg.flows.cell import run_cell
from thalweg.models.group import Group
from thalweg.storage.errors import InputError


def killed(cell, folder):
    """The second worker is killed when a checkpoint is there, the first time."""
    note(folder)
    if Group.current().rank == 1 and not Path("killed.once").exists():
        threading.Thread(target=die_with, args=[folder / "checkpoint.pt"], daemon=True).start()
    run_cell(cell, folder)


def die_with(checkpoint):
    while not checkpoint.exists():
        time.sleep(0.002)
    Path("killed.once").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def note(folder):
    """Write down who began, among how many."""
    import ray

    group = Group.current()
    with folder.with_name(folder.name + ".workers").open("a") as stream:
        stream.write(f"{group.rank} {group.size} {ray.get_runtime_context().get_node_id()}\n")


def noted(cell, folder):
    note(folder)
    run_cell(cell, folder)


def bad_input(cell, folder):
    """The second worker finds fault with its sites, while the first trains."""
    note(folder)
    if Group.current().rank == 1:
        raise InputError("forcing 'temperature' is missing at site 7")
    run_cell(cell, folder)
