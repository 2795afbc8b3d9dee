"""``ray start`` without the server of Ray's client, in a folder that nobody else enters.

Ray starts that server wherever gRPC is installed, at port 10001, and has no option against it. Nothing here
uses it: jobs go to the dashboard's port, and programs on the machine to the head's. And Ray lets everybody
write in its temporary folder, where the code of jobs lies: where one is named, it stands in one of our own.
In a container, which has no other users, none need be.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from ray.scripts import scripts


def main() -> None:
    """Do what ``ray`` does with the same words."""
    folder = temporary(sys.argv)
    if folder is not None:
        enclose(folder.parent)
    if hasattr(scripts, "get_ray_client_dependency_error"):  # by which it tells whether gRPC is there
        scripts.get_ray_client_dependency_error = lambda: ImportError("the client's server is not wanted")
    sys.exit(scripts.cli(prog_name="ray"))


def temporary(words: Sequence[str]) -> Path | None:
    """Give the temporary folder that a command line names."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        name, _, value = word.partition("=")
        if name == "--temp-dir" and (value or following):
            return Path(value or following)
    return None


def enclose(folder: Path) -> None:
    """Make a folder for this user alone; ends the program where somebody else has one of that name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        sys.exit(f"{folder}: belongs to somebody else; remove it, or set TMPDIR to another folder")
    folder.chmod(0o700)


if __name__ == "__main__":
    main()
