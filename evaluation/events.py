"""Events that are forecast as yes or no, such as a flow above a threshold: how many were hit.

Scores follow from the counts of hits, misses, false alarms and correct negatives, which add up over any parts
of the record. Wilks (2019), Statistical Methods in the Atmospheric Sciences, 4th ed., section 9.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.evaluation.efficiency import ratio
from thalweg.evaluation.moments import Array
from thalweg.evaluation.skill import check_aligned, site_coordinates
from thalweg.storage.errors import InputError


@dataclass(frozen=True)
class Contingency:
    """Counts of days, ``(site,)`` each; ``+`` joins separate parts of the record of the same sites.

    Attributes
    ----------
    hits : forecast and observed.
    misses : observed, not forecast.
    false_alarms : forecast, not observed.
    correct_negatives : neither.
    """

    hits: NDArray[np.int64]
    misses: NDArray[np.int64]
    false_alarms: NDArray[np.int64]
    correct_negatives: NDArray[np.int64]

    @classmethod
    def of(cls, forecast: Array, observed: Array) -> Contingency:
        """Count days.

        Parameters
        ----------
        forecast, observed : 1 where the event is forecast or happened, 0 where not, ``(site, time)``; a day
            that is NaN in ``observed`` is left out, and so is one without a forecast.
        """
        there = ~(np.isnan(observed) | np.isnan(forecast))
        said, was = there & (forecast > 0.5), there & (observed > 0.5)
        cells = (said & was, was & ~said, said & ~was, there & ~said & ~was)
        return cls(*(cell.sum(axis=-1, dtype=np.int64) for cell in cells))

    def __add__(self, other: Contingency) -> Contingency:
        return Contingency(
            self.hits + other.hits,
            self.misses + other.misses,
            self.false_alarms + other.false_alarms,
            self.correct_negatives + other.correct_negatives,
        )

    @property
    def observed(self) -> Array:
        """Days with the event."""
        return (self.hits + self.misses).astype(np.float64)

    @property
    def forecast(self) -> Array:
        """Days with the event forecast."""
        return (self.hits + self.false_alarms).astype(np.float64)

    @property
    def days(self) -> Array:
        """Days counted."""
        return self.observed + self.false_alarms + self.correct_negatives


def pod(table: Contingency) -> Array:
    """Probability of detection: ``hits / (hits + misses)``. Undefined without an observed event."""
    return ratio(table.hits.astype(float), table.observed)


def far(table: Contingency) -> Array:
    """False alarm ratio: ``false alarms / (hits + false alarms)``. Undefined without a forecast event."""
    return ratio(table.false_alarms.astype(float), table.forecast)


def pofd(table: Contingency) -> Array:
    """Probability of false detection: ``false alarms / (false alarms + correct negatives)``."""
    return ratio(table.false_alarms.astype(float), table.days - table.observed)


def csi(table: Contingency) -> Array:
    """Critical success index: ``hits / (hits + misses + false alarms)``. Undefined without any event."""
    return ratio(table.hits.astype(float), table.observed + table.false_alarms)


def frequency_bias(table: Contingency) -> Array:
    """Frequency bias: ``(hits + false alarms) / (hits + misses)``; above 1, events are forecast too often."""
    return ratio(table.forecast, table.observed)


def ets(table: Contingency) -> Array:
    """Equitable threat score: the critical success index less what chance hits, in [-1/3, 1]."""
    chance = ratio(table.observed * table.forecast, table.days)
    return ratio(table.hits - chance, table.observed + table.false_alarms - chance)


def peirce(table: Contingency) -> Array:
    """Peirce skill score: ``POD - POFD``, in [-1, 1]; 0 for any forecast that knows nothing."""
    return pod(table) - pofd(table)


class EventMetric(NamedTuple):
    """A score of a contingency table and how to read it; ``better`` as in ``skill.Metric``."""

    function: Callable[[Contingency], Array]
    long_name: str
    perfect: float
    better: str


EVENT_METRICS: dict[str, EventMetric] = {
    "pod": EventMetric(pod, "probability of detection", 1.0, "high"),
    "far": EventMetric(far, "false alarm ratio", 0.0, "low"),
    "pofd": EventMetric(pofd, "probability of false detection", 0.0, "low"),
    "csi": EventMetric(csi, "critical success index", 1.0, "high"),
    "frequency_bias": EventMetric(frequency_bias, "frequency bias", 1.0, "one"),
    "ets": EventMetric(ets, "equitable threat score", 1.0, "high"),
    "peirce": EventMetric(peirce, "Peirce skill score", 1.0, "high"),
}


def event_skill(forecast: xr.DataArray, observed: xr.DataArray) -> xr.Dataset:
    """Score yes-or-no forecasts of an event at every site.

    Parameters
    ----------
    forecast, observed : 1 where the event is forecast or happened, 0 where not, NaN where unknown (or bool),
        ``(site, time)``, aligned. :func:`exceedance` makes them of discharge.

    Returns
    -------
    Dataset over ``(site,)``: each of ``EVENT_METRICS``, NaN where undefined, and the four counts.
    """
    check_aligned(forecast, observed)
    series = [array.transpose("site", "time").astype(np.float64).values for array in (forecast, observed)]
    for what, values in zip(("forecast", "observed"), series, strict=True):
        if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
            raise InputError(f"{what} events must be 0, 1 or NaN")
    table = Contingency.of(*series)
    result = xr.Dataset(coords=site_coordinates(observed))
    for name, metric in EVENT_METRICS.items():
        attributes = {"long_name": metric.long_name, "units": "1", "perfect": metric.perfect}
        result[name] = ("site", metric.function(table), attributes)
    for name in ("hits", "misses", "false_alarms", "correct_negatives"):
        result[name] = ("site", getattr(table, name), {"units": "days"})
    return result


def exceedance(series: xr.DataArray, threshold: xr.DataArray | float) -> xr.DataArray:
    """Give 1 where a series is above a threshold, 0 where not, NaN where either is unknown.

    Parameters
    ----------
    series : discharge (mm/day), ``(site, time)``.
    threshold : one for all, or one for each site, ``(site,)``, such as a quantile of the training years.
    """
    limit = threshold if isinstance(threshold, xr.DataArray) else xr.DataArray(float(threshold))
    return (series > limit).where(series.notnull() & limit.notnull()).astype(np.float64)
