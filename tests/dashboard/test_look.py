"""Colours and numbers: the same on every page, and legible."""

import math

import numpy as np
import pytest

from thalweg.dashboard.look import DARK, LIGHT, Look, count, duration, number, strokes, text, units_text
from thalweg.dashboard.measures import Measure, measures


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours (WCAG 2.1, 1.4.3)."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
def test_everything_can_be_told_from_the_ground(look: Look) -> None:
    assert contrast(look.ink, look.ground) > 12
    assert contrast(look.muted, look.ground) > 4.5
    for color in (*look.models, look.floor, look.states["failed"], look.states["running"]):
        assert contrast(color, look.ground) >= 2.9, color


def test_a_model_keeps_its_stroke_whatever_comes_after_it() -> None:
    both = strokes(["hybrid", "climatology", "lstm"], ["climatology"], LIGHT)
    more = strokes(["hybrid", "climatology", "lstm", "attention", "persistence"], ["climatology"], LIGHT)
    assert {name: more[name] for name in both} == both
    assert both["hybrid"].color == LIGHT.models[0]
    assert both["lstm"].color == LIGHT.models[1]
    assert both["climatology"].dash != "solid"
    assert both["climatology"].color == LIGHT.floor


def test_many_models_differ_by_colour_or_dash() -> None:
    many = strokes([f"m{i:02d}" for i in range(20)], [], DARK)
    assert len({(stroke.color, stroke.dash) for stroke in many.values()}) == 20
    assert DARK.observed not in {stroke.color for stroke in many.values()}


def test_numbers_read_well() -> None:
    assert number(-0.126) == "−0.13"
    assert number(-0.001) == "0.00"
    assert number(4.25, 1, signed=True) == "+4.2"
    assert number(math.nan) == number(None) == "–"
    assert count(2000, "site") == "2,000 sites"
    assert [duration(s) for s in (4.2, 200, 7500, None)] == ["4 s", "3 min 20 s", "2 h 05 min", "–"]
    assert text("<b onclick='x'>") == "&lt;b onclick=&#x27;x&#x27;&gt;"


def test_metrics_come_in_a_fixed_order_with_units() -> None:
    found = measures(["site", "rmse", "kge_2009", "nse", "bias", "unheard_of"])
    assert list(found) == ["nse", "kge_2009", "bias", "rmse"]
    assert [m.axis for m in found.values()] == ["NSE (–)", "KGE 2009 (–)", "Bias (%)", "RMSE (mm/day)"]


def test_ranges_ignore_a_long_bad_tail() -> None:
    nse: Measure = measures(["nse"])["nse"]
    assert nse.window(np.array([-400.0, 0.2, 0.5, 0.8])) == (-0.6, 1.0)
    assert nse.window(np.array([np.nan])) == (0.0, 1.0)
    bias: Measure = measures(["bias"])["bias"]
    low, high = bias.window(np.array([-12.0, 3.0, 8.0]))
    assert low == -high
    assert bias.scale(np.array([])).high == 1.0


def test_units_are_written_for_reading() -> None:
    assert [units_text(units) for units in ("degC", "W/m2", "m3/s", "mm/day", "")] == [
        "°C",
        "W/m²",
        "m³/s",
        "mm/day",
        "",
    ]
