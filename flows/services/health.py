"""Whether a service is well: asked over the network as those who use it would."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from thalweg.storage.errors import UnavailableError

ANSWER_SECONDS = 5.0
Check = Callable[[], None]


class UnhealthyError(RuntimeError):
    """A service is not well; the message says why."""


class UnknownHealthError(RuntimeError):
    """Who would know how a service does cannot be asked; the message says why."""


def ask(
    url: str,
    headers: Mapping[str, str] | None = None,
    content: object = None,
    seconds: float = ANSWER_SECONDS,
) -> bytes:
    """Give the answer of a web server.

    Parameters
    ----------
    content : posted as JSON, if given.

    Raises
    ------
    UnhealthyError
        When it does not answer, or with an error, or the address is none.
    """
    body = None if content is None else json.dumps(content).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, data=body, headers={**kind, **(headers or {})})
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise UnhealthyError(f"answers {error.code} {error.reason}") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise UnhealthyError(f"does not answer ({reason})") from None
    except (ValueError, http.client.HTTPException):
        raise UnhealthyError("is no address of a web server: write one such as http://host:4200") from None


@contextmanager
def prefect_asked() -> Iterator[None]:
    """Ask the Prefect server by its own client in the body.

    Raises
    ------
    UnavailableError
        When it does not answer, or not as it should.
    """
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL

    # the host alone: an address may hold a password
    host = urlsplit(PREFECT_API_URL.value() or "").netloc.rpartition("@")[2]
    try:
        yield
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnavailableError(f"the Prefect server at {host} does not do as it is asked: {reason}") from None


def web(url: str, headers: Mapping[str, str] | None = None) -> Check:
    """Give a check that a web server answers."""

    def check() -> None:
        ask(url, headers)

    return check


def worker(api: str, pool: str, name: str, headers: Mapping[str, str]) -> Check:
    """Give a check that Prefect has lately heard of a worker."""

    def check() -> None:
        try:
            found = json.loads(ask(f"{api}/work_pools/{pool}/workers/filter", headers, {}))
        except UnhealthyError as error:
            raise UnknownHealthError(f"Prefect's server {error}") from None
        state = next((each["status"] for each in found if each["name"] == name), "unknown")
        if state != "ONLINE":
            raise UnhealthyError(f"Prefect's server has not heard of it ({state.lower()})")

    return check


def basic(authorization: str) -> dict[str, str]:
    """Give the header that Prefect wants for ``user:password``."""
    return {"Authorization": f"Basic {base64.b64encode(authorization.encode()).decode()}"}


def bearer(token: str) -> dict[str, str]:
    """Give the header that Ray and the metrics want."""
    return {"Authorization": f"Bearer {token}"}
