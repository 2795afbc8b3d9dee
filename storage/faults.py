"""What Icechunk and the system say when something is wrong, in one line that a person can act on."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from thalweg.storage.atomic import out_of_room
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.location import Location

REFUSED = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)

# What stands in Icechunk's errors. Its texts hold the system's and the object store's own.
NO_ROOM = r"No space left|quota exceeded|File too large"
DENIED = r"AccessDenied|Permission denied|Read-only file system|Operation not permitted|Forbidden"
WRONG_KEY = r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|no providers in chain"
NO_BUCKET = r"NoSuchBucket"


def lasting(problem: Exception) -> bool:
    """Tell whether an error of Icechunk's stays until a person does something about rights or the bucket."""
    return re.search(rf"{DENIED}|{WRONG_KEY}|{NO_BUCKET}", str(problem)) is not None


@contextmanager
def explained(location: Location, what: str = "") -> Iterator[None]:
    """Raise an error of one line for what went wrong with a store; other errors go through.

    Parameters
    ----------
    what : that is read or written, such as a chunk.

    Raises
    ------
    InputError
        For what stays wrong until a person does something: no space, no permission, damaged data.
    UnavailableError
        For an object store that did not answer, or with errors, to many tries.
    """
    from thalweg.storage.icechunk import icechunk

    try:
        yield
    except icechunk.IcechunkError as problem:
        raise _explained(location, what, str(problem)) from problem
    except OSError as problem:
        if out_of_room(problem):
            raise InputError(_no_room(location)) from problem
        if problem.errno in REFUSED:
            raise InputError(f"{location}: cannot be written: {problem.strerror}") from problem
        raise


def _explained(location: Location, what: str, text: str) -> Exception:
    where = f"{location}: {what}" if what else str(location)
    cause = _cause(text)
    if re.search(NO_ROOM, text, re.IGNORECASE):
        return InputError(_no_room(location))
    if re.search(WRONG_KEY, text):
        return InputError(f"{where}: wrong credentials; see AWS_ACCESS_KEY_ID ({cause})")
    if re.search(DENIED, text):
        return InputError(f"{where}: permission denied; ask for the right to use it ({cause})")
    if re.search(NO_BUCKET, text):
        return InputError(f"{location}: no such bucket; make it first")
    if "repository doesn't exist" in text:
        return InputError(no_store(location))
    if re.search(r"status code: 5|Error performing|error sending request|tim(ed )?(e)?out", text):
        address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "S3"
        return UnavailableError(f"{where}: {address} did not answer, or only with errors ({cause})")
    if re.search(r"conflict|already exists", text):
        return UnavailableError(f"{where}: another process changed it at the same time ({cause})")
    return InputError(
        f"{where} is damaged or missing ({cause}); "
        "restore the store from a copy, or delete it and ingest again"
    )


def no_store(location: Location) -> str:
    """Give the line for a place without a store."""
    return f"{location}: no such store; run `thalweg ingest`, or give `source` in `data` to make it"


def _cause(text: str) -> str:
    """Give the innermost cause of an Icechunk error in one line."""
    lines = [line.strip(" |`->×x") for line in text.splitlines() if line.strip(" |`->×x")]
    last = lines[-1] if lines else "no reason given"
    code = re.search(r"<Code>(\w+)</Code>", text) or re.search(r'code: "(\w+)"', last)
    return code[1] if code else last


def _no_room(location: Location) -> str:
    text = f"{location}: no space left on the disk"
    if not location.remote:
        place = next(folder for folder in location.path.absolute().parents if folder.is_dir())
        text += f" (only {shutil.disk_usage(place).free / 1e6:.0f} MB free)"
    return text + "; nothing was changed"
