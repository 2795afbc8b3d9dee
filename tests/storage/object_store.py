"""An object store on this machine for tests: moto's server, and a proxy before it that misbehaves."""

from __future__ import annotations

import http.client
import http.server
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from waiting import free_port

SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"}


@dataclass
class Fault:
    """What the proxy does to the next `times` requests of a method whose path matches."""

    path: str
    times: int
    method: str = "GET"
    status: int = 503  # 0: no fault, the request counts as one of those to let pass
    code: str = "SlowDown"
    seconds: float = 0.0  # that it says nothing, before it breaks the connection
    silent: bool = False  # the request is passed on and its answer is lost


@dataclass
class Proxy:
    """A proxy's address, the faults that it is to make, and the requests that it saw."""

    url: str = ""
    bucket: str = ""
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: str, times: int, **options: object) -> None:
        """Let the next requests for a path fail."""
        self.faults.append(Fault(path, times, **options))  # type: ignore[arg-type]

    def take(self, method: str, path: str) -> Fault | None:
        """Give the fault for a request, if there is one, and count it."""
        self.seen.append((method, path))
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None


@contextmanager
def moto_server() -> Iterator[int]:
    """Start moto's server on a free port of the loopback; it ends with the body."""
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from moto.server import main; main()",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with suppress(OSError):
                request(port, "GET", "/moto-api/")
                break
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def request(port: int, method: str, path: str, body: bytes = b"", headers: dict | None = None) -> tuple:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or SIGNED)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@contextmanager
def faulty_proxy(port: int) -> Iterator[Proxy]:
    """Start a proxy before the server at `port`."""
    proxy = Proxy()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fault = proxy.take(self.command, self.path)
            if fault and fault.seconds:
                time.sleep(fault.seconds)
                self.close_connection = True
                return
            if fault and fault.status and not fault.silent:
                text = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code></Error>".encode()
                self.answer(fault.status, {"content-type": "application/xml"}, text)
                return
            status, headers, content = request(port, self.command, self.path, body, dict(self.headers))
            if fault and fault.silent:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.answer(status, headers, content)

        def answer(self, status: int, headers: dict, content: bytes) -> None:
            self.send_response(status)
            length = {key.lower(): value for key, value in headers.items()}.get(
                "content-length", len(content)
            )
            for key, value in headers.items():
                if key.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                    self.send_header(key, value)
            self.send_header("content-length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
