"""Potential evapotranspiration against published examples."""

import numpy as np
import pytest

from thalweg.storage.evapotranspiration import extraterrestrial_radiation, hargreaves_samani, oudin


def test_radiation_of_fao56_example_8():
    # 20 degrees south on 3 September (day 246): 32.2 MJ m-2 day-1
    assert extraterrestrial_radiation(-20.0, 246) == pytest.approx(32.2, abs=0.05)


def test_radiation_and_hargreaves_of_fao56_example_20():
    # Lyon, 45.72 degrees north, 15 July: Ra = 40.6 MJ m-2 day-1; 26.6 and 14.8 degC give 5.0 mm/day
    radiation = extraterrestrial_radiation(45.72, 196)
    assert radiation == pytest.approx(40.6, abs=0.05)
    assert hargreaves_samani(14.8, 26.6, radiation) == pytest.approx(5.0, abs=0.05)


def test_oudin_by_hand():
    # 24.5 MJ evaporate 10 mm; a fifth of it at 15 degC, nothing at -5 degC and below
    assert oudin([15.0, -5.0, -20.0], 24.5) == pytest.approx([2.0, 0.0, 0.0])


def test_polar_night_and_polar_day():
    assert extraterrestrial_radiation(80.0, [355, 172]) == pytest.approx([0.0, 44.0], abs=1.0)
    assert np.isfinite(extraterrestrial_radiation([[90.0], [-90.0]], np.arange(1, 367))).all()


def test_hemispheres_mirror_half_a_year_apart():
    days = np.arange(1, 366)
    north, south = extraterrestrial_radiation([[45.0], [-45.0]], days)
    assert abs(north.argmax() - south.argmax()) == pytest.approx(183, abs=5)


def test_shapes_and_missing_values():
    radiation = extraterrestrial_radiation(np.array([[10.0], [50.0]]), np.array([1, 60, 366]))
    assert radiation.shape == (2, 3)
    temperature = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    assert np.isnan(oudin(temperature, radiation)).sum() == 1
    assert np.isnan(hargreaves_samani(temperature - 1, temperature + 1, radiation)).sum() == 1


def test_swapped_extremes_give_zero_not_nan():
    assert hargreaves_samani(10.0, 8.0, 30.0) == 0.0
