"""Ports that are free, and waiting for what comes in a while."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

PATIENCE = 90.0  # s, on a machine that does other things as well


def free_ports(count: int) -> list[int]:
    """Give different ports of the loopback that are free now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def free_port() -> int:
    """Give a port of the loopback that is free now."""
    (port,) = free_ports(1)
    return port


def until(condition: Callable[[], object], seconds: float = PATIENCE, pause: float = 0.1) -> None:
    """Wait until something is true; it fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(pause)
