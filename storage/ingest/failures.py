"""Which errors may pass by themselves, and which need a person."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.storage.atomic import out_of_room
from thalweg.storage.draft import MovedError
from thalweg.storage.errors import InputError
from thalweg.storage.ingest.workers import WorkerDiedError

HOPELESS = (InputError, MovedError, PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError)


def may_pass(error: BaseException) -> bool:
    """Tell whether the same work may succeed a little later.

    A worker that died, a connection, a time limit, and an object store that is busy may; bad input, a
    full disk, missing permission and mistakes in code will not.
    """
    chain = list(_chain(error))
    if out_of_room(error) or any(isinstance(each, HOPELESS) for each in chain):
        return False
    return any(isinstance(each, WorkerDiedError | OSError) for each in chain)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
