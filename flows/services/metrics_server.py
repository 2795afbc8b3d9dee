"""Serves the metrics to Prometheus: `thalweg metrics`."""

from __future__ import annotations

import hmac
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AddressFamily
from typing import Any

from thalweg.flows.services import keeper
from thalweg.flows.services.metrics import collect, prefect_headers, text
from thalweg.flows.services.settings import HEALTH_PATHS, METRICS_PATH, is_loopback, listening
from thalweg.storage.errors import InputError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESH_SECONDS = 10.0  # within which an answer is given again


class Collector:
    """Collects at most every few seconds, however many ask."""

    def __init__(self, runs: Path) -> None:
        self.runs, self.made, self.told = runs, -FRESH_SECONDS, ""

    def text(self) -> str:
        """Give the metrics."""
        if time.monotonic() - self.made >= FRESH_SECONDS:
            self.told = text(collect(self.runs))
            self.made = time.monotonic()
        return self.told


def serve(runs: Path, host: str, port: int, *, keep: bool = False) -> int:
    """Serve metrics until stopped; to those who show ``THALWEG_METRICS_TOKEN``, where that is set.

    Parameters
    ----------
    keep : look after the flow runs of the Prefect server, too; see :mod:`thalweg.flows.services.keeper`.

    Raises
    ------
    InputError
        When other machines could read them without a token, the host is none, or the port is taken.
    """
    token = os.environ.get("THALWEG_METRICS_TOKEN", "")
    family, address = listening(host)
    if not is_loopback(host) and not token:
        raise InputError(f"--host {host}: other machines reach it: set THALWEG_METRICS_TOKEN")
    try:
        server = _Server(family, (address, port), _handler(runs, token))
    except OSError as error:
        raise InputError(f"--port {port}: cannot listen at {host}: {error.strerror}") from None
    shown = f"[{host}]" if ":" in host else host
    print(f"metrics of {runs} at http://{shown}:{server.server_address[1]}{METRICS_PATH}", flush=True)
    if keep and (api := os.environ.get("PREFECT_API_URL")):
        keeper.keep(keeper.Keeper(api, prefect_headers()))
    with server:
        server.serve_forever()
    return 0


class _Server(ThreadingHTTPServer):
    """Listens at addresses of either family."""

    def __init__(
        self, family: AddressFamily, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]
    ) -> None:
        self.address_family = family
        super().__init__(address, handler)


def _handler(runs: Path, token: str) -> type[BaseHTTPRequestHandler]:
    collector = Collector(runs)

    class Handler(BaseHTTPRequestHandler):
        """Answers Prometheus."""

        def do_GET(self) -> None:
            if self.path == HEALTH_PATHS["metrics"]:
                self._answer(200, "ok\n")
            elif self.path != METRICS_PATH:
                self._answer(404, f"only {METRICS_PATH}\n")
            elif token and not hmac.compare_digest(
                self.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()
            ):
                self._answer(401, "a token is needed\n")
            else:
                self._answer(200, collector.text())

        def _answer(self, code: int, content: str) -> None:
            body = content.encode()
            self.send_response(code)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as http.server has it
            """Scrapes are no news."""

    return Handler
