"""Conversion of units."""

import numpy as np
import pytest

from thalweg.storage.errors import InputError
from thalweg.storage.units import convert


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (273.15, "K", "degC", 0.0),
        (50.0, "degF", "degC", 10.0),
        (20.0, "degrees_Celsius", "degC", 20.0),
        (1.0, "kg m-2 s-1", "mm/day", 86400.0),
        (1e-8, "m s-1", "mm/day", 0.864),
        (1.0, "inch/day", "mm/day", 25.4),
        (10.0, "hPa", "Pa", 1000.0),
        (3.0, "W m-2", "W/m2", 3.0),
        (2.0, "mm d-1", "mm/day", 2.0),
        (12.0, "hours", "s", 43200.0),
    ],
)
def test_converts(value, source, target, expected):
    assert convert(np.array([value]), source, target)[0] == pytest.approx(expected, abs=1e-9)


def test_missing_stays_missing():
    assert np.isnan(convert(np.array([np.nan, 280.0]), "K", "degC")).tolist() == [True, False]


def test_the_same_unit_returns_the_values_themselves():
    values = np.ones(3)
    assert convert(values, "mm/day", "mm/day") is values
    assert convert(values, "mm d-1", "mm/day") is values


@pytest.mark.parametrize(("source", "target"), [("degC", "mm/day"), ("mm", "mm/day"), ("kg m-2", "mm/day")])
def test_refuses_what_is_not_convertible(source, target):
    with pytest.raises(InputError, match=f"file.nc: unit '{source}' cannot be converted to '{target}'"):
        convert(np.ones(2), source, target, "file.nc")


def test_volume_needs_an_area():
    with pytest.raises(InputError, match="needs the basin's area"):
        convert(np.ones(2), "ft3/s", "mm/day")


def test_refuses_an_unknown_unit():
    with pytest.raises(InputError, match=r"file.nc: unknown unit 'furlongs per fort'"):
        convert(np.ones(2), "furlongs per fort", "mm/day", "file.nc")
