"""The parts every kernel is built of: arguments, loops over vectors of lanes, and memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from thalweg.models.engine.fused.emit import Emitter, Vector

# Vectors that a thread takes together: their independent work hides each other's waiting, and their
# rows of a series lie side by side.
VECTORS_PER_UNIT = 8

# How many days ahead memory is asked for: rows lie too far apart for the processor to guess.
DAYS_AHEAD = 4


@dataclass
class Kernel:
    """LLVM text and the arguments it wants, one 64-bit integer each, in order."""

    text: str
    arguments: tuple[str, ...]


def safe(name: str) -> str:
    """Give a name that LLVM takes; Python allows more letters in its own."""
    return re.sub(r"[^A-Za-z0-9_.]", lambda found: f"$u{ord(found.group()):x}", name)


@dataclass
class Frame:
    """Writes the text of one kernel.

    Threads take units of :data:`VECTORS_PER_UNIT` vectors from a shared counter. What a unit keeps
    between days is in slots of its scratch memory, a vector each, which stays in the nearest cache.
    The last vector of lanes begins early enough to be full, so a few lanes may be computed twice,
    with the same result; there is no remainder loop.
    """

    vector: Vector
    arguments: list[str] = field(default_factory=list)
    slots: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.emitter = Emitter(self.vector)
        self.line = self.emitter.line
        self.fresh = self.emitter.fresh

    def argument(self, name: str) -> str:
        if name not in self.arguments:
            self.arguments.append(name)
        return f"%{safe(name)}"

    def label(self, name: str) -> None:
        self.emitter.lines.append(f"{name}:")

    def kernel(self) -> Kernel:
        """Give what was written, with the loading of its arguments before it."""
        loads = []
        for number, name in enumerate(self.arguments):
            value, kind = f"%{safe(name)}", "ptr" if name.startswith("at.") else "i64"
            loads.append(f"  {value}.slot = getelementptr i64, ptr %arguments, i64 {number}")
            loads.append(f"  {value} = load {kind}, ptr {value}.slot")
        bits = 8 * self.vector.bytes * self.vector.width
        lines = [
            "define void @kernel(ptr noalias readonly %arguments) #0 {",
            "entry:",
            *loads,
            *self.emitter.lines,
            "}",
            *sorted(self.emitter.declarations),
            f'attributes #0 = {{ nounwind "prefer-vector-width"="{bits}"',
            f'"min-legal-vector-width"="{bits}" }}',
        ]
        return Kernel("\n".join(lines) + "\n", tuple(self.arguments))

    # -- units and loops ---------------------------------------------------------------------

    def open_units(self, gathers: bool) -> None:
        """Begin the loop in which a thread takes units until none is left."""
        v, line = self.vector, self.line
        line(f"%scratch = alloca [{max(1, len(self.slots)) * VECTORS_PER_UNIT} x {v.name}], align 64")
        if gathers:
            line(f"%sites = alloca [{VECTORS_PER_UNIT} x <{v.width} x i64>], align 64")
        counter, units = self.argument("at.counter"), self.argument("units")
        per_unit, vectors = self.argument("vectors_per_unit"), self.argument("vectors")
        line(f"%last.lane = sub i64 {self.argument('lanes')}, {v.width}")
        line(f"%last.day = sub i64 {self.argument('days')}, 1")
        line("br label %next.unit")
        self.label("next.unit")
        line(f"%unit = atomicrmw add ptr {counter}, i64 1 monotonic")
        line(f"%no.more = icmp sge i64 %unit, {units}")
        line("br i1 %no.more, label %end, label %begin")
        self.label("begin")
        line(f"%first.vector = mul i64 %unit, {per_unit}")
        line(f"%left = sub i64 {vectors}, %first.vector")
        line(f"%is.short = icmp slt i64 %left, {per_unit}")
        line(f"%count = select i1 %is.short, i64 %left, i64 {per_unit}")

    def close_units(self) -> None:
        self.line("br label %next.unit")
        self.label("end")
        self.line("ret void")

    def open_vectors(self, name: str, before: str) -> None:
        """Begin a loop over the unit's vectors; ``%{name}.lane`` is the first lane of each."""
        line = self.line
        line(f"br label %{name}")
        self.label(name)
        line(f"%{name}.i = phi i64 [ 0, %{before} ], [ %{name}.up, %{name} ]")
        line(f"%{name}.vector = add i64 %first.vector, %{name}.i")
        line(f"%{name}.begin = mul i64 %{name}.vector, {self.vector.width}")
        line(f"%{name}.over = icmp sgt i64 %{name}.begin, %last.lane")
        line(f"%{name}.lane = select i1 %{name}.over, i64 %last.lane, i64 %{name}.begin")
        line(f"%{name}.slots = mul i64 %{name}.i, {len(self.slots)}")

    def close_vectors(self, name: str, after: str) -> None:
        line = self.line
        line(f"%{name}.up = add i64 %{name}.i, 1")
        line(f"%{name}.done = icmp sge i64 %{name}.up, %count")
        line(f"br i1 %{name}.done, label %{after}, label %{name}")
        self.label(after)

    # -- memory ------------------------------------------------------------------------------

    def address(self, base: str, offset: str | int, element: str | None = None) -> str:
        pointer = self.fresh()
        self.line(f"{pointer} = getelementptr {element or self.vector.element}, ptr {base}, i64 {offset}")
        return pointer

    def load(self, pointer: str, name: str = "", align: int = 0) -> str:
        value = f"%{safe(name)}" if name else self.fresh()
        self.line(f"{value} = load {self.vector.name}, ptr {pointer}, align {align or self.vector.bytes}")
        return value

    def store(self, value: str, pointer: str, align: int = 0) -> None:
        self.line(f"store {self.vector.name} {value}, ptr {pointer}, align {align or self.vector.bytes}")

    def prefetch(self, pointer: str, to_write: bool = False) -> None:
        self.emitter.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.line(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {int(to_write)}, i32 3, i32 1)")

    def load_slot(self, loop: str, slot: str, name: str = "") -> str:
        return self.load(self._slot(loop, slot), name, self._slot_align)

    def store_slot(self, value: str, loop: str, slot: str) -> None:
        self.store(value, self._slot(loop, slot), self._slot_align)

    def lane_array(self, name: str, loop: str) -> str:
        """Give where the lanes of this vector are in an array ``(lane,)``."""
        return self.address(self.argument(f"at.{name}"), f"%{loop}.lane")

    def _slot(self, loop: str, slot: str) -> str:
        number = self.fresh()
        self.line(f"{number} = add i64 %{loop}.slots, {self.slots[slot]}")
        return self.address("%scratch", number, self.vector.name)

    @property
    def _slot_align(self) -> int:
        return min(64, self.vector.bytes * self.vector.width)
