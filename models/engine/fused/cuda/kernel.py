"""The kernel around a step: all days of one block of lanes, forward or back, as Triton text.

A program instance takes ``BLOCK`` lanes, one to a thread, and keeps what goes from day to day in
registers. Lanes lie side by side in every array, so that threads read and write whole rows. What a day
reads is asked for a day ahead: with few sites nothing else hides the time that memory takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thalweg.models.engine.fused.cuda.emit import Emitter
from thalweg.models.engine.fused.kernel import March

# Lanes whose record of a state lies side by side; see `record_shape` of the target.
WARP = 32

HEADER = """import triton.language as tl
from triton.language import fma
from triton.language.extra import libdevice


"""


@dataclass(frozen=True)
class Source:
    """The text of a module with one function ``kernel``, and the arguments it wants, in order.

    ``at.<array>`` is where an array begins, ``stride.<series>`` how many numbers its days lie apart;
    ``days``, ``lanes`` and ``components`` are themselves. The function's own names have ``_`` for ``.``.
    """

    text: str
    arguments: tuple[str, ...]


def write(march: March, single: bool) -> Source:
    """Give the kernel of a march."""
    writer = _Writer(march, single)
    writer.before_days()
    writer.days()
    writer.after_days()
    return writer.source()


def plain(name: str) -> str:
    """Give a name as Python takes it."""
    return name.replace(".", "_")


@dataclass(frozen=True)
class Row:
    """A pointer that goes from day to day: to ``offset`` in the row of a day of an array."""

    name: str
    array: str
    offset: str


class _Writer:
    def __init__(self, march: March, single: bool) -> None:
        self.march, self.program = march, march.program
        self.emitter = Emitter(single)
        self.line = self.emitter.line
        self.arguments: list[str] = []
        rows = [Row(name, name, layout) for name, layout in (*march.series, *march.added)]
        recorded = [
            Row(f"record.{n}", "record", f"record + {WARP * i}") for i, n in enumerate(march.recorded)
        ]
        self.read = rows + (recorded if march.backward else [])
        self.written = [Row(name, name, "lane") for name in march.stored]
        self.written += [] if march.backward else recorded

    def source(self) -> Source:
        names = ",\n    ".join(plain(name) for name in self.arguments)
        definition = f"def kernel(\n    {names},\n    BLOCK: tl.constexpr,\n):"
        text = "\n".join([definition, *self.emitter.lines, ""])
        return Source(HEADER + text, tuple(self.arguments))

    def argument(self, name: str) -> str:
        if name not in self.arguments:
            self.arguments.append(name)
        return plain(name)

    def before_days(self) -> None:
        march, line = self.march, self.line
        lanes = self.argument("lanes")
        line("index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)")
        line(f"owned = index < {lanes}")
        # Lanes beyond the last repeat it, and write nothing: no load needs a mask.
        line(f"lane = tl.minimum(index, {lanes} - 1)")
        static = [
            i for i in self.program.reachable(march.constant) if self.program.nodes[i].operation == "input"
        ]
        inputs = {i: str(self.program.nodes[i].value) for i in static}
        into = {name: plain(name) for name in inputs.values()}
        into |= {f"start.{name}": plain(name) for name in march.started}
        into |= {f"start.sum.{name}": f"sum_{plain(name)}" for name in march.summed}
        self._point()
        self._load_lanes(into)
        for name, _ in march.carried:
            if name not in march.started:
                line(f"{plain(name)} = {self.emitter.full(0.0)}")
        self.numbers = self.emitter.constants(self.program, march.wanted.values())
        known = self.numbers | {i: plain(name) for i, name in inputs.items()}
        values = self.emitter.values(self.program, march.constant, known, "p", march.loose)
        self.constant = {index: values[index] for index in march.constant}

    def days(self) -> None:
        march, line = self.march, self.line
        days = self.argument("days")
        line(f"for turn in range({days}):")
        with self.emitter.indented():
            for row in self.read:
                line(f"today_{plain(row.name)} = next_{plain(row.name)}")
            if self.read:
                line(f"if turn + 1 < {days}:")
                with self.emitter.indented():
                    self._ask()
            known = self._inputs_today()
            values = self.emitter.values(self.program, march.wanted.values(), known, "d", march.loose)
            for name in march.stored:
                line(f"tl.store(row_{plain(name)}, {values[march.wanted[name]]}, owned)")
            for row in self.written:
                self._go_on(row)
            for name in march.summed:
                line(f"sum_{plain(name)} += {values[march.wanted[name]]}")
            for name, output in march.carried:
                line(f"{plain(name)} = {values[march.wanted[output]]}")

    def _inputs_today(self) -> dict[int, str]:
        """Name the inputs of a day; what is carried is named anew, for it is written at the end."""
        march, line = self.march, self.line
        for name, _ in march.carried:
            more = f" + today_{plain(name)}" if name in dict(march.added) else ""
            line(f"before_{plain(name)} = {plain(name)}{more}")
        if not march.backward:
            for name in march.recorded:
                line(f"tl.store(row_record_{plain(name)}, before_{plain(name)}, owned)")
        today = {row.name.removeprefix("record."): f"today_{plain(row.name)}" for row in self.read}
        today |= {name: f"before_{plain(name)}" for name, _ in march.carried}
        known = self.numbers | self.constant
        return known | {march.inputs[name]: value for name, value in today.items() if name in march.inputs}

    def after_days(self) -> None:
        """Write what is left, each array in a loop of one turn; see :meth:`_load_lanes`."""
        values = {f"end.{name}": plain(name) for name in self.march.finished}
        values |= {name: f"sum_{plain(name)}" for name in self.march.summed}
        if not values:
            return
        for name in values:
            self.line(f"lane_{plain(name)} = {self.argument(f'at.{name}')} + lane")
        self.line("for _ in range(once):")
        with self.emitter.indented():
            for name, value in values.items():
                self.line(f"tl.store(lane_{plain(name)}, {value}, owned)")
                self.line(f"lane_{plain(name)} += {self.argument('lanes')}")

    # -- memory ------------------------------------------------------------------------------

    def _point(self) -> None:
        """Point ``row_*`` to the lanes' places on the first day of the march.

        Pointers have 64 bits, and so has the first day, for a series may hold more than 2**31 numbers.
        """
        march, line = self.march, self.line
        rows = [*self.read, *self.written]
        if any(row.offset == "site" for row in rows):
            line(f"site = lane // {self.argument('components')}")
        if march.recorded:
            line(f"record = lane + lane // {WARP} * {WARP * (len(march.recorded) - 1)}")
        if march.backward and rows:
            line(f"last = tl.cast({self.argument('days')} - 1, tl.int64)")
        for row in rows:
            first = f" + last * {self.argument(f'stride.{row.array}')}" if march.backward else ""
            line(f"row_{plain(row.name)} = {self.argument(f'at.{row.array}')}{first} + {row.offset}")

    def _go_on(self, row: Row) -> None:
        sign = "-" if self.march.backward else "+"
        self.line(f"row_{plain(row.name)} {sign}= {self.argument(f'stride.{row.array}')}")

    def _ask(self) -> None:
        """Load what the next day reads; nothing waits for it before it is used."""
        for row in self.read:
            self.line(f"next_{plain(row.name)} = tl.load(row_{plain(row.name)})")
            self._go_on(row)

    def _load_lanes(self, into: Mapping[str, str]) -> None:
        """Load arrays ``(lane,)`` and what the first day reads, in a loop of one turn.

        For every access whose pointer is not carried by a loop, Triton's compiler looks through the
        whole kernel again and again: minutes for a large step. That it is one turn it cannot know.
        """
        line = self.line
        line(f"once = tl.minimum({self.argument('days')}, 1)")
        if not into and not self.read:
            return
        line(f"nothing = {self.emitter.full(0.0)}")
        for name, value in into.items():
            line(f"lane_{plain(name)} = {self.argument(f'at.{name}')} + lane")
            line(f"{value} = nothing")
        for row in self.read:
            line(f"next_{plain(row.name)} = nothing")
        line("for _ in range(once):")
        with self.emitter.indented():
            for name, value in into.items():
                line(f"{value} = tl.load(lane_{plain(name)})")
                line(f"lane_{plain(name)} += {self.argument('lanes')}")
            self._ask()
