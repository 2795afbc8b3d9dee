"""The options of `thalweg submit`, `jobs`, `logs` and `cancel`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable

Add = Callable[[ArgumentParser], None]


def add_job_commands(command: Callable[[str, str], ArgumentParser], common: tuple[Add, Add, Add]) -> None:
    """Add the commands.

    Parameters
    ----------
    command : makes the parser of a command from its name and what it does.
    common : add the options on an experiment, on the folder of runs, and on JSON.
    """
    add_experiment, add_runs, add_json = common
    added = command(
        "submit", "run an experiment as a job on a Ray cluster; one that runs there already is attached to"
    )
    add_experiment(added)
    add_runs(added)
    _add_address(added)
    added.add_argument("--search", action="store_true", help="`thalweg search` rather than `thalweg run`")
    added.add_argument("--force", action="store_true", help="replace what was made under this name")
    added.add_argument("--yes", action="store_true", help="allow more than 1,000 trials of a search")
    added.add_argument("--blind", action="store_true", help="show no scores of the tests")
    added.add_argument("--wait", action="store_true", help="follow what it says until it ends")
    add_json(added)

    added = command("jobs", "list the jobs that were submitted to a cluster")
    _add_address(added)
    add_json(added)

    added = command("logs", "print what a job says")
    added.add_argument("id", metavar="ID", help="of the job, or the beginning of it")
    added.add_argument("-f", "--follow", action="store_true", help="until it ends")
    _add_address(added)

    added = command("cancel", "stop a job; what is done is kept")
    added.add_argument("id", metavar="ID", help="of the job, or the beginning of it")
    _add_address(added)


def _add_address(added: ArgumentParser) -> None:
    added.add_argument(
        "--address",
        metavar="URL",
        help="of the cluster's dashboard, such as http://head:8265; without it $RAY_API_SERVER_ADDRESS, or "
        "this machine",
    )
