"""Looks for secrets where none may be: in files, and in the command lines of processes."""

import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def spelled(secrets: Iterable[str]) -> list[bytes]:
    """Give secrets as they may be written, also as the user and password that HTTP shows."""
    plain = [each.encode() for each in secrets]
    return [*plain, *(b64encode(each) for each in plain)]


def files_with(secrets: Iterable[str], folder: Path) -> set[str]:
    """Give the files under a folder that hold one of some secrets."""
    wanted, found = spelled(secrets), set()
    for file in folder.rglob("*"):
        try:
            if file.is_file() and not file.is_symlink() and _holds(file, wanted):
                found.add(str(file))
        except OSError:  # Ray's files come and go
            continue
    return found


def commands_with(secrets: Iterable[str]) -> set[str]:
    """Give the command lines of this machine's processes that hold one of some secrets."""
    wanted, found = spelled(secrets), set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if _holds(file, wanted):
                found.add(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def _holds(file: Path, wanted: list[bytes]) -> bool:
    content = file.read_bytes()
    return any(each in content for each in wanted)


@contextmanager
def watched(secrets: Iterable[str], folders: Iterable[Path] = (), pause: float = 0.5) -> Iterator[set[str]]:
    """Look again and again while the body runs: at all command lines, and at files that do not stay."""
    over, found = threading.Event(), set[str]()
    given, places = list(secrets), list(folders)

    def look() -> None:
        while not over.wait(pause):
            found.update(commands_with(given))
            for each in places:
                found.update(files_with(given, each))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()
