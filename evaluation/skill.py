"""Skill of simulated discharge, site by site: every metric, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from thalweg.evaluation import efficiency, flow_regime, peaks
from thalweg.evaluation.moments import Array, Moments
from thalweg.storage.errors import InputError

# Below a month of days a score says nothing about a river.
MINIMUM_DAYS = 30

# Sites worked on at a time: their days stay in the processor's cache, which is several times faster.
SITES_AT_ONCE = 32


@dataclass(frozen=True)
class Metric:
    """A metric and how to read it.

    Attributes
    ----------
    function : of ``Moments``, or of simulated and observed ``(site, time)``; gives ``(site,)``.
    of : which of the two.
    better : ``high`` or ``low`` values, or ``zero`` where both signs are errors, or ``one``.
    """

    function: Callable[..., Array]
    of: Literal["moments", "series"]
    long_name: str
    perfect: float
    units: str
    better: Literal["high", "low", "zero", "one"]

    def __call__(self, simulated: Array, observed: Array) -> Array:
        """Score ``(site, time)`` discharge (mm/day); gives ``(site,)``, NaN where undefined."""
        if self.of == "moments":
            return self.function(Moments.of(simulated, observed))
        return self.function(simulated, observed)

    def error(self, values: Array) -> Array:
        """Turn values into a loss that is the smaller the better, so that models can be compared."""
        if self.better in ("zero", "one"):
            return np.abs(values - self.perfect)
        return -values if self.better == "high" else values


METRICS: dict[str, Metric] = {
    "nse": Metric(efficiency.nse, "moments", "Nash-Sutcliffe efficiency", 1.0, "1", "high"),
    "kge_2009": Metric(efficiency.kge_2009, "moments", "Kling-Gupta efficiency (2009)", 1.0, "1", "high"),
    "kge_2012": Metric(efficiency.kge_2012, "moments", "Kling-Gupta efficiency (2012)", 1.0, "1", "high"),
    "kge_np": Metric(
        flow_regime.kge_np, "series", "Kling-Gupta efficiency, non-parametric (2018)", 1.0, "1", "high"
    ),
    "rmse": Metric(efficiency.rmse, "moments", "root mean squared error", 0.0, "mm/day", "low"),
    "mae": Metric(efficiency.mae, "moments", "mean absolute error", 0.0, "mm/day", "low"),
    "bias": Metric(efficiency.bias, "moments", "relative bias", 0.0, "%", "zero"),
    "correlation": Metric(efficiency.correlation, "moments", "Pearson correlation", 1.0, "1", "high"),
    "variance_ratio": Metric(
        efficiency.variance_ratio, "moments", "ratio of standard deviations", 1.0, "1", "one"
    ),
    "mean_ratio": Metric(efficiency.mean_ratio, "moments", "ratio of means", 1.0, "1", "one"),
    "fhv": Metric(flow_regime.fhv, "series", "bias of the highest 2 % of flows", 0.0, "%", "zero"),
    "flv": Metric(flow_regime.flv, "series", "bias of the lowest 30 % of flows", 0.0, "%", "zero"),
    "fms": Metric(flow_regime.fms, "series", "bias of the flow duration curve's slope", 0.0, "%", "zero"),
    "rmse_high": Metric(
        flow_regime.rmse_high, "series", "root mean squared error of high flows", 0.0, "mm/day", "low"
    ),
    "rmse_low": Metric(
        flow_regime.rmse_low, "series", "root mean squared error of low flows", 0.0, "mm/day", "low"
    ),
    "peak_timing": Metric(peaks.peak_timing, "series", "lag of peaks", 0.0, "days", "low"),
    "missed_peaks": Metric(peaks.missed_peaks, "series", "share of peaks missed", 0.0, "1", "low"),
    "log_nse": Metric(
        flow_regime.log_nse, "series", "Nash-Sutcliffe efficiency of logarithms", 1.0, "1", "high"
    ),
}


def skill(
    simulated: xr.DataArray,
    observed: xr.DataArray,
    *,
    metrics: Iterable[str] | None = None,
    minimum_days: int = MINIMUM_DAYS,
) -> xr.Dataset:
    """Score simulated against observed discharge at every site.

    Parameters
    ----------
    simulated, observed : discharge (mm/day), ``(site, time)``, of the same sites and days in the same order.
        Days that are NaN in ``observed`` are left out.
    metrics : names in ``METRICS``; all of them if absent.
    minimum_days : with fewer observed days every metric of a site is NaN.

    Returns
    -------
    Dataset over ``(site,)``: each metric with its units, and ``n_days``, the observed days scored. A
    metric is NaN where it is undefined, never infinite: constant observations, too few days, or a
    simulation that is NaN on any observed day of the site.

    Raises
    ------
    InputError
        When dimensions, sites or days differ, or a metric is unknown. Nothing is interpolated and no
        common part is taken in silence.
    """
    names = known_metrics(metrics)
    check_aligned(simulated, observed)
    s, o = simulated.transpose("site", "time"), observed.transpose("site", "time")
    blocks = []
    for start in range(0, simulated.sizes["site"], SITES_AT_ONCE):
        block = slice(start, start + SITES_AT_ONCE)
        blocks.append(_score(s[block].values, o[block].values, names, minimum_days))
    result = xr.Dataset(coords=site_coordinates(observed))
    for name in (*names, "n_days"):
        values = np.concatenate([block[name] for block in blocks]) if blocks else np.zeros(0)
        result[name] = ("site", values, metric_attributes(name) if name in METRICS else {})
    result["n_days"].attrs = {"long_name": "observed days scored", "units": "days"}
    return result


def skill_of_moments(moments: Moments, minimum_days: int = MINIMUM_DAYS) -> dict[str, Array]:
    """Give every metric that follows from sums over days, ``(site,)`` each, by name."""
    scores = {name: metric.function(moments) for name, metric in METRICS.items() if metric.of == "moments"}
    return {name: _defined(values, moments.days >= minimum_days) for name, values in scores.items()}


def known_metrics(metrics: Iterable[str] | None) -> list[str]:
    """Give the names, all of them if absent; raise ``InputError`` for one that is not in ``METRICS``."""
    names = list(METRICS) if metrics is None else list(metrics)
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise InputError(f"unknown metric {', '.join(unknown)}; there are {', '.join(METRICS)}")
    return names


def metric_attributes(name: str) -> dict[str, str | float]:
    """Give name, units and perfect value of a metric, as attributes of a variable."""
    metric = METRICS[name]
    return {"long_name": metric.long_name, "units": metric.units, "perfect": metric.perfect}


def check_aligned(simulated: xr.DataArray, observed: xr.DataArray) -> None:
    """Raise ``InputError`` unless both have dims site and time, and the same of each in the same order."""
    for what, array in (("simulated", simulated), ("observed", observed)):
        if set(array.dims) != {"site", "time"}:
            raise InputError(f"{what} discharge has dimensions {array.dims}; it must have ('site', 'time')")
    for dim in ("site", "time"):
        sizes = simulated.sizes[dim], observed.sizes[dim]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"simulated has {sizes[0]} and observed {sizes[1]} along {dim}; they must be the same"
            )
        if (dim in simulated.indexes) != (dim in observed.indexes):
            raise InputError(f"only one of simulated and observed has labels along {dim}; both or none must")
        if dim not in simulated.indexes:
            continue
        labels = simulated.indexes[dim], observed.indexes[dim]
        differ = np.flatnonzero(np.asarray(labels[0]) != np.asarray(labels[1]))
        if differ.size:
            at = int(differ[0])
            found = " and ".join(str(label[at]) for label in labels)
            raise InputError(
                f"simulated and observed differ in {differ.size} of {sizes[0]} along {dim}, "
                f"first at {at}: {found}; align them first"
            )


def _score(simulated: Array, observed: Array, names: list[str], minimum_days: int) -> dict[str, NDArray[Any]]:
    s, o = simulated.astype(np.float64), observed.astype(np.float64)
    moments = Moments.of(s, o)
    enough = moments.days >= minimum_days
    scores: dict[str, NDArray[Any]] = {"n_days": moments.days}
    # a simulation that ran away to infinity has no score; numpy need not say so as well
    with np.errstate(over="ignore", invalid="ignore"):
        for name in names:
            metric = METRICS[name]
            values = metric.function(moments) if metric.of == "moments" else metric.function(s, o)
            scores[name] = _defined(values, enough)
    return scores


def _defined(values: Array, enough: NDArray[np.bool_]) -> Array:
    return np.where(enough & np.isfinite(values), values, np.nan)


def site_coordinates(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Give the coordinates along site alone, such as latitude and region."""
    return {str(name): coord for name, coord in array.coords.items() if coord.dims == ("site",)}
