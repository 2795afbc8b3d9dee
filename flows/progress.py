"""How far an experiment is: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from thalweg.flows.plan import Job
from thalweg.storage.results import Run

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

LINE_EVERY_SECONDS = 15.0
ENDED_SHOWN = 5  # rows of cells that are done; all that run or failed are shown
ENDED = ("done", "failed", "stopped", "kept")
COLOURS = {"running": "cyan", "done": "green", "kept": "green", "failed": "red", "stopped": "yellow"}


@dataclass
class Row:
    """What is known of one cell at one time."""

    name: str
    state: str
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    validation: float | None = None
    message: str = ""
    left: float | None = None
    waiting: float | None = None  # the share of the training time that went into waiting for data

    def cells(self) -> tuple[str, ...]:
        """Give the row as texts: cell, state, epoch, loss, validation, time left."""
        epoch = f"{self.epoch}/{self.epochs}" if self.epochs else ""
        left = duration(self.left) if self.left is not None else self.message[:60]
        return (self.name, self.state, epoch, _number(self.loss), _number(self.validation), left)


class Progress:
    """Shows jobs while they run; use as a context, and call with the jobs at every change."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.told_left: dict[str, tuple[float, float]] = {}
        self.told: dict[str, str] = {}
        self.ended: dict[str, Row] = {}
        self.last_line = time.monotonic()
        self.live: Live | None = None
        if self.stream.isatty():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(file=self.stream), refresh_per_second=4, transient=True)

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, jobs: Sequence[Job]) -> None:
        """Show how far the jobs are now."""
        self.show([self._row(job) for job in jobs])

    def show(self, rows: Sequence[Row]) -> None:
        """Show rows."""
        if self.live:
            self.live.update(_table(rows))
        else:
            self._lines(rows)

    def _row(self, job: Job) -> Row:
        if job.state in ("waiting", "kept"):
            return Row(job.name, job.state, message=job.message)
        if job.name in self.ended:
            return self.ended[job.name]
        status = Run(job.folder).status
        row = Row(
            job.name,
            job.state,
            status.get("epoch") or 0,
            status.get("epochs") or 0,
            status.get("loss"),
            status.get("validation"),
            job.message or str(status.get("message") or ""),
        )
        seconds = status.get("seconds") or {}
        if seconds.get("train") and seconds.get("waiting") is not None:
            row.waiting = seconds["waiting"] / seconds["train"]
        if job.state == "running":
            row.left = self._left(row.name, status.get("seconds_left"))
        elif job.state in ENDED:
            self.ended[job.name] = row  # its files are not read again
        return row

    def _left(self, name: str, told: float | None) -> float | None:
        """Give the seconds that a cell's training still takes: what was told, less what passed since."""
        if told is None:
            return None
        now = time.monotonic()
        if self.told_left.get(name, (None, 0.0))[0] != told:
            self.told_left[name] = (told, now)
        return max(0.0, told - (now - self.told_left[name][1]))

    def _lines(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.state in ("done", "failed", "stopped") and self.told.get(row.name) != row.state:
                self.told[row.name] = row.state
                self._say(
                    f"{row.name}: {row.state}{_score(row)}{': ' + row.message if row.message else ''}", rows
                )
        if time.monotonic() - self.last_line >= LINE_EVERY_SECONDS:
            running = [row for row in rows if row.state == "running"]
            for row in running[:1]:
                more = f" (and {len(running) - 1} more)" if len(running) > 1 else ""
                left = f", {duration(row.left)} left" if row.left is not None else ""
                self._say(f"{row.name}{more}: epoch {row.epoch}/{row.epochs}{_score(row)}{left}", rows)

    def _say(self, text: str, rows: Sequence[Row]) -> None:
        ended = sum(row.state in ENDED for row in rows)
        print(f"[{ended}/{len(rows)}] {text}", file=self.stream, flush=True)
        self.last_line = time.monotonic()


def duration(seconds: float) -> str:
    """Give a time as people say it: 40 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _table(rows: Sequence[Row]) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("cell")
    table.add_column("state")
    for name in ("epoch", "loss", "validation"):
        table.add_column(name, justify="right")
    table.add_column("left")
    ended = [row for row in rows if row.state == "done"][-ENDED_SHOWN:]
    for row in (*ended, *(row for row in rows if row.state in ("failed", "stopped", "running"))):
        table.add_row(*row.cells(), style=COLOURS.get(row.state))
    count = Counter(row.state for row in rows)
    total = f"{len(rows)} in all: " + ", ".join(f"{number} {state}" for state, number in count.items())
    return Group(table, Text(total, style="dim"))


def _score(row: Row) -> str:
    parts = [f"loss {row.loss:.4g}"] if row.loss is not None else []
    parts += [f"validation {row.validation:.3f}"] if row.validation is not None else []
    parts += [f"{row.waiting:.1%} of training spent waiting for data"] if row.waiting is not None else []
    return ", ".join(["", *parts]) if parts else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
