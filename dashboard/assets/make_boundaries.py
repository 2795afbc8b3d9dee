"""Makes the three boundary files of this folder from the npm packages `world-atlas` and `us-atlas`.

    npm pack world-atlas@2.0.2 us-atlas@3.0.1     # then unpack both
    python make_boundaries.py world/land-50m.json world/countries-50m.json us/states-10m.json

The output is plain longitude/latitude for a Cartesian plot: no ring or line crosses the antimeridian.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

Point = tuple[float, float]
Line = list[Point]

LAND_TOLERANCE = 0.055
"""Degrees: half a pixel when the conterminous United States fill 650 pixels."""
STATE_TOLERANCE = 0.015
SMALLEST_ISLAND = 0.03
"""Square degrees: smaller ones are invisible at the scales the dashboard draws."""


def decode_arcs(topology: dict[str, Any]) -> list[Line]:
    """Arcs of a TopoJSON topology in degrees (quantised deltas summed, scaled and shifted)."""
    (scale_x, scale_y), (shift_x, shift_y) = (
        topology["transform"]["scale"],
        topology["transform"]["translate"],
    )
    lines = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for step in arc:
            x, y = x + step[0], y + step[1]
            line.append((x * scale_x + shift_x, y * scale_y + shift_y))
        lines.append(line)
    return lines


def polygons(geometry: dict[str, Any]) -> Iterator[list[list[int]]]:
    """Every polygon of a TopoJSON geometry: an outline and its holes as arc numbers (~n: arc n backwards)."""
    if geometry["type"] == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from polygons(part)
    elif geometry["type"] == "Polygon":
        yield geometry["arcs"]
    elif geometry["type"] == "MultiPolygon":
        yield from geometry["arcs"]


def join(numbers: list[int], arcs: list[Line]) -> Line:
    """The points of one ring; arcs share their end points, which are kept once."""
    line: Line = []
    for number in numbers:
        arc = arcs[number] if number >= 0 else arcs[~number][::-1]
        line.extend(arc[1:] if line else arc)
    return line


def shared_arcs(topology: dict[str, Any], name: str) -> list[Line]:
    """Arcs that two different geometries of the collection use: the borders between them, without coasts."""
    uses: Counter[int] = Counter()
    for geometry in topology["objects"][name]["geometries"]:
        if geometry.get("type"):
            rings = [ring for polygon in polygons(geometry) for ring in polygon]
            uses.update({number if number >= 0 else ~number for ring in rings for number in ring})
    arcs = decode_arcs(topology)
    return [arcs[number] for number, count in uses.items() if count > 1]


def simplify(line: Line, tolerance: float) -> Line:
    """Douglas-Peucker: the fewest of the points that stay within `tolerance` degrees of the line."""
    keep = {0, len(line) - 1}
    stack = [(0, len(line) - 1)]
    while stack:
        first, last = stack.pop()
        distance, index = 0.0, first
        for i in range(first + 1, last):
            d = _distance(line[i], line[first], line[last])
            if d > distance:
                distance, index = d, i
        if distance > tolerance:
            keep.add(index)
            stack += [(first, index), (index, last)]
    return [line[i] for i in sorted(keep)]


def _distance(point: Point, start: Point, end: Point) -> float:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    if length == 0.0:
        return math.dist(point, start)
    share = max(0.0, min(1.0, ((point[0] - start[0]) * dx + (point[1] - start[1]) * dy) / length))
    return math.dist(point, (start[0] + share * dx, start[1] + share * dy))


def unwrap(line: Line) -> Line:
    """Longitudes made continuous: a step over the antimeridian goes beyond ±180 instead of jumping back."""
    turned, result = 0.0, [line[0]]
    for (before, _), (x, y) in pairwise(line):
        if abs(x - before) > 180.0:
            turned += 360.0 if x < before else -360.0
        result.append((x + turned, y))
    return result


def cut(ring: Line, limit: float, inside: Callable[[float], bool]) -> Line:
    """The part of a ring on one side of the meridian `limit` (Sutherland and Hodgman 1974)."""
    result: Line = []
    for before, after in zip(ring, ring[1:] + ring[:1], strict=True):
        if inside(before[0]):
            result.append(before)
        if inside(before[0]) != inside(after[0]):
            share = (limit - before[0]) / (after[0] - before[0])
            result.append((limit, before[1] + share * (after[1] - before[1])))
    return result


def split_ring(ring: Line) -> list[Line]:
    """A ring as one or more rings within ±180 degrees; one around the South Pole is closed along it."""
    ring = unwrap(ring)
    if abs(ring[-1][0] - ring[0][0]) > 180.0:
        ring = [*ring, (ring[-1][0], -90.0), (ring[0][0], -90.0)]
    parts = []
    for shift in (-360.0, 0.0, 360.0):
        moved = [(x + shift, y) for x, y in ring]
        part = cut(moved, 180.0, lambda x: x <= 180.0)
        part = cut(part, -180.0, lambda x: x >= -180.0) if part else part
        if part:
            parts.append(part)
    return parts


def split_line(line: Line) -> list[Line]:
    """A line broken where it crosses the antimeridian."""
    parts: list[Line] = [[line[0]]]
    for before, after in pairwise(line):
        if abs(after[0] - before[0]) > 180.0:
            parts.append([])
        parts[-1].append(after)
    return [part for part in parts if len(part) > 1]


def land_polygons(topology: dict[str, Any]) -> list[list[Line]]:
    """Simplified polygons of all land but small islands, inland seas as holes."""
    arcs = decode_arcs(topology)
    result = []
    for polygon in polygons(topology["objects"]["land"]):
        outline, *holes = (
            [part for part in split_ring(join(ring, arcs)) if area(part) > SMALLEST_ISLAND]
            for ring in polygon
        )
        # an inland sea lies in the largest part: none is cut by the antimeridian
        outline.sort(key=area, reverse=True)
        for number, part in enumerate(outline):
            inner = [hole for parts in holes for hole in parts] if number == 0 else []
            simple = [simplify(ring, LAND_TOLERANCE) for ring in (part, *inner)]
            result.append([ring for ring in simple if len(ring) > 3])
    return [polygon for polygon in result if polygon]


def area(ring: Line) -> float:
    """Area of a ring in square degrees."""
    following = ring[1:] + ring[:1]
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, following, strict=True))) / 2.0


def write(path: Path, kind: str, coordinates: list[Any], decimals: int) -> None:
    """One GeoJSON geometry with rounded coordinates and no blanks."""
    text = json.dumps({"type": kind, "coordinates": _round(coordinates, decimals)}, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(f"{path.name}: {len(text) / 1000:.0f} kB, {len(coordinates)} parts\n")


def _round(value: Any, decimals: int) -> Any:
    if isinstance(value, float):
        return round(value, decimals)
    return [_round(part, decimals) for part in value]


def main(land_file: str, country_file: str, state_file: str) -> None:
    """Writes land.geojson, countries.geojson and states.geojson beside this script."""
    folder = Path(__file__).parent
    land, countries, states = (
        json.loads(Path(name).read_text(encoding="utf-8")) for name in (land_file, country_file, state_file)
    )
    write(folder / "land.geojson", "MultiPolygon", land_polygons(land), 2)
    for name, topology, collection, tolerance in (
        ("countries", countries, "countries", LAND_TOLERANCE),
        ("states", states, "states", STATE_TOLERANCE),
    ):
        lines = [part for arc in shared_arcs(topology, collection) for part in split_line(arc)]
        write(folder / f"{name}.geojson", "MultiLineString", [simplify(line, tolerance) for line in lines], 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
