"""Probabilities of an event, such as a flood or a dry river: are they right, and do they tell days apart.

All scores follow from one table, how often each probability was forecast and how often the event came.
Tables of parts of the record are added, so that the work may be split over time, sites or workers and no
digit changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import check_aligned, site_coordinates
from thalweg.storage.errors import InputError

BINS = 10

PROBABILITY_METRICS: dict[str, tuple[str, float]] = {
    "brier": ("Brier score", 0.0),
    "brier_skill": ("Brier skill score over the event's frequency", 1.0),
    "miscalibration": ("miscalibration of the Brier score", 0.0),
    "discrimination": ("discrimination of the Brier score", np.nan),
    "uncertainty": ("uncertainty of the Brier score", np.nan),
    "auroc": ("area under the ROC curve", 1.0),
    "auprc": ("area under the precision-recall curve", 1.0),
    "frequency": ("frequency of the event", np.nan),
}


@dataclass(frozen=True)
class ForecastCounts:
    """How often each probability was forecast; ``+`` joins separate parts of the record.

    Attributes
    ----------
    probability : those forecast, rising, ``(value,)``.
    days, events : days with each of them, and those with the event, ``(value,)``.
    """

    probability: Array
    days: NDArray[np.int64]
    events: NDArray[np.int64]

    @classmethod
    def of(cls, probability: Array, event: Array) -> ForecastCounts:
        """Count.

        Parameters
        ----------
        probability : in [0, 1], of any shape. Probabilities of an ensemble are few; a table of continuous
            ones grows with the record, and may be kept small by rounding them to 0.001 before.
        event : 1 or 0, of the same shape. Where either is NaN the day is left out.

        Raises
        ------
        InputError
            When values are out of range, or shapes differ.
        """
        p, y = np.asarray(probability, dtype=np.float64), np.asarray(event, dtype=np.float64)
        if p.shape != y.shape:
            raise InputError(
                f"probabilities of shape {p.shape} and events of shape {y.shape}; they must agree"
            )
        there = ~(np.isnan(p) | np.isnan(y))
        p, y = p[there], y[there]
        if ((p < 0.0) | (p > 1.0)).any():
            raise InputError(f"probability {p[(p < 0.0) | (p > 1.0)][0]:g} is not in [0, 1]")
        if not np.isin(y, (0.0, 1.0)).all():
            raise InputError("events must be 0, 1 or NaN")
        return _gathered(p, np.ones(p.size, np.int64), y.astype(np.int64))

    def __add__(self, other: ForecastCounts) -> ForecastCounts:
        return _gathered(
            np.concatenate([self.probability, other.probability]),
            np.concatenate([self.days, other.days]),
            np.concatenate([self.events, other.events]),
        )

    @property
    def frequency(self) -> float:
        """Share of days with the event; NaN without days."""
        return float(self.events.sum() / self.days.sum()) if self.days.sum() else np.nan


def brier(counts: ForecastCounts) -> float:
    """Brier score: ``mean (p - y)²``, in [0, 1].

    Brier (1950), Mon. Weather Rev. 78, 1-3, 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    return _brier(counts, counts.probability)


def brier_parts(counts: ForecastCounts) -> tuple[float, float, float]:
    """Give miscalibration, discrimination and uncertainty: ``Brier = MCB - DSC + UNC``, none below zero.

    MCB is what the forecasts lose for not being calibrated, found by isotonic regression, without bins to
    choose; DSC is what calibrated forecasts gain over always forecasting the frequency ȳ of the event; UNC
    = ȳ (1 - ȳ).

    Dimitriadis et al. (2021), PNAS 118, e2016191118, 10.1073/pnas.2016191118.
    """
    frequency = counts.frequency
    uncertainty = frequency * (1.0 - frequency)
    best = _brier(counts, recalibrated(counts))
    return max(brier(counts) - best, 0.0), max(uncertainty - best, 0.0), uncertainty


def murphy_parts(counts: ForecastCounts, bins: int = BINS) -> tuple[float, float, float, float]:
    """Give reliability, resolution, uncertainty and the rest: ``Brier = REL - RES + UNC + WITHIN``.

    Probabilities are gathered in bins of equal width. WITHIN is zero where a bin holds one value.

    Murphy (1973), J. Appl. Meteorol. 12, 595-600, 10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2;
    Stephenson et al. (2008), Weather Forecast. 23, 752-757, 10.1175/2007WAF2006116.1.
    """
    curve, total = reliability_curve(counts, bins), max(int(counts.days.sum()), 1)
    weight, frequency = curve["days"] / total, counts.frequency
    reliability = float((weight * (curve["forecast"] - curve["observed"]) ** 2).sum())
    resolution = float((weight * (curve["observed"] - frequency) ** 2).sum())
    uncertainty = frequency * (1.0 - frequency)
    return reliability, resolution, uncertainty, brier(counts) - (reliability - resolution + uncertainty)


def reliability_curve(counts: ForecastCounts, bins: int | None = BINS) -> pd.DataFrame:
    """Give how often the event came when a probability was forecast.

    Parameters
    ----------
    bins : of equal width; or None for the isotonic curve, with a row for each probability that was forecast
        (Dimitriadis et al. 2021).

    Returns
    -------
    Table with the columns ``forecast`` (mean probability), ``observed`` (frequency of the event) and
    ``days``, without bins that hold no day.
    """
    p, days, events = counts.probability, counts.days, counts.events
    if bins is None:
        return pd.DataFrame({"forecast": p, "observed": recalibrated(counts), "days": days})
    if bins < 1:
        raise InputError(f"{bins} bins; at least 1 is needed")
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    held = np.bincount(place, days, bins)
    sums = [np.bincount(place, weights, bins)[held > 0] for weights in (p * days, events, days)]
    return pd.DataFrame(
        {"forecast": sums[0] / sums[2], "observed": sums[1] / sums[2], "days": sums[2].astype(np.int64)}
    )


def recalibrated(counts: ForecastCounts) -> Array:
    """Give the rising curve of probabilities that fits the events best, ``(value,)``."""
    if not counts.probability.size:
        return np.zeros(0)
    fitted = isotonic_regression(counts.events / counts.days, weights=counts.days.astype(np.float64))
    return np.asarray(fitted.x, dtype=np.float64)


def auroc(counts: ForecastCounts) -> float:
    """Area under the ROC curve: the chance that a day with the event had the higher probability, ties half.

    0.5 is no skill, whatever the frequency of the event. NaN where the event always or never came.

    Mason and Graham (2002), Q. J. R. Meteorol. Soc. 128, 2145-2166, 10.1256/003590002320603584.
    """
    others = counts.days - counts.events
    pairs = float(counts.events.sum()) * float(others.sum())
    below = np.cumsum(others) - others
    won = float((counts.events * (below + 0.5 * others)).sum())
    return won / pairs if pairs else np.nan


def auprc(counts: ForecastCounts) -> float:
    """Area under the precision-recall curve: average precision ``Σ (R_n - R_n-1) P_n``, falling thresholds.

    No skill is the frequency of the event: of rare events it tells more than :func:`auroc`. NaN where the
    event never came.

    Davis and Goadrich (2006), 10.1145/1143844.1143874.
    """
    hits, said = np.cumsum(counts.events[::-1]), np.cumsum(counts.days[::-1])
    total = int(counts.events.sum())
    return float((counts.events[::-1] * (hits / said)).sum() / total) if total else np.nan


def probability_skill(probability: xr.DataArray, event: xr.DataArray) -> xr.Dataset:
    """Score forecast probabilities of an event at every site.

    Parameters
    ----------
    probability : in [0, 1], ``(site, time)``.
    event : 1 where it came, 0 where not, NaN where unknown, aligned with the probabilities.

    Returns
    -------
    Dataset over ``(site,)``: each of ``PROBABILITY_METRICS``, NaN where undefined, and ``n_days``.
    """
    check_aligned(probability, event)
    rows = []
    pairs = (array.transpose("site", "time").values for array in (probability, event))
    for p, y in zip(*pairs, strict=True):
        rows.append(scores_of(ForecastCounts.of(p, y)))
    result = xr.Dataset(coords=site_coordinates(event))
    for name, (long_name, perfect) in PROBABILITY_METRICS.items():
        values = np.array([row[name] for row in rows], dtype=np.float64)
        result[name] = ("site", values, {"long_name": long_name, "units": "1", "perfect": perfect})
    days = np.array([row["n_days"] for row in rows], dtype=np.int64)
    result["n_days"] = ("site", days, {"long_name": "days scored", "units": "days"})
    return result


def scores_of(counts: ForecastCounts) -> dict[str, float]:
    """Give every score of a table, by name; NaN where undefined."""
    score, (miscalibration, discrimination, uncertainty) = brier(counts), brier_parts(counts)
    return {
        "brier": score,
        "brier_skill": 1.0 - score / uncertainty if uncertainty > 0.0 else np.nan,
        "miscalibration": miscalibration,
        "discrimination": discrimination,
        "uncertainty": uncertainty,
        "auroc": auroc(counts),
        "auprc": auprc(counts),
        "frequency": counts.frequency,
        "n_days": int(counts.days.sum()),
    }


def _gathered(p: Array, days: NDArray[np.int64], events: NDArray[np.int64]) -> ForecastCounts:
    values, place = np.unique(p, return_inverse=True)
    sums = [np.zeros(values.size, np.int64) for _ in range(2)]
    for total, part in zip(sums, (days, events), strict=True):
        np.add.at(total, place, part)
    return ForecastCounts(values, *sums)


def _brier(counts: ForecastCounts, probability: Array) -> float:
    if not counts.days.sum():
        return np.nan
    missed = counts.events * (1.0 - probability) ** 2 + (counts.days - counts.events) * probability**2
    return float(missed.sum() / counts.days.sum())
