"""The kernel around a step: all days of one vector of lanes, forward or back, as LLVM text.

A lane is one component of one site. Threads take units of a few vectors each from a shared counter.
A unit first computes what does not change in time, then walks the days with its states in scratch
memory that stays in the nearest cache, then writes what is left at the end.

The last vector begins early enough to be full, so a few lanes may be computed twice, with the same
result; there is no remainder loop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from thalweg.models.engine.fused.emit import Emitter, Vector
from thalweg.models.engine.fused.program import Program

VECTORS_PER_UNIT = 8
DAYS_AHEAD = 4
PREREC=True


@dataclass(frozen=True)
class March:
    """What a kernel does each day and keeps: a program, and where its inputs and outputs live.

    Attributes
    ----------
    backward : from the last day to the first.
    static : inputs that do not change in time, ``(lane,)``.
    series : inputs of each day with their layout: ``lane`` for ``(time, lane)``; ``site`` for
        ``(time, site)`` where all lanes of a vector are of one site; ``gather`` where they are not.
    carried : input to output: what goes from one day to the next.
    started, finished : carried inputs that begin from an array rather than from zero, and those
        whose last value is written to one.
    added : series added to a carried input before each day, with their layout.
    recorded : inputs kept from the forward march (states at the start of each day) and read
        in the backward one.
    stored : outputs written each day, ``(time, lane)``.
    summed : outputs summed over the days, ``(lane,)``.
    """

    program: Program
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
    loose: frozenset[int] = frozenset()


@dataclass
class Kernel:
    """LLVM text and the arguments it wants, one 64-bit integer each, in order."""

    text: str
    arguments: list[str]


def write(march: March, vector: Vector) -> Kernel:
    """Give the kernel of a march."""
    return _Writer(march, vector).write()


@dataclass
class _Writer:
    march: March
    vector: Vector
    arguments: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.emitter = Emitter(self.vector)
        self.line = self.emitter.line
        program, march = self.march.program, self.march
        self.inputs = {str(n.value): i for i, n in enumerate(program.nodes) if n.operation == "input"}
        outputs = [*(out for _, out in march.carried), *march.stored, *march.summed]
        self.wanted = {name: program.outputs[name] for name in outputs}
        self.constant = self._constant_in_time()
        body = program.reachable(self.wanted.values(), until=self.constant)
        slots = [f"constant.{i}" for i in body if i in self.constant]
        slots += [f"carried.{name}" for name, _ in march.carried]
        slots += [f"sum.{name}" for name in march.summed]
        self.slots = {name: number for number, name in enumerate(slots)}
        self.gathers = any(layout == "gather" for _, layout in (*march.series, *march.added))

    def _constant_in_time(self) -> set[int]:
        """Give the values, other than numbers and conditions, that depend on static inputs alone."""
        program = self.march.program
        static: set[int] = set()
        plain: set[int] = set()
        for index, node in enumerate(program.nodes):
            if node.operation == "input":
                fixed = str(node.value) in self.march.static
            elif not node.arguments:
                plain.add(index)
                continue
            else:
                fixed = all(a in static or a in plain for a in node.arguments)
            if fixed:
                (plain if program.is_condition(index) else static).add(index)
        return static

    def write(self) -> Kernel:
        self._entry()
        self._prepare()
        self._days()
        self._finish()
        body = "\n".join(self.emitter.lines)
        loads = "\n".join(
            f"  %{_safe(name)}.slot = getelementptr i64, ptr %arguments, i64 {number}\n"
            f"  %{_safe(name)} = load {'ptr' if name.startswith('at.') else 'i64'}, ptr %{_safe(name)}.slot"
            for number, name in enumerate(self.arguments)
        )
        bits = 8 * self.vector.bytes * self.vector.width
        text = (
            f"define void @kernel(ptr noalias readonly %arguments) #0 {{\nentry:\n{loads}\n{body}\n}}\n"
            + "\n".join(sorted(self.emitter.declarations))
            + f'\nattributes #0 = {{ nounwind "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}" }}\n'
        )
        return Kernel(text, self.arguments)

    def _argument(self, name: str) -> str:
        if name not in self.arguments:
            self.arguments.append(name)
        return f"%{_safe(name)}"

    # -- the frame ---------------------------------------------------------------------------

    def _entry(self) -> None:
        v, line = self.vector, self.line
        count = max(1, len(self.slots)) * VECTORS_PER_UNIT
        line(f"%scratch = alloca [{count} x {v.name}], align 64")
        if self.gathers:
            line(f"%sites = alloca [{VECTORS_PER_UNIT} x <{v.width} x i64>], align 64")
        counter, units = self._argument("at.counter"), self._argument("units")
        days, lanes = self._argument("days"), self._argument("lanes")
        per_unit, vectors = self._argument("vectors_per_unit"), self._argument("vectors")
        line(f"%last.lane = sub i64 {lanes}, {v.width}")
        line(f"%last.day = sub i64 {days}, 1")
        line("br label %next.unit")
        self._label("next.unit")
        line(f"%unit = atomicrmw add ptr {counter}, i64 1 monotonic")
        line(f"%no.more = icmp sge i64 %unit, {units}")
        line("br i1 %no.more, label %end, label %begin")
        self._label("begin")
        line(f"%first.vector = mul i64 %unit, {per_unit}")
        line(f"%left = sub i64 {vectors}, %first.vector")
        line(f"%is.short = icmp slt i64 %left, {per_unit}")
        line(f"%count = select i1 %is.short, i64 %left, i64 {per_unit}")

    def _label(self, name: str) -> None:
        self.emitter.lines.append(f"{name}:")

    def _loop(self, name: str, before: str) -> None:
        """Open a loop over the unit's vectors; `%{name}.lane` is the first lane of each."""
        line = self.line
        line(f"br label %{name}")
        self._label(name)
        line(f"%{name}.i = phi i64 [ 0, %{before} ], [ %{name}.up, %{name} ]")
        line(f"%{name}.vector = add i64 %first.vector, %{name}.i")
        line(f"%{name}.begin = mul i64 %{name}.vector, {self.vector.width}")
        line(f"%{name}.over = icmp sgt i64 %{name}.begin, %last.lane")
        line(f"%{name}.lane = select i1 %{name}.over, i64 %last.lane, i64 %{name}.begin")
        line(f"%{name}.offset = mul i64 %{name}.i, {len(self.slots)}")

    def _close(self, name: str, after: str) -> None:
        line = self.line
        line(f"%{name}.up = add i64 %{name}.i, 1")
        line(f"%{name}.done = icmp sge i64 %{name}.up, %count")
        line(f"br i1 %{name}.done, label %{after}, label %{name}")
        self._label(after)

    # -- memory ------------------------------------------------------------------------------

    def _address(self, base: str, offset: str, element: str | None = None) -> str:
        pointer = self.emitter.fresh()
        self.line(f"{pointer} = getelementptr {element or self.vector.element}, ptr {base}, i64 {offset}")
        return pointer

    def _load(self, pointer: str, name: str | None = None, align: int | None = None) -> str:
        value = name or self.emitter.fresh()
        self.line(f"{value} = load {self.vector.name}, ptr {pointer}, align {align or self.vector.bytes}")
        return value

    def _store(self, value: str, pointer: str, align: int | None = None) -> None:
        self.line(f"store {self.vector.name} {value}, ptr {pointer}, align {align or self.vector.bytes}")

    def _slot(self, loop: str, slot: str) -> str:
        offset = self.emitter.fresh()
        self.line(f"{offset} = add i64 %{loop}.offset, {self.slots[slot]}")
        return self._address("%scratch", offset, self.vector.name)

    @property
    def _aligned(self) -> int:
        return min(64, self.vector.bytes * self.vector.width)

    def _lane_array(self, name: str, loop: str) -> str:
        return self._address(self._argument(f"at.{name}"), f"%{loop}.lane")

    def _series(self, name: str, layout: str, loop: str) -> str:
        """Load today's values of a series."""
        v, row = self.vector, f"%row.{_safe(name)}"
        if layout == "lane":
            return self._load(self._address(row, f"%{loop}.lane"))
        if layout == "site":
            value, one, all_lanes = self.emitter.fresh(), self.emitter.fresh(), self.emitter.fresh()
            pointer = self._address(row, f"%{loop}.site")
            self.line(f"{value} = load {v.element}, ptr {pointer}, align {v.bytes}")
            self.line(f"{one} = insertelement {v.name} poison, {v.element} {value}, i64 0")
            self.line(
                f"{all_lanes} = shufflevector {v.name} {one}, {v.name} poison, <{v.width} x i32> zeroinitializer"
            )
            return all_lanes
        pointers, value = self.emitter.fresh(), self.emitter.fresh()
        self.line(f"{pointers} = getelementptr {v.element}, ptr {row}, <{v.width} x i64> %{loop}.sites")
        gather = f"@llvm.masked.gather.{v.suffix}.v{v.width}p0"
        self.emitter.declarations.add(
            f"declare {v.name} {gather}(<{v.width} x ptr>, i32, {v.mask}, {v.name})"
        )
        self.line(
            f"{value} = call {v.name} {gather}(<{v.width} x ptr> {pointers}, i32 {v.bytes}, "
            f"{v.mask} splat (i1 true), {v.name} poison)"
        )
        return value

    # -- before, during and after the days ------------------------------------------------------

    def _prepare(self) -> None:
        march, program = self.march, self.march.program
        self._loop("prepare", "begin")
        if self.gathers:
            self._find_sites()
        kept = [i for i in self.constant if f"constant.{i}" in self.slots]
        leaves = [i for i in program.reachable(kept) if program.nodes[i].operation == "input"]
        known = {i: self._load(self._lane_array(str(program.nodes[i].value), "prepare")) for i in leaves}
        values = self.emitter.values(program, kept, known, "c", march.loose)
        for index in kept:
            self._store(values[index], self._slot("prepare", f"constant.{index}"), self._aligned)
        for name, _ in march.carried:
            begin = "zeroinitializer"
            if name in march.started:
                begin = self._load(self._lane_array(f"start.{name}", "prepare"))
            self._store(begin, self._slot("prepare", f"carried.{name}"), self._aligned)
        for name in march.summed:
            self._store("zeroinitializer", self._slot("prepare", f"sum.{name}"), self._aligned)
        self._close("prepare", "days.begin")

    def _find_sites(self) -> None:
        w, line = self.vector.width, self.line
        components = self._argument("components")
        vector = "poison"
        for lane in range(w):
            own, site, joined = (self.emitter.fresh() for _ in range(3))
            line(f"{own} = add i64 %prepare.lane, {lane}")
            line(f"{site} = udiv i64 {own}, {components}")
            line(f"{joined} = insertelement <{w} x i64> {vector}, i64 {site}, i64 {lane}")
            vector = joined
        pointer = self._address("%sites", "%prepare.i", f"<{w} x i64>")
        line(f"store <{w} x i64> {vector}, ptr {pointer}, align 64")

    def _days(self) -> None:
        line, days = self.line, self._argument("days")
        line("br label %day")
        self._label("day")
        line("%turn = phi i64 [ 0, %days.begin ], [ %turn.up, %day.end ]")
        line("%today = sub i64 %last.day, %turn" if self.march.backward else "%today = add i64 %turn, 0")
        for name, _ in (*self.march.series, *self.march.added):
            self._row(name)
        for name in self.march.stored:
            self._row(name)
        self._loop("each", "day")
        self._body()
        self._close("each", "day.end")
        line("%turn.up = add i64 %turn, 1")
        line(f"%days.done = icmp sge i64 %turn.up, {days}")
        line("br i1 %days.done, label %days.end, label %day")
        self._label("days.end")

    def _row(self, name: str) -> None:
        base, stride = self._argument(f"at.{name}"), self._argument(f"stride.{name}")
        offset = self.emitter.fresh()
        self.line(f"{offset} = mul i64 %today, {stride}")
        self.line(f"%row.{_safe(name)} = getelementptr {self.vector.element}, ptr {base}, i64 {offset}")
        ahead = self.emitter.fresh()
        sign = -DAYS_AHEAD if self.march.backward else DAYS_AHEAD
        self.line(f"{ahead} = mul i64 {stride}, {sign}")
        self.line(f"%ahead.{_safe(name)} = getelementptr {self.vector.element}, ptr %row.{_safe(name)}, i64 {ahead}")

    def _body(self) -> None:
        march, program, v = self.march, self.march.program, self.vector
        layouts = {layout for _, layout in (*march.series, *march.added)}
        if "site" in layouts:
            self.line(f"%each.site = udiv i64 %each.lane, {self._argument('components')}")
        if self.gathers:
            pointer = self._address("%sites", "%each.i", f"<{v.width} x i64>")
            self.line(f"%each.sites = load <{v.width} x i64>, ptr {pointer}, align 64")
        known = {
            i: self._load(self._slot("each", f"constant.{i}"), align=self._aligned)
            for i in self.constant
            if f"constant.{i}" in self.slots
        }
        carried = {n: self._load(self._slot("each", f"carried.{n}"), align=self._aligned) for n, _ in march.carried}
        for name, layout in march.added:
            target = name.removeprefix("series.")
            total = self.emitter.fresh()
            self.line(f"{total} = fadd {v.name} {carried[target]}, {self._series(name, layout, 'each')}")
            carried[target] = total
        known |= {self.inputs[n]: value for n, value in carried.items() if n in self.inputs}
        record = self._record_address() if march.recorded else ""
        for number, name in enumerate(march.recorded):
            pointer = self._address(record, str(number), v.name)
            if march.backward:
                known[self.inputs[name]] = self._load(pointer, align=self._aligned)
            else:
                self._store(carried[name], pointer, self._aligned)
        for name, layout in march.series:
            known[self.inputs[name]] = self._series(name, layout, "each")
        self.emitter.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        if DAYS_AHEAD:
            for name, layout in march.series:
                if layout=="lane":
                    self.line(f"call void @llvm.prefetch.p0(ptr {self._address('%ahead.'+_safe(name), '%each.lane')}, i32 0, i32 3, i32 1)")
            for name in march.stored:
                self.line(f"call void @llvm.prefetch.p0(ptr {self._address('%ahead.'+_safe(name), '%each.lane')}, i32 1, i32 3, i32 1)")
            if march.recorded and PREREC:
                for number, name in enumerate(march.recorded):
                    k = (-1 if march.backward else 1)*DAYS_AHEAD*len(march.recorded)
                    self.line(f"call void @llvm.prefetch.p0(ptr {self._address(record, str(number+k), v.name)}, i32 {0 if march.backward else 1}, i32 3, i32 1)")
        values = self.emitter.values(program, self.wanted.values(), known, "v", march.loose)
        for name in march.stored:
            self._store(values[self.wanted[name]], self._address(f"%row.{_safe(name)}", "%each.lane"))
        for name, output in march.carried:
            self._store(values[self.wanted[output]], self._slot("each", f"carried.{name}"), self._aligned)
        for name in march.summed:
            slot = self._slot("each", f"sum.{name}")
            before, total = self._load(slot, align=self._aligned), self.emitter.fresh()
            self.line(f"{total} = fadd {v.name} {before}, {values[self.wanted[name]]}")
            self._store(total, slot, self._aligned)

    def _record_address(self) -> str:
        """Give where today's recorded states of this vector are: ``[vector][day][state][lane]``."""
        days, line = self._argument("days"), self.line
        row, number, offset = (self.emitter.fresh() for _ in range(3))
        line(f"{row} = mul i64 %each.vector, {days}")
        line(f"{number} = add i64 {row}, %today")
        line(f"{offset} = mul i64 {number}, {len(self.march.recorded)}")
        return self._address(self._argument("at.record"), offset, self.vector.name)

    def _finish(self) -> None:
        march = self.march
        self._loop("finish", "days.end")
        for name in march.finished:
            last = self._load(self._slot("finish", f"carried.{name}"), align=self._aligned)
            self._store(last, self._lane_array(f"end.{name}", "finish"))
        for name in march.summed:
            total = self._load(self._slot("finish", f"sum.{name}"), align=self._aligned)
            self._store(total, self._lane_array(name, "finish"))
        self._close("finish", "unit.end")
        self.line("br label %next.unit")
        self._label("end")
        self.line("ret void")


def _safe(name: str) -> str:
    """Give a name that LLVM takes; Python allows more letters in its own."""
    return re.sub(r"[^A-Za-z0-9_.]", lambda found: f"$u{ord(found.group()):x}", name)
