"""What an ingest will do and how far it is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from thalweg.flows.console import plural
from thalweg.flows.progress import duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from thalweg.storage.ingest.plan import Partition, Plan

LINE_EVERY_SECONDS = 15.0
PARTITIONS_SHOWN = 20


def plan_line(plan: Plan) -> str:
    """Give a plan in one line."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in plan.reasons.items())
    if not plan.partitions:
        return f"{plan.location}: {reasons}; nothing to read"
    where = plural(plan.workers, "process") if plan.workers == 1 else f"{plan.workers} processes"
    return (
        f"{plan.location}: {plural(len(plan.partitions), 'partition')} ({reasons} sites), "
        f"{size(plan.bytes)} to read; {where if plan.workers else 'this process alone'}, "
        f"about {size(plan.memory)} of memory"
    )


def plan_content(plan: Plan) -> dict[str, Any]:
    """Give a plan for scripts."""
    return {
        "store": str(plan.location),
        "sites": len(plan.sites),
        "first": plan.first,
        "last": plan.last,
        "reasons": plan.reasons,
        "bytes": plan.bytes,
        "memory": plan.memory if plan.partitions else 0,
        "workers": plan.workers,
        "partitions": [_row(partition) for partition in plan.partitions],
    }


def plan_lines(plan: Plan) -> list[str]:
    """Give a plan in words, a line for each partition."""
    lines = [plan_line(plan)]
    for partition in plan.partitions[:PARTITIONS_SHOWN]:
        row = _row(partition)
        reasons = ", ".join(f"{count} {reason}" for reason, count in partition.reasons.items())
        lines.append(f"  {row['partition']}: {reasons}; {row['first']} to {row['last']}")
    if len(plan.partitions) > PARTITIONS_SHOWN:
        lines.append(f"  and {len(plan.partitions) - PARTITIONS_SHOWN} more: --json lists them all")
    return lines


def size(count: float) -> str:
    """Give a number of bytes as people say it: 12 kB, 404 MB, 2.3 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} bytes"


class IngestProgress:
    """Shows how many partitions are committed; use as a context, and call with each that is."""

    def __init__(self, plan: Plan, pending: int, stream: TextIO | None = None) -> None:
        self.total, self.done = len(plan.partitions), len(plan.partitions) - pending
        self.before, self.started = self.done, time.monotonic()
        self.stream = stream or sys.stderr
        self.last_line = self.started
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        if self.stream.isatty():
            self._make_bar()

    def _make_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=self.stream),
            transient=True,
        )
        self.task = self.bar.add_task("partitions", total=self.total, completed=self.done)

    def __enter__(self) -> IngestProgress:
        if self.bar:
            self.bar.start()
        if self.before:
            self._say(f"{self.before} of {plural(self.total, 'partition')} done before; going on")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, partition: Partition) -> None:
        """Count a partition that was committed."""
        self.done += 1
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=self.done)
        elif time.monotonic() - self.last_line >= LINE_EVERY_SECONDS:
            taken = time.monotonic() - self.started
            left = taken / (self.done - self.before) * (self.total - self.done)
            self._say(f"[{self.done}/{self.total}] partitions committed, {duration(left)} left")

    def _say(self, text: str) -> None:
        if self.bar:
            self.bar.console.print(text)
        else:
            print(text, file=self.stream, flush=True)
        self.last_line = time.monotonic()


def _row(partition: Partition) -> dict[str, Any]:
    return {
        "partition": partition.name,
        "sites": partition.count,
        "reasons": dict(partition.reasons),
        "first": min(read.first for read in partition.reads),
        "last": max(read.last for read in partition.reads),
    }
