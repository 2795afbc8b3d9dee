"""``ray start`` without the server of Ray's client, in a folder that nobody else enters.

Ray starts that server wherever gRPC is installed, at port 10001, and has no option against it. Nothing here
uses it: jobs go to the dashboard's port, and programs on the machine to the head's. And Ray lets everybody
write in its temporary folder, where the code of jobs lies: that stands in one of our own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ray.scripts import scripts


def main() -> None:
    """Do what ``ray`` does with the same words."""
    enclose(Path(sys.argv[sys.argv.index("--temp-dir") + 1]).parent)
    if hasattr(scripts, "get_ray_client_dependency_error"):  # by which it tells whether gRPC is there
        scripts.get_ray_client_dependency_error = lambda: ImportError("the client's server is not wanted")
    sys.exit(scripts.cli(prog_name="ray"))


def enclose(folder: Path) -> None:
    """Make a folder for this user alone; ends the program where somebody else has one of that name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        sys.exit(f"{folder}: belongs to somebody else; remove it, or set TMPDIR to another folder")
    folder.chmod(0o700)


if __name__ == "__main__":
    main()
