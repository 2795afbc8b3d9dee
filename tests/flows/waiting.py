"""Ports that are free, and waiting for what comes in a while."""

import socket
import time

PATIENCE = 90.0  # s, on a machine that does other things as well


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
