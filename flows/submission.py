"""`thalweg submit`: an experiment as a job on a Ray cluster, which lives on when we go."""

from __future__ import annotations

import getpass
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from thalweg.flows.check import check
from thalweg.flows.job_details import Job, UnknownJobError
from thalweg.flows.jobs import Jobs
from thalweg.flows.packing import Package, pack
from thalweg.flows.scratch import scratch_folder
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError

RESUBMISSIONS = 3  # to a cluster that was started anew while we waited
Command = Literal["run", "search"]


@dataclass(frozen=True)
class Submission:
    """An experiment that was submitted.

    Attributes
    ----------
    id : of the job.
    attached : whether it was there already, and runs.
    """

    jobs: Jobs
    id: str
    attached: bool
    order: Order

    def job(self) -> Job:
        """Give its state now."""
        return self.jobs.find(self.id)

    def logs(self) -> str:
        """Give what it has said so far."""
        return self.jobs.logs(self.id)

    def cancel(self) -> bool:
        """Stop it; what is done is kept, and submitting again goes on from there."""
        return self.jobs.cancel(self.id)

    def wait(self, write: Callable[[str], object] = sys.stdout.write) -> Job:
        """Pass on what it says until it ends; returns how it ended.

        A cluster that was started anew has forgotten its jobs: then it is submitted again, and goes on.
        """
        submission = self
        for _ in range(RESUBMISSIONS):
            try:
                return submission.jobs.follow(submission.id, write)
            except UnknownJobError:
                print(f"{submission.id}: the cluster has forgotten it: submitting again", file=sys.stderr)
                jobs = Jobs(self.jobs.address)
                submission = self.order.submit(jobs)
        return submission.jobs.follow(submission.id, write)


@dataclass(frozen=True)
class Order:
    """A packed experiment and the name of its job."""

    name: str
    package: Package
    metadata: Mapping[str, str]

    def submit(self, jobs: Jobs) -> Submission:
        """Attach to the job where it runs, else submit it, under the next number where it ran before."""
        with scratch_folder() as folder:
            path = folder / f"{self.package.digest[:16]}.zip"
            path.write_bytes(self.package.content)
            for _ in range(RESUBMISSIONS):
                same = [job for job in jobs.all() if job.id.rpartition("-")[0] == self.name]
                alive = next((job for job in same if not job.ended), None)
                if alive is not None:
                    self._compare(alive)
                    return Submission(jobs, alive.id, True, self)
                number = max((int(job.id.rpartition("-")[2]) for job in same), default=0) + 1
                if jobs.submit(f"{self.name}-{number}", path, self.metadata):
                    return Submission(jobs, f"{self.name}-{number}", False, self)
        raise InputError(f"{self.name}: somebody submits the same at the same time; try again")

    def _compare(self, alive: Job) -> None:
        if alive.package != self.metadata["package"]:
            print(
                f"warning: {alive.id} runs the code of when it was submitted, which has changed since; "
                "cancel it and submit again to run the new one",
                file=sys.stderr,
            )


def submit(
    experiment: str | Path,
    address: str | None = None,
    *,
    runs: str | Path = "runs",
    changes: Mapping[str, Any] | None = None,
    command: Command = "run",
    options: tuple[str, ...] = (),
) -> Submission:
    """Submit an experiment; one that runs there already is attached to.

    Parameters
    ----------
    experiment : its file.
    address : of the cluster's dashboard; see :class:`thalweg.flows.jobs.Jobs`.
    runs : ``s3://bucket/prefix``, or a folder of all runs on storage that all nodes of the cluster share.
        Relative ones are of this directory.
    changes : dotted keys with values that take the place of the file's.
    options : further options of ``thalweg run`` or ``thalweg search``.

    Raises
    ------
    InputError
        When anything in the experiment is wrong, as far as can be known here: a store out of reach is none.
    UnavailableError
        When the cluster does not answer.
    """
    order = _order(Path(experiment), runs, dict(changes or {}), command, options)
    return order.submit(Jobs(address))


def _order(
    path: Path, runs: str | Path, changes: dict[str, Any], command: Command, options: tuple[str, ...]
) -> Order:
    checked = check(path, changes, elsewhere=True)
    checked.raise_problems()
    experiment = checked.experiment
    assert experiment is not None
    if command == "search" and experiment.search is None:
        raise InputError(f"{path}: has no `search` section; give it one with `model` and `space`")
    content = experiment.model_dump(mode="json")
    folder = run_sharing.named(run_sharing.opened(runs).absolute())
    digest = hashlib.sha256(json.dumps([content, folder, command], sort_keys=True).encode()).hexdigest()
    order = {
        "command": command,
        "changes": changes,
        "options": list(options),
        "runs": folder,
        "directory": str(Path.cwd()),
    }
    package = pack(path, content, order)
    metadata = {
        "experiment": experiment.name,
        "command": command,
        "runs": folder,
        "package": package.digest[:16],
        "user": getpass.getuser(),
    }
    return Order(f"{experiment.name}-{digest[:10]}", package, metadata)
