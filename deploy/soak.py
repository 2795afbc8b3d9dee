"""Run a whole lab on small data, break it again and again, and prove that nothing is lost.

    python deploy/soak.py --minutes 30

In a temporary folder and on free ports: `thalweg up`, an ingest and an experiment every minute, a second Ray
node, and a source that gets a day every few seconds, each value of which is known beforehand. Faults are
injected in an order that the seed gives. Store and runs are compared with the truth all the time. Exit code
0 when nothing wrong was ever seen and all has recovered, else 1, with the reasons.

The disk is filled where a small file system of memory can be mounted, in a namespace of its own (Linux,
`unshare`); elsewhere that fault is left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from soaking.ending import check, check_down, settle
from soaking.faults import Faults, as_json, say
from soaking.lab import Lab, SecondNode, wait_until
from soaking.source import Source
from soaking.watch import Watcher

NAMESPACE = "SOAK_NAMESPACE"
DISK_BYTES = 256 * 2**20
EVERY_MINUTE = "* * * * *"
LEAST_SECONDS = 20.0  # from one fault to the next
NODE_SECONDS = 90.0
SHOWN_LOG = 15


def main() -> int:
    """Soak; gives the exit code."""
    options = parse()
    enter_namespace()
    folder = Path(tempfile.mkdtemp(prefix="thalweg-soak-"))
    with ExitStack() as stack:
        if not options.keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        found = soak(folder, options, stack)
    if options.json:
        print(as_json(found))
    else:
        print(words(found))
    return 0 if found["passed"] else 1


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="with faults (default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults (default: 1)")
    parser.add_argument("--day-seconds", type=float, default=5.0, help="until the source has another day")
    parser.add_argument("--only", action="append", help="these faults alone; may be given again")
    parser.add_argument("--keep", action="store_true", help="do not delete the folder")
    parser.add_argument("--json", action="store_true", help="print JSON at the end, for scripts")
    return parser.parse_args()


def enter_namespace() -> None:
    """Begin again in a mount namespace of our own, where there may be one: what is mounted ends with it."""
    unshare = shutil.which("unshare")
    if NAMESPACE in os.environ or unshare is None:
        return
    command = [unshare, "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
        os.environ[NAMESPACE] = "1"
        os.execv(unshare, [*command, sys.executable, *sys.argv])


def soak(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """Do all of it; gives what came of it."""
    began = time.monotonic()
    disk = mount(folder / "disk")
    lab = Lab(folder)
    stack.callback(lab.clean)
    source = Source(folder / "source")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    lab.thalweg("up")
    say(f"up after {time.monotonic() - began:.0f} s in {folder}")
    node = second_node(lab, stack)
    lab.thalweg("ingest", "ingest.yaml", connected=True)
    watcher = Watcher(source, lab.store, lab.runs)
    watcher.start()
    stack.callback(watcher.over.set)
    lab.thalweg("schedule", "ingest.yaml", "--cron", EVERY_MINUTE)
    lab.thalweg("schedule", "experiment.yaml", "--cron", EVERY_MINUTE, "--force")
    faults = Faults(lab, source, watcher, node, options.seed)
    problems: list[str] = []
    try:
        with advancing(source, options.day_seconds):
            inject(faults, options.minutes * 60, options.only)
        problems += settle(lab, source, watcher, faults)
        problems += check(lab, source, watcher, faults)
    except Exception as error:
        traceback.print_exc()
        problems.append(f"broke off: {type(error).__name__}: {error}")
    watcher.over.set()
    watcher.join()
    if node is not None:
        node.stop()
    problems += [*check_down(lab), *watcher.problems]
    left_out = [name for name, there in (("disk", disk), ("ray-node", node)) if not there]
    return {
        "passed": not problems,
        "problems": problems,
        "faults": [told.row() for told in faults.told],
        "left_out": left_out,
        "seconds": round(time.monotonic() - began),
        "days": source.days,
        "versions_seen": watcher.versions,
        "store_looks": watcher.looks,
        "results_read": watcher.results,
        "logs": tails(lab) if problems else {},
    }


def mount(folder: Path) -> bool:
    """Mount a small file system of memory, if that is possible."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    return NAMESPACE in os.environ and subprocess.run(command, capture_output=True).returncode == 0


def second_node(lab: Lab, stack: ExitStack) -> SecondNode | None:
    """Start a second Ray node; None where it cannot join."""
    node = SecondNode(lab)
    node.start()
    stack.callback(node.stop)
    if wait_until(lambda: len(lab.nodes()) == 2, NODE_SECONDS):
        return node
    say("a second Ray node cannot join the head: that fault is left out")
    node.stop()
    return None


@contextmanager
def advancing(source: Source, seconds: float) -> Iterator[None]:
    """Let the source get a day now and then."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(seconds):
            source.advance()

    thread = threading.Thread(target=go_on, daemon=True, name="source")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def inject(faults: Faults, seconds: float, only: list[str] | None) -> None:
    """Inject faults for so long, spread evenly; each kind once before any comes again."""
    deadline = time.monotonic() + seconds
    kinds = [name for name in faults.cycle() if not only or name in only]
    pause = max(
        seconds / len(kinds) if seconds < 2 * LEAST_SECONDS * len(kinds) else 2 * LEAST_SECONDS, LEAST_SECONDS
    )
    names: list[str] = list(kinds)
    while time.monotonic() < deadline:
        begun = time.monotonic()
        name = names.pop(0)
        if faults.pending(name):
            names.append(name)
            time.sleep(1.0)
        else:
            faults.happen(name)
            time.sleep(max(0.0, min(begun + pause, deadline) - time.monotonic()))
        names = names or [name for name in faults.cycle() if not only or name in only]


def tails(lab: Lab) -> dict[str, list[str]]:
    """Give the last lines of all logs, for whoever looks why."""
    logs = sorted((lab.settings.home / "logs").glob("*.log"))
    return {log.name: log.read_text(errors="replace").splitlines()[-SHOWN_LOG:] for log in logs}


def words(found: dict[str, Any]) -> str:
    """Give the table of faults, and the verdict with its reasons."""
    lines = ["", f"{'fault':<18}{'at s':>7}{'healed s':>10}{'recovered after s':>19}  what"]
    for row in found["faults"]:
        took = "never" if row["took"] is None else f"{row['took']:.1f}"
        lines.append(
            f"{row['fault']:<18}{row['at']:>7.1f}{row['healed']:>10.1f}{took:>19}  {row['detail'][:70]}"
        )
    lines.append(
        f"{found['seconds']} s, {found['days']} days, {found['versions_seen']} versions seen; the store was "
        f"read {found['store_looks']} times, finished runs {found['results_read']} times"
    )
    if found["left_out"]:
        lines.append(f"left out here: {', '.join(found['left_out'])}")
    for name, tail in found["logs"].items():
        lines += [f"--- {name}", *tail]
    lines += ["PASSED" if found["passed"] else "FAILED", *(f"  {each}" for each in found["problems"])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
