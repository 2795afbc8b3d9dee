"""Where a cluster's dashboard is, and the token that it is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from thalweg.flows.services.settings import is_loopback
from thalweg.storage.errors import InputError

LOCAL = "http://127.0.0.1:8265"
TOKEN, TOKEN_FILE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


def dashboard_url(address: str) -> str:
    """Give an address as ``http://host:port``.

    Raises
    ------
    InputError
        When it is none.
    """
    if "://" not in address:
        address = f"http://{address}"
    try:
        parts = urlsplit(address.rstrip("/"))
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        good = False
    if not good:
        raise InputError(
            f"{shown(address)}: is no address of a Ray dashboard: write one such as http://head:8265"
        )
    return f"{parts.scheme}://{parts.netloc}"


def shown(address: str) -> str:
    """Give an address as it may be shown: without a password."""
    return re.sub(r":[^:@/]*@", ":***@", address)


def host_and_port(url: str) -> tuple[str, int]:
    """Give where to connect."""
    parts = urlsplit(url)
    return str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)


def is_local(url: str) -> bool:
    """Tell whether an address is this machine's own."""
    return is_loopback(host_and_port(url)[0])


def token_for(url: str) -> str | None:
    """Give the token to show there.

    It is the one of ``RAY_AUTH_TOKEN`` or of the file that ``RAY_AUTH_TOKEN_PATH`` names. The one in Ray's
    own file is this machine's: others are not shown it, unless ``RAY_AUTH_MODE=token`` says so.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    if os.environ.get(TOKEN):
        return os.environ[TOKEN].strip()
    named = os.environ.get(TOKEN_FILE)
    own = is_local(url) or os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    if not named and not (own and path.exists()):
        return None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise InputError(f"{TOKEN_FILE}: {path} cannot be read: {error.strerror}") from None
