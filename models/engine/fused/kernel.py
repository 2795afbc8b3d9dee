"""The kernel around a step: all days of one vector of lanes, forward or back, as LLVM text.

A lane is one component of one site. A unit of vectors first computes what does not change in time,
then walks the days, then writes what is left at the end.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from thalweg.models.engine.fused.emit import Vector
from thalweg.models.engine.fused.frame import DAYS_AHEAD, Kernel
from thalweg.models.engine.fused.program import Program
from thalweg.models.engine.fused.series import SeriesFrame


@dataclass(frozen=True)
class March:
    """What a kernel does each day and keeps: a program, and where its inputs and outputs live.

    Attributes
    ----------
    loose : values of the program that may be rounded in any way.
    backward : from the last day to the first.
    static : inputs that do not change in time, ``(lane,)``.
    series : inputs of each day with their layout (see :class:`SeriesFrame`).
    carried : input to output: what goes from one day to the next.
    started, finished : carried inputs that begin from an array rather than from zero, and those
        whose last value is written to one.
    added : series added to the carried input of the same name before each day, with their layout.
    recorded : inputs kept from the forward march (states at the start of each day) and read
        in the backward one.
    stored : outputs written each day, ``(time, lane)``.
    summed : outputs summed over the days, ``(lane,)``, onto the sums of the days before (``start.sum.*``):
        so a simulation cut into segments gives the same sums to the last bit.
    """

    program: Program
    loose: frozenset[int]
    backward: bool
    static: tuple[str, ...]
    series: tuple[tuple[str, str], ...]
    carried: tuple[tuple[str, str], ...]
    started: tuple[str, ...]
    finished: tuple[str, ...]
    added: tuple[tuple[str, str], ...]
    recorded: tuple[str, ...]
    stored: tuple[str, ...]
    summed: tuple[str, ...]

    @property
    def layouts(self) -> set[str]:
        return {layout for _, layout in (*self.series, *self.added)}

    @functools.cached_property
    def inputs(self) -> dict[str, int]:
        """The program's inputs by name."""
        return {str(n.value): i for i, n in enumerate(self.program.nodes) if n.operation == "input"}

    @functools.cached_property
    def wanted(self) -> dict[str, int]:
        """The program's outputs that are carried, stored or summed, by name."""
        outputs = [*(out for _, out in self.carried), *self.stored, *self.summed]
        return {name: self.program.outputs[name] for name in outputs}

    @functools.cached_property
    def constant(self) -> list[int]:
        """Values that days use and that depend on static inputs alone; conditions are made anew each day."""
        constant: set[int] = set()
        free: set[int] = set()
        for index, node in enumerate(self.program.nodes):
            if node.operation == "input":
                is_constant = str(node.value) in self.static
            else:
                is_constant = all(a in constant or a in free for a in node.arguments)
            if is_constant:
                is_free = self.program.is_condition(index) or node.operation == "constant"
                (free if is_free else constant).add(index)
        return [i for i in self.program.reachable(self.wanted.values(), until=constant) if i in constant]


def write(march: March, vector: Vector) -> Kernel:
    """Give the kernel of a march."""
    writer = _Writer(vector)
    writer.plan(march)
    writer.open_units("gather" in march.layouts)
    writer.before_days()
    writer.days()
    writer.after_days()
    writer.close_units()
    return writer.kernel()


class _Writer(SeriesFrame):
    march: March

    def plan(self, march: March) -> None:
        """Decide what is computed once and what is kept in a slot."""
        self.march, self.program = march, march.program
        names = [f"constant.{index}" for index in march.constant]
        names += [f"carried.{name}" for name, _ in march.carried]
        names += [f"sum.{name}" for name in march.summed]
        self.slots.update((name, number) for number, name in enumerate(names))

    def before_days(self) -> None:
        march, program, loop = self.march, self.program, "prepare"
        self.open_vectors(loop, "begin")
        if "gather" in march.layouts:
            self.keep_sites(loop)
        inputs = [i for i in program.reachable(march.constant) if program.nodes[i].operation == "input"]
        known = {i: str(program.nodes[i].value) for i in inputs}
        known = {i: self.load(self.lane_array(name, loop), f"p.{name}") for i, name in known.items()}
        values = self.emitter.values(program, march.constant, known, "p", march.loose)
        for index in march.constant:
            self.store_slot(values[index], loop, f"constant.{index}")
        for name, _ in march.carried:
            started = name in march.started
            first = self.load(self.lane_array(f"start.{name}", loop)) if started else "zeroinitializer"
            self.store_slot(first, loop, f"carried.{name}")
        for name in march.summed:
            before = self.load(self.lane_array(f"start.sum.{name}", loop))
            self.store_slot(before, loop, f"sum.{name}")
        self.close_vectors(loop, "days.begin")

    def days(self) -> None:
        march, line = self.march, self.line
        line("br label %day")
        self.label("day")
        line("%turn = phi i64 [ 0, %days.begin ], [ %turn.up, %day.end ]")
        line(f"%today = {'sub i64 %last.day, %turn' if march.backward else 'add i64 %turn, 0'}")
        for name in (*(n for n, _ in (*march.series, *march.added)), *march.stored):
            self.open_row(name, march.backward)
        self.open_vectors("each", "day")
        self._one_day("each")
        self.close_vectors("each", "day.end")
        line("%turn.up = add i64 %turn, 1")
        line(f"%days.done = icmp sge i64 %turn.up, {self.argument('days')}")
        line("br i1 %days.done, label %days.end, label %day")
        self.label("days.end")

    def _one_day(self, loop: str) -> None:
        march = self.march
        known = self._inputs_today(loop)
        values = self.emitter.values(self.program, march.wanted.values(), known, "d", march.loose)
        for name in march.stored:
            self.store_today(name, values[march.wanted[name]], loop)
        for name, output in march.carried:
            self.store_slot(values[march.wanted[output]], loop, f"carried.{name}")
        for name in march.summed:
            before, total = self.load_slot(loop, f"sum.{name}"), self.fresh()
            self.line(f"{total} = fadd {self.vector.name} {before}, {values[march.wanted[name]]}")
            self.store_slot(total, loop, f"sum.{name}")

    def _inputs_today(self, loop: str) -> dict[int, str]:
        march = self.march
        self.find_site(march.layouts, loop)
        known = {i: self.load_slot(loop, f"constant.{i}", self._constant_name(i)) for i in march.constant}
        carried = {name: self.load_slot(loop, f"carried.{name}") for name, _ in march.carried}
        for name, layout in march.added:
            total = self.fresh()
            more = self.load_today(name, layout, loop)
            self.line(f"{total} = fadd {self.vector.name} {carried[name]}, {more}")
            carried[name] = total
        today = {**carried, **self._record(carried, loop)}
        today |= {name: self.load_today(name, layout, loop) for name, layout in march.series}
        return known | {march.inputs[name]: value for name, value in today.items() if name in march.inputs}

    def _constant_name(self, index: int) -> str:
        node = self.program.nodes[index]
        return f"d.{node.value}" if node.operation == "input" else f"d.constant.{index}"

    def _record(self, carried: dict[str, str], loop: str) -> dict[str, str]:
        """Keep, or read back, today's states: ``(vector, day, state, lane of the vector)``."""
        march, line = self.march, self.line
        if not march.recorded:
            return {}
        row, number, offset = self.fresh(), self.fresh(), self.fresh()
        line(f"{row} = mul i64 %{loop}.vector, {self.argument('stride.record')}")
        line(f"{number} = mul i64 %today, {len(march.recorded) * self.vector.width}")
        line(f"{offset} = add i64 {row}, {number}")
        today = self.address(self.argument("at.record"), offset)
        found = {}
        for place, name in enumerate(march.recorded):
            pointer = self.address(today, place, self.vector.name)
            if not march.backward:
                self.store(carried[name], pointer)
                continue
            self.prefetch(self.address(today, place - DAYS_AHEAD * len(march.recorded), self.vector.name))
            found[name] = self.load(pointer, f"d.{name}")
        return found

    def after_days(self) -> None:
        march, loop = self.march, "finish"
        self.open_vectors(loop, "days.end")
        for name in march.finished:
            self.store(self.load_slot(loop, f"carried.{name}"), self.lane_array(f"end.{name}", loop))
        for name in march.summed:
            self.store(self.load_slot(loop, f"sum.{name}"), self.lane_array(name, loop))
        self.close_vectors(loop, "unit.end")
