"""Runs in an object store, as the commands read them: brought up to date before, and sent after."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thalweg.storage import looks, run_sharing
from thalweg.storage.run_mirror import results


def read(options: Namespace) -> None:
    """Bring what all runs tell of themselves up to date; names may be those of the object store."""
    root: Path = options.runs
    if run_sharing.mirror_of(root) is None:
        return
    run_sharing.pull(root)
    run_sharing.pull_lines(root / looks.FILE)
    before = f"{run_sharing.named(root)}/"
    for key in ("run", "experiment"):
        if isinstance(getattr(options, key, None), str):
            setattr(options, key, getattr(options, key).removeprefix(before))
    if hasattr(options, "names"):
        options.names = [name.removeprefix(before) for name in options.names]


@contextmanager
def evaluated(options: Namespace, names: list[str]) -> Iterator[None]:
    """Take all of the experiments that runs are of, and send what the body adds to them."""
    read(options)
    root: Path = options.runs
    if run_sharing.mirror_of(root) is None:
        yield
        return
    given = {name.removeprefix(f"{run_sharing.named(root)}/").strip("/").partition("/")[0] for name in names}
    # the beginning of a run's name will do
    folders = [root / name for name in sorted(given) if (root / name).is_dir()] or [root]
    for folder in folders:
        run_sharing.pull(folder, results)
    try:
        yield
    finally:
        for folder in folders:
            run_sharing.push(folder, whole=True)
