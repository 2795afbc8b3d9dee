"""Runs what the pages say, in a folder with what they speak of."""

import os
import subprocess
import sys
from pathlib import Path

from doc_blocks import PAGES, blocks_of, named
from doc_ways import run_by

EXPERIMENT = {
    "name": "sample",
    "data": {
        "store": "data/sample.zarr",
        "source": {"kind": "caravan", "path": "examples/caravan_sample"},
    },
    "splits": [
        {
            "kind": "temporal",
            "train": ["1989-10-01", "1994-09-30"],
            "test": ["1999-10-01", "2004-09-30"],
            "validate": ["1995-10-01", "1998-09-30"],
        }
    ],
    "models": {
        "lstm": {"kind": "lstm", "hidden": 4, "conformal": {"level": 0.9}},
        "hybrid": {"kind": "hybrid", "process": "hbv", "components": 2, "training": {"seeds": [1, 2]}},
    },
    "training": {"epochs": 1, "steps_per_epoch": 2, "window": 365, "warmup": 365, "batch_sites": 20},
    "search": {
        "algorithm": "random",
        "model": "lstm",
        "trials": 2,
        "space": {"training.learning_rate": {"log_uniform": [1e-3, 1e-2]}},
    },
}


def run(command, folder, code=0, **environment):
    """Run a command as a person would, in a shell, and give what it said.

    Parameters
    ----------
    code : with which it is to end.
    environment : beyond that of the tests.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def perform(page, folder, monkeypatch, replaced=None, given=None):
    """Do what a page says, block by block, in a folder, but for the commands that others run.

    Parameters
    ----------
    replaced : what stands for what in its blocks.
    given : names that its code takes for granted.
    """
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = dict(given or {})
    done = []
    for block in blocks_of(next(each for each in PAGES if each.name == page)):
        if block.file:
            Path(block.file).write_text(other_words(block.text, replaced))
        elif block.kind == "python":
            exec(compile(other_words(block.text, replaced), named(block), "exec"), names)
        elif block.kind == "commands":
            for command in run_by("test_docs_run.py", block):
                command = other_words(command, replaced)
                done.append((command, run(command, folder)))
    return done


def other_words(text, replaced):
    """Put names that are there, and small numbers, in the place of those of a page."""
    for old, new in (replaced or {}).items():
        text = text.replace(old, new)
    return text
