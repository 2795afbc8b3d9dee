"""``ray start`` without the server of Ray's client.

Ray starts that server wherever gRPC is installed, at port 10001, and has no option against it. Nothing here
uses it: jobs go to the dashboard's port, and programs on the machine to the head's.
"""

from __future__ import annotations

import sys

from ray.scripts import scripts

MODULE = "thalweg.flows.services.ray_head"


def main() -> None:
    """Do what ``ray`` does with the same words."""
    if hasattr(scripts, "get_ray_client_dependency_error"):  # by which it tells whether gRPC is there
        scripts.get_ray_client_dependency_error = lambda: ImportError("the client's server is not wanted")
    sys.exit(scripts.cli(prog_name="ray"))


if __name__ == "__main__":
    main()
