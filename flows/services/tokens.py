"""The tokens of `thalweg up`: made at its first start, kept in files that only their owner reads."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from thalweg.storage.errors import InputError

NAMES = ("prefect", "ray", "dashboard", "metrics")
USER = "thalweg"  # Prefect wants `user:password`


def token_file(home: Path, name: str) -> Path:
    """Give the file of a token."""
    return home / "tokens" / name


def make_tokens(home: Path) -> dict[str, str]:
    """Give the tokens, made where they are not there.

    Raises
    ------
    InputError
        When others may read one that is there, or nothing can be written.
    """
    folder = home / "tokens"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        for name in NAMES:
            with suppress(FileExistsError):
                descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as stream:
                    stream.write(secrets.token_hex(32))
    except OSError as error:
        reason = f"cannot be written to: {error.strerror}"
        raise InputError(f"{folder}: {reason}; THALWEG_SERVICES names another place") from None
    return {name: read_token(home, name) for name in NAMES}


def read_token(home: Path, name: str) -> str:
    """Give a token.

    Raises
    ------
    InputError
        When it is not there, is empty, or others may read it.
    """
    file = token_file(home, name)
    try:
        mode, text = file.stat().st_mode, file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise InputError(f"{file}: others may read it: chmod 600 {file}")
    if not text:
        raise InputError(f"{file}: is empty: delete it, and `thalweg up` makes another")
    return text


def authorization(token: str) -> str:
    """Give what Prefect is shown: user and password."""
    return f"{USER}:{token}"
