"""Daily scores of probabilistic forecasts, and their sums, which add up to the last bit.

The sums are kept to twice the precision, as those of :mod:`thalweg.evaluation.moments`: the record may be
split over time or workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thalweg.evaluation.efficiency import ratio
from thalweg.evaluation.moments import Array, add_exactly, exact_sum
from thalweg.evaluation.uncertainty.forecasts import Forecast

LEVELS = (0.5, 0.9)  # of the central intervals
BINS = 20  # of the PIT histogram


class About(NamedTuple):
    """How to read a score; ``better`` as in ``thalweg.evaluation.skill.Metric``, or ``level`` or ``none``."""

    long_name: str
    units: str
    perfect: float
    better: str


SCORES = {
    "crps": About("continuous ranked probability score", "mm/day", 0.0, "low"),
    "crpss": About("CRPS skill over the site's climatology", "1", 1.0, "high"),
    "log_score": About("negative log-likelihood", "nats", np.nan, "low"),
    "spread": About("root mean forecast variance", "mm/day", np.nan, "none"),
    "error": About("root mean squared error of the forecast mean", "mm/day", 0.0, "low"),
    "spread_skill": About("spread over error", "1", 1.0, "one"),
    "pit_reliability": About("closeness of the PIT to uniform", "1", 1.0, "high"),
    "coverage": About("share of days within the {} % interval", "1", np.nan, "level"),
    "width": About("mean width of the {} % interval", "mm/day", np.nan, "low"),
    "winkler": About("interval score of the {} % interval", "mm/day", 0.0, "low"),
}


def attributes(name: str) -> dict[str, str | float]:
    """Give long name, units and perfect value of a score by its name."""
    if name == "n_days":
        return {"long_name": "observed days scored", "units": "days"}
    if name == "pit":
        return {"long_name": "share of days by forecast probability", "units": "1", "perfect": 1.0 / BINS}
    base, _, level = name.rpartition("_") if name not in SCORES else (name, "", "")
    about = SCORES[base]
    perfect = float(level) / 100.0 if about.better == "level" else about.perfect
    return {"long_name": about.long_name.format(level), "units": about.units, "perfect": perfect}


@dataclass(frozen=True)
class ScoreSums:
    """What the scores of single days add up to; ``+`` joins separate parts of the record of the same sites.

    Attributes
    ----------
    names : of the daily scores.
    days : scored, ``(site,)``.
    high, low : their sums, ``(name, site)``: rounded, and what rounding left over.
    """

    names: tuple[str, ...]
    days: NDArray[np.int64]
    high: Array
    low: Array

    @classmethod
    def of(cls, forecast: Forecast, observed: Array, levels: Sequence[float] = LEVELS) -> ScoreSums:
        """Add up the days.

        Parameters
        ----------
        forecast : of discharge (mm/day), ``(site, time)``.
        observed : (mm/day), ``(site, time)``. A day that is NaN here is left out; NaN in the forecast on
            another day makes the site's sums NaN.
        levels : of the central intervals, in (0, 1).
        """
        there = ~np.isnan(observed)
        names, sums = [], []
        for name, days in _daily(forecast, np.where(there, observed, 0.0), levels):
            names.append(name)
            with np.errstate(invalid="ignore", over="ignore"):
                sums.append(exact_sum(np.where(there, days, 0.0)))
        high, low = (np.stack(part) for part in zip(*sums, strict=True))
        return cls(tuple(names), there.sum(axis=-1, dtype=np.int64), high, low)

    def __add__(self, other: ScoreSums) -> ScoreSums:
        if self.names != other.names:
            raise ValueError(f"sums of {', '.join(self.names)} and {', '.join(other.names)} do not add up")
        with np.errstate(invalid="ignore", over="ignore"):
            high, low = add_exactly(self.high, self.low, other.high, other.low)
        return ScoreSums(self.names, self.days + other.days, high, low)

    def scores(self) -> dict[str, Array]:
        """Give every score, ``(site,)`` each, and ``pit`` ``(site, bin)``; NaN where undefined."""
        days = np.where(self.days > 0, self.days, np.nan)
        mean = dict(zip(self.names, self.high / days, strict=True))
        edges = np.stack([mean.pop(f"pit_{k}") for k in range(1, BINS)], axis=-1)
        variance, squared_error = mean.pop("variance", None), mean.pop("squared_error", None)
        scores = dict(mean)
        if variance is not None and squared_error is not None:
            scores["spread"], scores["error"] = np.sqrt(variance), np.sqrt(squared_error)
            scores["spread_skill"] = ratio(scores["spread"], scores["error"])
        uniform = np.arange(1, BINS) / BINS
        scores["pit_reliability"] = 1.0 - 2.0 * np.abs(edges - uniform).mean(axis=-1)
        scores["pit"] = np.diff(edges, axis=-1, prepend=0.0, append=1.0)
        scores["pit"][np.isnan(edges).any(axis=-1)] = np.nan
        return scores


def _daily(forecast: Forecast, y: Array, levels: Sequence[float]) -> Iterator[tuple[str, Array]]:
    """Give what each day scores, ``(site, time)``, by name."""
    yield "crps", forecast.crps(y)
    density = forecast.log_density(y)
    if density is not None:
        yield "log_score", -density
    spread = forecast.spread()
    if spread is not None:
        yield "variance", spread[1]
        yield "squared_error", (spread[0] - y) ** 2
    for level in levels:
        bounds = forecast.interval(level)
        if bounds is not None:
            low, high = bounds
            missed = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
            yield f"coverage_{100 * level:g}", np.where(np.isnan(missed), np.nan, missed == 0.0)
            yield f"width_{100 * level:g}", high - low
            yield f"winkler_{100 * level:g}", high - low + 2.0 / (1.0 - level) * missed
    below, upto = forecast.pit(y)
    extent = np.maximum(upto - below, 1e-12)
    for k in range(1, BINS):
        yield f"pit_{k}", np.clip((k / BINS - below) / extent, 0.0, 1.0)
