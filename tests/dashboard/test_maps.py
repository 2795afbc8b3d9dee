"""Maps: boundaries that ship with the dashboard, cut to the sites."""

import json
import math
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thalweg.dashboard.figures.boundaries import Window, land_within, lines_within
from thalweg.dashboard.figures.sitemap import clicked, locator, skill_map, window_of
from thalweg.dashboard.look import BELOW_SCALE, DARK, LIGHT
from thalweg.dashboard.measures import measures

NSE = measures(["nse"])["nse"]
STATES = Window(-125.0, -67.0, 25.0, 49.5)


def places(*rows: tuple[float, float]) -> pd.DataFrame:
    index = pd.Index([f"site_{i}" for i in range(len(rows))], name="site")
    return pd.DataFrame(rows, columns=["latitude", "longitude"], index=index).assign(region="01")


def rings(x: Any, y: Any) -> list[list[tuple[float, float]]]:
    parts: list[list[tuple[float, float]]] = [[]]
    for point in zip(x.tolist(), y.tolist(), strict=True):
        if math.isnan(point[0]):
            parts.append([])
        else:
            parts[-1].append(point)
    return [part for part in parts if part]


def on_land(longitude: float, latitude: float, window: Window) -> bool:
    """Whether a ray to the east crosses the outlines of land an odd number of times."""
    crossings = 0
    for ring in rings(*land_within(window)):
        for (x1, y1), (x2, y2) in pairwise([*ring, ring[0]]):
            if (y1 > latitude) != (y2 > latitude):
                crossings += longitude < x1 + (latitude - y1) / (y2 - y1) * (x2 - x1)
    return crossings % 2 == 1


@pytest.mark.parametrize(
    ("longitude", "latitude", "land"),
    [(-98.5, 39.8, True), (-90.0, 27.0, False), (-70.0, 38.0, False), (-121.0, 44.0, True)],
)
def test_land_is_where_land_is(longitude: float, latitude: float, land: bool) -> None:
    assert on_land(longitude, latitude, STATES) is land


def test_an_inland_sea_is_no_land() -> None:
    caspian = Window(44.0, 58.0, 34.0, 50.0)
    assert not on_land(51.0, 41.5, caspian)
    assert on_land(46.0, 41.5, caspian)


def test_nothing_crosses_the_antimeridian() -> None:
    world = Window(-180.0, 180.0, -90.0, 90.0)
    for x, y in (land_within(world), lines_within("countries", world), lines_within("states", world)):
        for ring in rings(x, y):
            for (x1, y1), (x2, y2) in pairwise(ring):
                at_pole = y1 <= -89 or y2 <= -89
                assert abs(x2 - x1) < 90 or at_pole, (x1, y1, x2, y2)


def test_cut_to_the_window() -> None:
    x, y = (part[~np.isnan(part)] for part in land_within(STATES))
    assert x.min() >= STATES.west
    assert x.max() <= STATES.east
    assert y.min() >= STATES.south
    assert y.max() <= STATES.north


def test_boundaries_are_small_and_tell_their_origin() -> None:
    folder = files("thalweg.dashboard.assets")
    names = ("land", "countries", "states")
    texts = [folder.joinpath(f"{name}.geojson").read_text(encoding="utf-8") for name in names]
    assert sum(map(len, texts)) < 400_000
    assert {json.loads(text)["type"] for text in texts} == {"MultiPolygon", "MultiLineString"}
    origin = folder.joinpath("README.md").read_text(encoding="utf-8")
    assert all(f"{name}.geojson" in origin for name in names)


def test_a_degree_is_as_long_north_as_east() -> None:
    fig = skill_map(places((40.0, -100.0), (50.0, -80.0)), pd.Series(dtype=float), NSE, LIGHT, 300)
    assert fig.layout.yaxis.scaleanchor == "x"
    assert fig.layout.yaxis.scaleratio == pytest.approx(1 / math.cos(math.radians(45.0)), rel=1e-6)


def test_one_site_still_shows_its_surroundings() -> None:
    window = window_of(places((46.0, 7.0)))
    assert window.east - window.west > 6
    assert window.west < 7 < window.east
    assert window_of(places()).west == -180.0


def test_sites_without_place_or_value_do_no_harm() -> None:
    sites = places((40.0, -100.0), (math.nan, math.nan), (41.0, -90.0), (42.0, -95.0))
    values = pd.Series([0.7, 0.5, math.nan, -3.0], index=sites.index)
    fig = skill_map(sites, values, NSE, DARK, 300)
    shown = {str(row[0]): trace for trace in fig.data for row in _rows(trace)}
    assert set(shown) == {"site_0", "site_2", "site_3"}
    assert shown["site_2"].marker.symbol == "circle-open"
    assert shown["site_3"].marker.color == BELOW_SCALE


def test_the_chosen_site_is_marked() -> None:
    fig = locator(places((40.0, -100.0), (41.0, -90.0)), "site_1", LIGHT, 200)
    ring = fig.data[-1]
    assert (list(ring.x), list(ring.y)) == ([-90.0], [41.0])


def test_clicked_reads_a_selection() -> None:
    class Selection:
        points = ({"customdata": ["site_1", "01", 0.4]},)

    class Event:
        selection = Selection()

    assert clicked(Event()) == "site_1"
    assert clicked(None) is None


def _rows(trace: Any) -> list[Any]:
    return [] if trace.customdata is None else list(trace.customdata)
