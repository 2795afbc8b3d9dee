"""Attributes are called what the store calls them, with units; by their names where it cannot tell."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from thalweg.dashboard.figures.frame import two_lines
from thalweg.dashboard.reading import cards, contents
from thalweg.dashboard.reading.attributes import Attribute, Names, attribute_names, described


def test_a_title_has_units_and_a_raw_name_stays_as_it_is() -> None:
    elevation = Attribute("elev_mean", "mean elevation (of the basin)", "m")
    assert (elevation.title, elevation.axis) == (
        "Mean elevation (of the basin)",
        "Mean elevation (of the basin) (m)",
    )
    assert elevation.bare == "Mean elevation"
    assert Attribute("frac_snow", "snow", "1").axis == "Snow (–)"
    assert Attribute("area", "area", "km2").unit == "km²"
    assert Names()["elev_mean"].axis == "elev_mean"


def test_a_dataset_tells_names_and_units_of_what_is_over_sites() -> None:
    dataset = xr.Dataset(
        {
            "elev_mean": ("site", [1.0], {"long_name": "mean elevation", "units": "m"}),
            "frac_snow": ("site", [0.1], {"long_name": "precipitation below 0 degC", "units": "1"}),
            "area": ("site", [2.0], {"units": "km2"}),
            "odd": ("site", [2.0]),
            "rain": (("site", "time"), [[0.0]], {"long_name": "precipitation"}),
        }
    )
    known = described(dataset)
    assert set(known) == {"elev_mean", "frac_snow", "area", "rain"}
    assert known["area"].axis == "area (km²)"
    assert known["frac_snow"].title == "Precipitation below 0 °C"
    assert known.of_group("elev_mean+frac_snow+odd") == "Mean elevation + precipitation below 0 °C + odd"


def test_names_come_from_the_store_of_the_runs(evaluated_runs: Path) -> None:
    runs = cards.read()
    assert attribute_names(runs)["area"].axis == "area (km²)"
    gone = [replace(run, path="nowhere") for run in runs]
    assert attribute_names(gone) == {}
    assert attribute_names([]) == {}


def test_what_is_known_of_a_site(evaluated_runs: Path) -> None:
    run = cards.read()[0]
    held = contents.contents(run.store, run.snapshot)
    sites = list(held.places.index)
    table = contents.attributes_at(run.store, run.snapshot, sites[-1]).set_index("attribute")
    assert table.loc["area", "value"] == "900"
    assert table.loc["area", "units"] == "km²"
    assert table.loc["area", "below"] == pytest.approx(100 * 5 / 6)
    first = contents.attributes_at(run.store, run.snapshot, sites[0]).set_index("attribute")
    assert first.loc["area", "below"] == 0.0
    assert np.isnan(first["below"].drop("area")).all()


def test_a_long_name_is_cut_after_two_lines() -> None:
    assert two_lines("short", 10) == "short"
    assert two_lines("as long as two lines", 10) == "as long as<br>two lines"
    assert two_lines("longer than two lines can be", 10).endswith(" …")
    assert two_lines("", 10) == ""
