"""Series in a kernel: today's row of each, and a vector out of it whatever its layout."""

from __future__ import annotations

from collections.abc import Iterable

from thalweg.models.engine.fused.frame import DAYS_AHEAD, Frame, safe

Layouts = Iterable[tuple[str, str]]


class SeriesFrame(Frame):
    """A frame that reads and writes series.

    Layouts: ``lane`` for ``(time, lane)``. A series that all components of a site share is ``(time,
    site)`` and never repeated in memory: ``site`` where the lanes of a vector are all of one site,
    ``repeat.N`` where a vector holds whole sites of N components, ``gather`` for any other number.
    """

    def open_row(self, name: str, backward: bool) -> None:
        """Find today's row of a series, and the row of a few days ahead."""
        base, stride = self.argument(f"at.{name}"), self.argument(f"stride.{name}")
        offset, ahead = self.fresh(), self.fresh()
        self.line(f"{offset} = mul i64 %today, {stride}")
        self.line(f"%row.{safe(name)} = getelementptr {self.vector.element}, ptr {base}, i64 {offset}")
        self.line(f"{ahead} = mul i64 {stride}, {-DAYS_AHEAD if backward else DAYS_AHEAD}")
        self.line(
            f"%ahead.{safe(name)} = getelementptr {self.vector.element}, ptr %row.{safe(name)}, i64 {ahead}"
        )

    def store_today(self, name: str, value: str, loop: str) -> None:
        self.prefetch(self.address(f"%ahead.{safe(name)}", f"%{loop}.lane"), to_write=True)
        self.store(value, self.address(f"%row.{safe(name)}", f"%{loop}.lane"))

    def find_site(self, layouts: set[str], loop: str) -> None:
        """Compute what the layouts need to know of this vector's sites."""
        if layouts - {"lane", "gather"}:
            self.line(f"%{loop}.site = udiv i64 %{loop}.lane, {self.argument('components')}")
        if "gather" in layouts:
            indices = f"<{self.vector.width} x i64>"
            pointer = self.address("%sites", f"%{loop}.i", indices)
            self.line(f"%{loop}.sites = load {indices}, ptr {pointer}, align 64")

    def keep_sites(self, loop: str) -> None:
        """Compute the site of every lane, once for all days: division is slow."""
        width, vector = self.vector.width, "poison"
        for lane in range(width):
            own, site, joined = self.fresh(), self.fresh(), self.fresh()
            self.line(f"{own} = add i64 %{loop}.lane, {lane}")
            self.line(f"{site} = udiv i64 {own}, {self.argument('components')}")
            self.line(f"{joined} = insertelement <{width} x i64> {vector}, i64 {site}, i64 {lane}")
            vector = joined
        pointer = self.address("%sites", f"%{loop}.i", f"<{width} x i64>")
        self.line(f"store <{width} x i64> {vector}, ptr {pointer}, align 64")

    def load_today(self, name: str, layout: str, loop: str) -> str:
        row, value = f"%row.{safe(name)}", f"%d.{safe(name)}"
        if layout == "lane":
            self.prefetch(self.address(f"%ahead.{safe(name)}", f"%{loop}.lane"))
            return self.load(self.address(row, f"%{loop}.lane"), f"d.{name}")
        if layout == "gather":
            self._gather(row, value, loop)
        else:
            repeated = layout.removeprefix("repeat.")
            self._repeat(row, value, loop, self.vector.width if layout == "site" else int(repeated))
        return value

    def _repeat(self, row: str, value: str, loop: str, components: int) -> None:
        v, few = self.vector, self.vector.width // components
        part, loaded = f"<{few} x {v.element}>", self.fresh()
        lanes = ", ".join(f"i32 {lane // components}" for lane in range(v.width))
        self.line(f"{loaded} = load {part}, ptr {self.address(row, f'%{loop}.site')}, align {v.bytes}")
        self.line(f"{value} = shufflevector {part} {loaded}, {part} poison, <{v.width} x i32> <{lanes}>")

    def _gather(self, row: str, value: str, loop: str) -> None:
        v, pointers = self.vector, self.fresh()
        kind = f"<{v.width} x ptr>"
        self.line(f"{pointers} = getelementptr {v.element}, ptr {row}, <{v.width} x i64> %{loop}.sites")
        function = f"@llvm.masked.gather.{v.suffix}.v{v.width}p0"
        self.emitter.declarations.add(f"declare {v.name} {function}({kind}, i32, {v.mask}, {v.name})")
        self.line(
            f"{value} = call {v.name} {function}({kind} {pointers}, i32 {v.bytes}, "
            f"{v.mask} splat (i1 true), {v.name} poison)"
        )
