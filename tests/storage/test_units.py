"""Conversion of units."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.storage import units
from thalweg.storage.errors import InputError
from thalweg.storage.units import convert, is_convertible


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


RATES = ("mm/day", "m s-1", "inch/hour", "kg m-2 s-1", "cm/day", "(mm)/day", "L/m2/day")
TEMPERATURES = ("degC", "K", "degF")
KINDS = st.sampled_from(
    [RATES, TEMPERATURES, ("Pa", "hPa", "mbar", "kPa"), ("m3/s", "ft3/s", "L/s", "ML/day")]
)


@given(KINDS.flatmap(lambda kind: st.tuples(*[st.sampled_from(kind)] * 3)), st.floats(-1e4, 1e4))
@settings(max_examples=100, deadline=None)
def test_conversions_go_there_and_back_and_by_any_way(names, value):
    """One conversion undoes the other, and two in a row are the same as one."""
    first, second, third = names
    if is_convertible(second, first) and is_convertible(second, third):  # mm/day does not become kg m-2 s-1
        there = convert(np.array([value]), first, second) if is_convertible(first, second) else None
        if there is not None:
            assert convert(there, second, first)[0] == pytest.approx(value, rel=1e-9, abs=1e-8)
            expected = convert(np.array([value]), first, third)[0]
            assert convert(there, second, third)[0] == pytest.approx(expected, rel=1e-9, abs=1e-8)


@given(st.sampled_from(RATES), st.lists(st.floats(0, 1e3), min_size=2, max_size=9))
@settings(max_examples=50, deadline=None)
def test_an_amount_is_the_same_water_in_any_unit(name, values):
    """Conversion of rates is a factor: the sum converts to the sum, and zero stays zero."""
    converted = convert(np.array([*values, 0.0]), name, "mm/day")
    assert converted.sum() == pytest.approx(convert(np.array([sum(values)]), name, "mm/day")[0], rel=1e-9)
    assert converted[-1] == 0.0


def test_threads_may_convert_at_once():
    """The registry is made by whichever thread comes first, and only once."""
    units._registry.cache_clear()
    units._scale_and_offset.cache_clear()
    pairs = [("K", "degC"), ("hPa", "Pa"), ("cm/day", "mm/day"), ("kg m-2 s-1", "mm/day")] * 4
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda pair: convert(np.ones(1), *pair)[0], pairs))
    assert results == pytest.approx([-272.15, 100.0, 10.0, 86400.0] * 4)


def test_a_scale_that_is_not_linear_is_refused():
    with pytest.raises(InputError, match="its scale is not linear"):
        convert(np.ones(1), "decibelmilliwatt", "W")
