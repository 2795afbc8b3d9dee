"""What a job runs, in the unpacked copy of what was submitted: `python -m thalweg.flows.submitted`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

from thalweg.flows import cli
from thalweg.flows.job_details import LATER
from thalweg.flows.packing import ORDER


def main() -> NoReturn:
    """Do what the order says, in the directory that it came from where the cluster has that too."""
    copy = Path.cwd()
    order = json.loads((copy / ORDER).read_text(encoding="utf-8"))
    if Path(order["directory"]).is_dir():
        os.chdir(order["directory"])
    words = [order["command"], str(copy / order["experiment"]), "--runs", order["runs"], *order["options"]]
    for key, value in order["changes"].items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    cli.main(words, tell=_tell)


def _tell(error: Exception, runs: Path | None) -> int:
    """Say what went wrong, and by the exit code whether who submitted it may try again."""
    from thalweg.flows.services.retrying import hopeful

    code = cli.tell(error, runs)
    return LATER if hopeful(error) else code


if __name__ == "__main__":
    main()
