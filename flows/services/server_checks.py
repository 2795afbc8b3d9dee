"""What `thalweg doctor` looks at beyond the program: the clock, ports, and servers that are to answer."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from thalweg.flows.services import health
from thalweg.flows.services.finding import Finding
from thalweg.flows.services.ports import port_is_free
from thalweg.flows.services.processes import listener
from thalweg.flows.services.settings import HEALTH_PATHS, PORTS, is_loopback, read
from thalweg.flows.services.state import read_state

CLOCK_SECONDS = 60.0  # by which a clock may be wrong before certificates and S3 signatures are refused


def clock() -> Iterable[Finding]:
    """Compare the clock with that of the servers that are reached anyway, if any."""
    url = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("PREFECT_API_URL")
    zone = datetime.now().astimezone().tzname()
    if not url:
        yield Finding("clock", "ok", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC ({zone} here)")
        return
    date = _date(url)
    if date is None:
        return  # that it does not answer is told by the checks of servers
    wrong = abs((datetime.now(UTC) - date).total_seconds())
    if wrong > CLOCK_SECONDS:
        advice = "set it by NTP: S3 refuses requests that are minutes off, and schedules run at other times"
        yield Finding("clock", "error", f"{wrong:,.0f} s apart from {url}", advice)
    else:
        yield Finding("clock", "ok", f"within {max(wrong, 1):.0f} s of {url}")


def _date(url: str) -> datetime | None:
    try:
        with urllib.request.urlopen(url, timeout=health.ANSWER_SECONDS) as answer:
            text = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        text = error.headers.get("Date")
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return parsedate_to_datetime(text) if text else None


def ports() -> Iterable[Finding]:
    """See that the ports of `thalweg up` are free, or are its own."""
    settings = read()
    state = read_state(settings.home)
    if state is not None and state.process.alive():
        yield Finding("ports", "ok", "`thalweg up` has them")
        return
    if state is not None and any(row["pid"] for row in state.current()["services"]):
        found = "what an earlier `thalweg up` started still has them, and its supervisor has gone"
        yield Finding("ports", "warning", found, "`thalweg up` ends it and starts anew")
        return
    for name, (variable, _) in PORTS.items():
        port = settings.ports[name]
        if not port_is_free(settings.host, port):
            found = f"port {port}, for {name}, is taken{listener(port)}"
            yield Finding("ports", "warning", found, f"set {variable} to another before `thalweg up`")
    if not is_loopback(settings.host):
        advice = "put a proxy with TLS in front: tokens travel in the clear"
        yield Finding("ports", "warning", f"THALWEG_HOST={settings.host}: other machines reach it", advice)
    yield Finding("ports", "ok", f"looked at {', '.join(str(settings.ports[name]) for name in PORTS)}")


def services() -> Iterable[Finding]:
    """Ask the services of `thalweg up` how they do."""
    state = read_state(read().home)
    if state is None:
        yield Finding("services", "ok", "nothing was started here; `thalweg up` does")
        return
    for row in state.current()["services"]:
        well = row["state"] == "healthy"
        found = ": ".join(
            part for part in (row["name"], row["state"], "" if well else row["message"]) if part
        )
        yield Finding("services", "ok" if well else "warning", found, "" if well else f"see {row['log']}")


def prefect() -> Iterable[Finding]:
    """See whether a configured Prefect server answers and takes what we show it."""
    from thalweg.flows.server import configured_url

    url = configured_url()
    if not url:
        yield Finding("prefect", "ok", "no server is configured; `thalweg run` starts a private one")
        return
    token = os.environ.get("PREFECT_API_AUTH_STRING")
    try:
        health.ask(f"{url.rstrip('/')}/health")
        health.ask(f"{url.rstrip('/')}/flow_runs/count", health.basic(token) if token else {}, {})
    except health.UnhealthyError as error:
        advice = (
            "set PREFECT_API_AUTH_STRING" if "401" in str(error) else "start it, or unset PREFECT_API_URL"
        )
        yield Finding("prefect", "error", f"{url} {error}", advice)
    else:
        yield Finding("prefect", "ok", f"{url} answers")


def ray() -> Iterable[Finding]:
    """See whether a Ray cluster that is named answers and takes our token."""
    from thalweg.flows.job_address import dashboard_url, token_for

    named = os.environ.get("RAY_API_SERVER_ADDRESS")
    if not named:
        yield Finding("ray", "ok", "no cluster is named; `thalweg run` starts one of its own")
        return
    url = dashboard_url(named)
    token = token_for(url)
    try:
        health.ask(url + HEALTH_PATHS["ray-dashboard"], health.bearer(token) if token else {})
    except health.UnhealthyError as error:
        refused = any(code in str(error) for code in ("401", "403"))
        advice = "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH" if refused else "start it, or name another"
        yield Finding("ray", "error", f"{url} {error}", advice)
    else:
        yield Finding("ray", "ok", f"{url} answers")


def object_store() -> Iterable[Finding]:
    """See whether an object store that is named answers."""
    url = os.environ.get("AWS_ENDPOINT_URL")
    if not url:
        yield Finding("s3", "ok", "AWS_ENDPOINT_URL names no object store")
    elif _date(url) is None:
        yield Finding("s3", "error", f"{url} does not answer", "start it, or correct AWS_ENDPOINT_URL")
    elif not os.environ.get("AWS_ACCESS_KEY_ID"):
        yield Finding("s3", "warning", f"{url} answers", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    else:
        yield Finding("s3", "ok", f"{url} answers")
