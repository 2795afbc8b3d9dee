"""What `thalweg run` says at its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thalweg.flows import look_count
from thalweg.flows.console import plural
from thalweg.flows.report import show_skill, skill_rows
from thalweg.storage import run_sharing

if TYPE_CHECKING:
    from thalweg.flows.run import Session


def as_json(session: Session) -> dict[str, Any]:
    """Give cells and skill for scripts."""
    cells = [
        {
            "run": f"{session.experiment.name}/{job.name}",
            "state": "done" if job.state == "kept" else job.state,
            "kept": job.state == "kept",
            "attempts": job.attempts,
            "message": job.message,
            "path": str(job.folder),
        }
        for job in session.jobs
    ]
    return {
        "experiment": session.experiment.name,
        "runs": run_sharing.named(session.folder),
        "cells": cells,
        "skill": [] if session.table is None else skill_rows(session.table),
        "looks": session.looks,
    }


def show(session: Session) -> None:
    """Print the skill table; what failed goes to standard error."""
    if session.table is not None and len(session.table):
        show_skill(session.table)
        look_count.show(session.looks)
    kept = sum(job.state == "kept" for job in session.jobs)
    done = sum(job.state == "done" for job in session.jobs)
    before = f", {kept} done before" if kept else ""
    place = run_sharing.named(session.folder)
    print(f"\n{done} of {plural(len(session.jobs), 'cell')} run{before}; results in {place}")
    for job in session.failed:
        print(f"failed: {job.name}: {job.message}", file=sys.stderr)
    if session.failed:
        print("the same command tries them again; `thalweg show RUN` says more", file=sys.stderr)
