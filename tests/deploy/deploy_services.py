"""Starts what `compose.yaml` starts, on loopback, for the tests of it."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from deploy_files import COMPOSE

BIN = Path(sys.executable).parent
PATH = f"{BIN}{os.pathsep}{os.environ['PATH']}"
OPEN = {name: value for name, value in os.environ.items() if not re.match("THALWEG|PREFECT|RAY|AWS", name)}
"""The environment without anything that is meant for us."""


def command_of(service, **ports):
    """Give a service's command as a list of words, on loopback and on other ports."""
    words = [str(word) for word in COMPOSE["services"][service]["command"]]
    words = [word.replace("0.0.0.0", "127.0.0.1") for word in words]
    for old, new in ports.items():
        words = [word.replace(old.removeprefix("port_"), str(new)) for word in words]
    return [str(BIN / words[0]), *words[1:]]


@contextmanager
def running(command, folder, **environment):
    """Have a program for the body, and end it and nothing else."""
    with (folder / "output.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={
                **OPEN,
                "HOME": str(folder),
                "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
                **environment,
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answer(url, headers=None, data=None):
    """Give the code with which an address answers, or 0 where nobody does."""
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_until(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.returncode
        assert time.monotonic() < deadline
        time.sleep(0.5)
