"""`thalweg schedule`: a deployment on a Prefect server; where there is none, by the clock in this process."""

from __future__ import annotations

import math
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg.flows import specfile
from thalweg.flows.check import check
from thalweg.flows.console import print_json
from thalweg.flows.ingestion import options_of, read_spec
from thalweg.flows.scheduling import make_schedule, serve
from thalweg.flows.server import configured_url
from thalweg.flows.services import catalogue
from thalweg.flows.services.settings import read
from thalweg.flows.services.state import read_state
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError

DONE = 0
KINDS = ("ingest", "experiment", "nightly")


def schedule(options: Namespace) -> int:
    """Make a deployment, or delete one, or stay and do the work by the clock."""
    if options.cron is None and not options.remove:
        raise InputError('--cron is missing: write five fields, such as "0 3 * * *"')
    if not 0 < options.time_limit < math.inf:
        raise InputError(f"--time-limit {options.time_limit:g}: must be more than 0 hours, and a number")
    if options.remove:
        return _remove(options)
    kind = kind_of(options.spec, ingest=options.ingest)
    with known_server() as there:  # before Prefect is imported, which reads the environment once
        timing = make_schedule(options.cron, options.timezone)
        if there and not options.here:
            from thalweg.flows.services import deploying

            made = deploying.deploy(kind, options, timing)
            print_json(made) if options.json else print(deploying.words(made))
            return DONE
        if kind == "ingest":
            return serve(options.spec, options.cron, options.timezone)
        return serve(options.spec, options.cron, options.timezone, work=parameters(kind, options))


def _remove(options: Namespace) -> int:
    """Delete the deployment of a file, which need not be there any more, nor be right."""
    try:
        kinds: Sequence[str] = (kind_of(options.spec, ingest=options.ingest),)
    except InputError:
        kinds = KINDS
    with known_server() as there:
        if not there:
            raise InputError("--remove: there is no Prefect server: start it with `thalweg up`")
        from thalweg.flows.services import deploying

        print(f"deleted {', '.join(deploying.remove(options.spec, kinds))}")
    return DONE


def parameters(kind: str, options: Namespace) -> dict[str, Any]:
    """Give what the flow is told."""
    return {
        "kind": kind,
        "spec": str(options.spec),
        "directory": str(Path.cwd()),
        "runs": run_sharing.named(Path(options.runs).absolute()),
        "force": options.force,
        "hours": options.time_limit,
    }


def kind_of(path: Path, *, ingest: bool = False) -> str:
    """Tell what a file describes, after checking it: against its store too where that is within reach.

    Raises
    ------
    InputError
        With one line for each mistake in it.
    """
    content = specfile.read(path).content
    if "nightly" in content:
        from thalweg.flows.nightly_spec import read_chain

        read_chain(path)
        return "nightly"
    if "models" in content and not ingest:
        check(path, {}, elsewhere=True).raise_problems()
        return "experiment"
    options_of(read_spec(path))
    return "ingest"


@contextmanager
def known_server() -> Iterator[bool]:
    """Let Prefect talk to the server that environment or profile name, or that of `thalweg up`, if any."""
    if configured_url():
        yield True
        return
    state = read_state(read().home)
    prefect = next((each for each in state.services if each.name == "prefect"), None) if state else None
    if state is None or prefect is None or prefect.process is None or not prefect.process.alive():
        yield False
        return
    added = catalogue.clients_of(state)
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield True
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    sys.stdout.flush()
