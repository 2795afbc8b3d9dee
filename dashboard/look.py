"""The one look of every page: colours of observations, models and states, and how numbers are written."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from math import isfinite

from thalweg.flows.palette import MODELS

"""Models any other has to beat: drawn muted and broken, always after the others."""

# The same hues on a dark ground, the two darkest lifted to a contrast above 4.5.
_DARK_MODELS = ("#3d9be0", "#ef7f2e", "#1fbf8f", "#d98fba", "#e5ab2e", "#8fd0f7", "#a98ad0", "#c08a7a")
_FLOOR_DASHES = {"climatology": "dash", "persistence": "dot"}
_DASHES = ("solid", "longdashdot", "dashdot")

SKILL_SCALE = ("#44337a", "#3b5f93", "#2b8a8c", "#5fb45e", "#e0d13a")
"""Five steps from poor to perfect, lightness rising throughout (after viridis)."""
BELOW_SCALE = "#c1440e"
"""Worse than the reference of the metric: outside the scale of skill on purpose."""
DIVERGING_SCALE = ("#8c510a", "#d8b365", "#d9d9d9", "#5ab4ac", "#01665e")
"""Brown: too little or too low; teal: too much (Brewer's BrBG with a grey middle).

Five classes, because their borders are then round numbers for a reach of 1, 2 or 5.
."""


@dataclass(frozen=True)
class Look:
    """Colours of a theme."""

    dark: bool
    ink: str
    muted: str
    faint: str
    ground: str
    panel: str
    land: str
    border: str
    floor: str
    states: Mapping[str, str] = field(default_factory=dict)
    rain: str = "#6a8fa9"
    warmth: str = "#a8663f"

    @property
    def observed(self) -> str:
        """Colour of observations, on every page."""
        return self.ink

    @property
    def models(self) -> tuple[str, ...]:
        """Colours that are handed out to models."""
        return _DARK_MODELS if self.dark else MODELS


LIGHT = Look(
    dark=False,
    ink="#1a242e",
    muted="#5c6975",
    faint="#e4e9ed",
    ground="#ffffff",
    panel="#f3f6f8",
    land="#eef1f3",
    border="#b9c3cc",
    floor="#7d8892",
    states={
        "done": "#5b8f86",
        "running": "#0b6b88",
        "waiting": "#a3adb6",
        "failed": "#c1440e",
        "stopped": "#b07a00",
        "unknown": "#a3adb6",
    },
)
DARK = Look(
    dark=True,
    ink="#eef2f5",
    muted="#9aa7b3",
    faint="#222c35",
    ground="#11171d",
    panel="#19222b",
    land="#1d2730",
    border="#46535f",
    floor="#8794a0",
    states={
        "done": "#5fa499",
        "running": "#4fb3d1",
        "waiting": "#66737f",
        "failed": "#ef7048",
        "stopped": "#d6a02b",
        "unknown": "#66737f",
    },
    rain="#7ea3be",
    warmth="#d19a78",
)


@dataclass(frozen=True)
class Stroke:
    """How a model is drawn."""

    color: str
    dash: str
    width: float


def strokes(models: Iterable[str], floors: Iterable[str], look: Look) -> dict[str, Stroke]:
    """One stroke for each model, by its place among all, so that it is the same on every page.

    Parameters
    ----------
    models : names of every model in the folder of runs, floors included, in an order that stays.
    floors : which of them are floors.
    """
    muted = list(dict.fromkeys(floors))
    result = {}
    names = (name for name in dict.fromkeys(models) if name not in muted)
    for number, name in enumerate(names):
        turn, place = divmod(number, len(look.models))
        result[name] = Stroke(look.models[place], _DASHES[turn % len(_DASHES)], 1.8)
    for number, name in enumerate(muted):
        dash = _FLOOR_DASHES.get(name, ("dash", "dot")[number % 2])
        result[name] = Stroke(look.floor, dash, 1.2)
    return result


def number(value: float | None, decimals: int = 2, signed: bool = False) -> str:
    """A number for reading: a real minus sign, and a dash where there is none."""
    if value is None or not isfinite(value):
        return "–"
    rounded = round(float(value), decimals) + 0.0
    text = f"{rounded:+.{decimals}f}" if signed and rounded else f"{rounded:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def units_text(units: str) -> str:
    """Units for reading: `degC` is `°C`, `W/m2` is `W/m²`."""
    return re.sub(r"(?<=m)[23]\b", lambda power: "²³"[int(power[0]) - 2], units.replace("degC", "°C"))


def count(value: int, noun: str, plural: str | None = None) -> str:
    """`1 site`, `50 sites`, `2,000 sites`."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None or not isfinite(seconds):
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def text(value: object) -> str:
    """Text made safe for HTML."""
    return escape(str(value), quote=True)
