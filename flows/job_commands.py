"""`thalweg submit`, `jobs`, `logs` and `cancel`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thalweg.flows import submission
from thalweg.flows.console import console, print_json, table
from thalweg.flows.job_address import shown
from thalweg.flows.job_details import Job
from thalweg.flows.jobs import Jobs
from thalweg.flows.progress import duration
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError

DONE, FAILED = 0, 1
COLOURS = {"running": "cyan", "succeeded": "green", "failed": "red", "stopped": "yellow"}


def submit(options: Namespace, changes: Mapping[str, Any]) -> int:
    """Submit; the job's id goes to standard output, all else to standard error."""
    given = submission.submit(
        options.experiment,
        options.address,
        runs=options.runs,
        changes=changes,
        command="search" if options.search else "run",
        options=_options(options),
    )
    if options.json:
        print_json({"id": given.id, "address": given.jobs.name, "attached": given.attached})
    else:
        print(given.id, flush=True)
    where = f" --address {shown(options.address)}" if options.address else ""
    how = "runs there already" if given.attached else "submitted"
    print(
        f"{how}; it writes to {given.order.metadata['runs']}\n"
        f"follow it: thalweg logs -f {given.id}{where}\nstop it:   thalweg cancel {given.id}{where}",
        file=sys.stderr,
        flush=True,
    )
    if not options.wait:
        return DONE
    try:
        return _told(given.wait(_say if not options.json else _murmur), Path(options.runs))
    except KeyboardInterrupt:
        print(f"{given.id} goes on without us", file=sys.stderr)
        raise


def jobs(options: Namespace) -> int:
    """List jobs."""
    found = Jobs(options.address).all()
    if options.json:
        print_json([asdict(job) for job in found])
        return DONE
    if not found:
        print("no jobs; `thalweg submit EXPERIMENT` makes one")
        return DONE
    made = table("job", "state", "started (UTC)", "took", "runs", right=("took",))
    for job in found:
        made.add_row(
            job.id,
            job.state,
            f"{job.started:%Y-%m-%d %H:%M}" if job.started else "",
            duration(job.seconds) if job.seconds is not None else "",
            job.runs,
            style=COLOURS.get(job.state),
        )
    console().print(made)
    return DONE


def logs(options: Namespace) -> int:
    """Print what a job has said so far, or all of it as it comes; then with its code."""
    cluster = Jobs(options.address)
    if not options.follow:
        _say(cluster.logs(options.id))
        return DONE
    return _told(cluster.follow(cluster.find(options.id).id, _say))


def cancel(options: Namespace) -> int:
    """Stop a job."""
    cluster = Jobs(options.address)
    job = cluster.find(options.id)
    if job.ended or not cluster.cancel(job.id):
        print(f"{job.id}: has ended before: {job.state}")
        return DONE
    print(f"{job.id}: stopped; submitting it again goes on from there")
    return DONE


def _options(options: Namespace) -> tuple[str, ...]:
    if options.search and options.blind:
        raise InputError("--blind: is of `thalweg run`; a search shows scores of validation alone")
    if options.yes and not options.search:
        raise InputError("--yes: is of searches: add --search")
    names = ("force", "yes") if options.search else ("force", "blind")
    return tuple(f"--{name}" for name in names if getattr(options, name))


def _say(text: str) -> None:
    print(text, end="", flush=True)


def _murmur(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _told(job: Job, runs: Path | None = None) -> int:
    """Say how a job ended; gives the exit code."""
    if job.state == "succeeded":
        shared = runs is None or run_sharing.mirror_of(runs) is not None
        if runs is not None and not shared and not (runs / job.experiment).is_dir():
            print(f"this machine does not see {job.runs} of the cluster", file=sys.stderr)
        return DONE
    reason = "" if job.code is not None else f": {' '.join(job.message.split())[:300]}"
    print(f"{job.id}: {job.state}{reason}", file=sys.stderr)
    return job.code if job.code and job.state == "failed" else FAILED
