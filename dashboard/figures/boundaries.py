"""Land, borders and state borders cut to a window of longitude and latitude."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Path = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A part of the world (degrees)."""

    west: float
    east: float
    south: float
    north: float

    def grown(self, share: float) -> "Window":
        """A window larger by this share of its size on each side, within the world."""
        dx, dy = share * (self.east - self.west), share * (self.north - self.south)
        return Window(
            max(-180.0, self.west - dx),
            min(180.0, self.east + dx),
            max(-90.0, self.south - dy),
            min(90.0, self.north + dy),
        )


@lru_cache(maxsize=32)
def land_within(window: Window) -> tuple[Path, Path]:
    """Longitudes and latitudes of land polygons; NaN separates rings."""
    rings = (_cut_ring(ring, window) for polygon in _coordinates("land") for ring in polygon)
    return _joined(ring for ring in rings if len(ring) > 2)


@lru_cache(maxsize=32)
def lines_within(name: str, window: Window) -> tuple[Path, Path]:
    """Longitudes and latitudes of the lines of `countries` or `states`; NaN separates lines."""
    return _joined(part for line in _coordinates(name) for part in _cut_line(line, window))


@cache
def _coordinates(name: str) -> list[Any]:
    text = files("thalweg.dashboard.assets").joinpath(f"{name}.geojson").read_text(encoding="utf-8")
    coordinates: list[Any] = json.loads(text)["coordinates"]
    return coordinates


def _joined(parts: Iterable[list[Point]]) -> tuple[Path, Path]:
    gap = (np.nan, np.nan)
    points = [point for part in parts for point in (*part, gap)]
    x, y = np.array(points, np.float32).reshape(-1, 2).T
    return x, y


def _cut_ring(ring: list[Point], window: Window) -> list[Point]:
    """The part of a ring inside the window (Sutherland and Hodgman 1974)."""
    for axis, limit, sign in (
        (0, window.west, 1.0),
        (0, window.east, -1.0),
        (1, window.south, 1.0),
        (1, window.north, -1.0),
    ):
        if not ring:
            break
        kept: list[Point] = []
        before = ring[-1]
        for point in ring:
            inside, was_inside = sign * (point[axis] - limit) >= 0, sign * (before[axis] - limit) >= 0
            if inside != was_inside:
                share = (limit - before[axis]) / (point[axis] - before[axis])
                other = 1 - axis
                crossing = before[other] + share * (point[other] - before[other])
                kept.append((limit, crossing) if axis == 0 else (crossing, limit))
            if inside:
                kept.append((point[0], point[1]))
            before = point
        ring = kept
    return ring


def _cut_line(line: list[Point], window: Window) -> list[list[Point]]:
    """Stretches of a line with at least one end of each segment inside the window."""
    inside = [window.west <= x <= window.east and window.south <= y <= window.north for x, y in line]
    parts: list[list[Point]] = []
    open_part = False
    for i in range(len(line) - 1):
        if inside[i] or inside[i + 1]:
            if not open_part:
                parts.append([line[i]])
            parts[-1].append(line[i + 1])
            open_part = True
        else:
            open_part = False
    return parts
