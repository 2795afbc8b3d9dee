"""Stands in for `thalweg` where a test wants a job that says, waits and ends as it is told.

The experiment's text says what to do: `fake: fail`, `fake: wait`, `fake: deaf`, else it is done at once.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> int:
    command, *words = sys.argv[1:]
    print(f"fake {command} in {Path.cwd()}", flush=True)
    print("seen:", sorted(name for name in os.environ if "DASHBOARD" in name), flush=True)
    if command == "logs":
        print("the cluster says something", flush=True)
        while True:
            time.sleep(0.1)
    if command == "cancel":
        print(f"cancelled {words[0]}", flush=True)
        return 0
    if "--remove" in words:
        print("deleted", words[0], flush=True)
        return 3 if Path("refuse-removal").exists() else 0
    text = Path(words[0]).read_text()
    if "fake: deaf" in text:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.1)
    if "fake: wait" in text:
        try:
            time.sleep(120)
        finally:
            print("tidied up", flush=True)
    return 3 if "fake: fail" in text else 0


def terminated(number: int, frame: object) -> None:
    raise SystemExit(143)


if __name__ == "__main__":
    if sys.argv[1] == "submit":
        print(json.dumps({"id": "rivers-0123456789"}))
        sys.exit(0)
    signal.signal(signal.SIGTERM, terminated)
    sys.exit(main())
