"""The thirteen hydrological signatures of CAMELS: what kind of river it is, observed and simulated.

Definitions of Addor et al. (2017), Hydrol. Earth Syst. Sci. 21, 5293-5313, 10.5194/hess-21-5293-2017, table
3. Skill day by day can be right by compensation; a model whose signatures are right too knows more of the
river (Addor et al. 2018, Water Resour. Res. 54, 8792-8812, 10.1029/2018WR022606).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import rankdata

from thalweg.evaluation.efficiency import ratio
from thalweg.evaluation.interpretation.baseflow import baseflow_index
from thalweg.evaluation.moments import Array
from thalweg.evaluation.resampling import WATER_YEAR, water_year
from thalweg.evaluation.skill import MINIMUM_DAYS, check_aligned, site_coordinates
from thalweg.storage.errors import InputError


class Signature(NamedTuple):
    """Name in words, units, and what it is, of one signature."""

    long_name: str
    units: str
    definition: str


class WaterYear(NamedTuple):
    """Days in the record of a water year, the day of the year of the first, from 1, and how many it has."""

    days: slice
    first: int
    length: int


SIGNATURES: dict[str, Signature] = {
    "q_mean": Signature("mean discharge", "mm/day", "mean of daily discharge"),
    "runoff_ratio": Signature("runoff ratio", "1", "mean discharge over mean precipitation"),
    "stream_elas": Signature(
        "elasticity of streamflow to precipitation",
        "1",
        "median over water years of the relative anomaly of discharge over that of precipitation",
    ),
    "slope_fdc": Signature(
        "slope of the flow duration curve",
        "1",
        "(ln q66 - ln q33) / 0.33, of the 66 and 33 % quantiles of flow",
    ),
    "baseflow_index": Signature("baseflow index", "1", "share of baseflow, by the Lyne-Hollick filter"),
    "hfd_mean": Signature(
        "mean half-flow date", "days since 1 October", "day by which half of the water year's flow has passed"
    ),
    "q5": Signature("5 % quantile of flow", "mm/day", "flow not exceeded on 5 % of days"),
    "q95": Signature("95 % quantile of flow", "mm/day", "flow not exceeded on 95 % of days"),
    "high_q_freq": Signature("frequency of high flows", "days/year", "days above 9 times the median"),
    "high_q_dur": Signature("duration of high flows", "days", "mean run of days above 9 times the median"),
    "low_q_freq": Signature("frequency of low flows", "days/year", "days below 0.2 times the mean"),
    "low_q_dur": Signature("duration of low flows", "days", "mean run of days below 0.2 times the mean"),
    "zero_q_freq": Signature("share of days without flow", "1", "days with a discharge of zero"),
}

HIGH, LOW = 9.0, 0.2  # times the median, times the mean
FDC_LOWER, FDC_UPPER = 0.33, 0.66  # quantiles
DAYS_OF_YEAR = 365.25
# A water year counts where this share of its days is known; one with less has no annual flow to halve.
COMPLETE = 0.95
_SITES_AT_ONCE = 32


def signatures(
    discharge: xr.DataArray,
    precipitation: xr.DataArray | None = None,
    *,
    slope: Literal["logarithm", "mean"] = "logarithm",
    minimum_days: int = MINIMUM_DAYS,
) -> xr.Dataset:
    """Give the hydrological signatures of every site.

    Parameters
    ----------
    discharge : (mm/day), ``(site, time)`` of consecutive days; NaN where unknown.
    precipitation : (mm/day), aligned with discharge. Without it, runoff ratio and elasticity are left out.
        Days where either is unknown count for neither.
    slope : ``logarithm``, as the paper defines ``slope_fdc`` (of Sawicz et al. 2011,
        10.5194/hess-15-2895-2011), or ``mean``: flows divided by their mean, as Yadav et al. (2007,
        10.1016/j.advwatres.2007.01.005), which is what the attribute table of CAMELS-US 2.0 holds under
        this name.
    minimum_days : with fewer known days, all signatures of a site are NaN.

    Returns
    -------
    Dataset over ``(site,)`` with the names and units of ``SIGNATURES``. NaN where undefined: the logarithmic
    slope where flow is zero on a third of the days, elasticity without a water year of both, half-flow date
    without one of which at least 95 % of days are known and some flow. A river without a high (low) flow day
    has a duration of zero.

    Raises
    ------
    InputError
        When discharge lacks site or time, days are left out, or precipitation is not aligned.
    """
    if set(discharge.dims) != {"site", "time"}:
        raise InputError(f"discharge has dimensions {discharge.dims}; it must have ('site', 'time')")
    times = pd.DatetimeIndex(discharge["time"].values)
    if len(times) > 1 and not (np.diff(times.values) == np.timedelta64(1, "D")).all():
        raise InputError("signatures: days are not consecutive; give every day, NaN where missing")
    if slope not in ("logarithm", "mean"):
        raise InputError(f"slope {slope!r}: give 'logarithm' or 'mean'")
    if precipitation is not None:
        check_aligned(precipitation, discharge)
        precipitation = precipitation.transpose("site", "time")
    ordered = discharge.transpose("site", "time")
    parts = []
    for first in range(0, ordered.sizes["site"], _SITES_AT_ONCE):
        some = slice(first, first + _SITES_AT_ONCE)
        flow = ordered[some].values.astype(np.float64)
        found = _of_flow(flow, times, slope)
        if precipitation is not None:
            found.update(_of_water(flow, precipitation[some].values.astype(np.float64), times))
        found["baseflow_index"] = baseflow_index(ordered[some].astype(np.float64)).values
        enough = (~np.isnan(flow)).sum(axis=-1) >= minimum_days
        parts.append({n: np.where(enough & np.isfinite(value), value, np.nan) for n, value in found.items()})
    result = xr.Dataset(coords=site_coordinates(discharge))
    for name, about in SIGNATURES.items():
        if precipitation is None and name in ("runoff_ratio", "stream_elas"):
            continue
        values = np.concatenate([part[name] for part in parts]) if parts else np.zeros(0)
        attributes = {"long_name": about.long_name, "units": about.units, "definition": about.definition}
        result[name] = ("site", values, attributes)
    return result


def compare_signatures(
    simulated: xr.DataArray,
    observed: xr.DataArray,
    precipitation: xr.DataArray | None = None,
    *,
    slope: Literal["logarithm", "mean"] = "logarithm",
) -> xr.Dataset:
    """Give the signatures of observed and simulated discharge, over the same days.

    Parameters
    ----------
    simulated, observed : discharge (mm/day), ``(site, time)``, aligned. Days that were not observed are
        left out of both; a site whose simulation is NaN on an observed day has no simulated signatures.
    precipitation, slope : see :func:`signatures`.

    Returns
    -------
    Dataset over ``(series, site)`` with ``series`` observed and simulated.
    """
    check_aligned(simulated, observed)
    s, o = (series.transpose("site", "time") for series in (simulated, observed))
    broken = (s.isnull() & o.notnull()).any("time")
    masked = o.copy(data=np.where(np.isnan(o.values) | broken.values[:, None], np.nan, s.values))
    both = [signatures(series, precipitation, slope=slope) for series in (o, masked)]
    return xr.concat(both, pd.Index(["observed", "simulated"], name="series"), combine_attrs="override")


def signature_skill(compared: xr.Dataset) -> pd.DataFrame:
    """Say how well each signature is simulated over all sites.

    Parameters
    ----------
    compared : of :func:`compare_signatures`.

    Returns
    -------
    Table indexed by signature: ``sites`` where both are defined; ``correlation`` (Pearson) and
    ``rank_correlation`` (Spearman) over sites; ``bias`` and ``rmse``, the mean and the root mean square of
    simulated less observed, in the signature's ``units``. NaN with fewer than two sites; correlations also
    where one is the same everywhere.
    """
    rows = {}
    for name, values in compared.data_vars.items():
        o, s = (values.sel(series=series).values.astype(float) for series in ("observed", "simulated"))
        both = ~(np.isnan(o) | np.isnan(s))
        o, s = o[both], s[both]
        varied = len(o) > 1 and np.ptp(o) > 0.0 and np.ptp(s) > 0.0
        pairs = ((o, s), (rankdata(o), rankdata(s)))
        linear, rank = (float(np.corrcoef(*pair)[0, 1]) if varied else np.nan for pair in pairs)
        error = s - o if len(o) > 1 else np.full(1, np.nan)
        spread = float(np.sqrt((error**2).mean()))
        rows[name] = (len(o), linear, rank, float(error.mean()), spread, values.attrs.get("units", ""))
    columns = ["sites", "correlation", "rank_correlation", "bias", "rmse", "units"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("signature")


def _of_flow(flow: Array, times: pd.DatetimeIndex, slope: str) -> dict[str, Array]:
    """Give the signatures of discharge alone, ``(site,)`` each."""
    there = ~np.isnan(flow)
    days = there.sum(axis=-1).astype(np.float64)
    mean = ratio(np.where(there, flow, 0.0).sum(axis=-1), days)
    shares = (0.05, 0.95, 0.5, FDC_UPPER, FDC_LOWER)
    q5, q95, median, upper, lower = (_quantile(flow, days, share) for share in shares)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.where(lower > 0.0, np.log(upper) - np.log(lower), np.nan)
        high, low = flow > HIGH * median[:, None], flow < LOW * mean[:, None]
    difference = logarithms if slope == "logarithm" else ratio(upper - lower, mean)
    return {
        "q_mean": mean,
        "slope_fdc": difference / (FDC_UPPER - FDC_LOWER),
        "hfd_mean": _half_flow(flow, times),
        "q5": q5,
        "q95": q95,
        "high_q_freq": DAYS_OF_YEAR * ratio(high.sum(axis=-1).astype(np.float64), days),
        "high_q_dur": _mean_run(high),
        "low_q_freq": DAYS_OF_YEAR * ratio(low.sum(axis=-1).astype(np.float64), days),
        "low_q_dur": _mean_run(low),
        "zero_q_freq": ratio((flow == 0.0).sum(axis=-1).astype(np.float64), days),
    }


def _of_water(flow: Array, precipitation: Array, times: pd.DatetimeIndex) -> dict[str, Array]:
    """Give the signatures of discharge and precipitation, ``(site,)`` each."""
    there = ~(np.isnan(flow) | np.isnan(precipitation))
    q, p = np.where(there, flow, 0.0), np.where(there, precipitation, 0.0)
    days = there.sum(axis=-1).astype(np.float64)
    mean_q, mean_p = ratio(q.sum(axis=-1), days), ratio(p.sum(axis=-1), days)
    elasticities = []
    for year, _, length in _water_years(times):
        known = there[:, year].sum(axis=-1).astype(np.float64)
        anomaly_q = ratio(q[:, year].sum(axis=-1), known) - mean_q
        anomaly_p = ratio(p[:, year].sum(axis=-1), known) - mean_p
        elasticity = ratio(ratio(anomaly_q, mean_q), ratio(anomaly_p, mean_p))
        elasticities.append(np.where(known >= COMPLETE * length, elasticity, np.nan))
    return {"runoff_ratio": ratio(mean_q, mean_p), "stream_elas": _median(elasticities, len(flow))}


def _half_flow(flow: Array, times: pd.DatetimeIndex) -> Array:
    """Give the mean day of the water year, from 1, on which more than half of its flow has passed."""
    dates = []
    for year, first, length in _water_years(times):
        known = ~np.isnan(flow[:, year])
        passed = np.cumsum(np.where(known, flow[:, year], 0.0), axis=-1)
        total = passed[:, -1:]
        date = np.argmax(passed > 0.5 * total, axis=-1) + float(first)
        complete = (known.sum(axis=-1) >= COMPLETE * length) & (total[:, 0] > 0.0)
        dates.append(np.where(complete, date, np.nan))
    if not dates:
        return np.full(len(flow), np.nan)
    stacked = np.stack(dates)
    found = ~np.isnan(stacked)
    return ratio(np.where(found, stacked, 0.0).sum(axis=0), found.sum(axis=0).astype(np.float64))


def _water_years(times: pd.DatetimeIndex) -> list[WaterYear]:
    label = water_year(times)
    edges = [0, *(np.flatnonzero(np.diff(label)) + 1).tolist(), len(label)] if len(label) else [0]
    years = []
    for first, last in pairwise(edges):
        year = int(label[first])
        begin, end = (pd.Timestamp(year=y, month=WATER_YEAR, day=1) for y in (year - 1, year))
        years.append(WaterYear(slice(first, last), (times[first] - begin).days + 1, (end - begin).days))
    return years


def _mean_run(events: NDArray[np.bool_]) -> Array:
    """Give the mean length of unbroken runs of days, ``(site,)``; 0 where there is none."""
    edge = np.zeros((len(events), 1), dtype=bool)
    starts = (events & ~np.concatenate([edge, events[:, :-1]], axis=-1)).sum(axis=-1)
    return np.asarray(events.sum(axis=-1) / np.maximum(starts, 1), dtype=np.float64)


def _quantile(flow: Array, days: Array, share: float) -> Array:
    """Give a quantile of the known days by linear interpolation, ``(site,)``; NaN without any."""
    ordered = np.sort(flow, axis=-1)  # NaN last
    if ordered.shape[-1] == 0:
        return np.full(len(ordered), np.nan)
    place = share * np.maximum(days - 1.0, 0.0)
    first = np.floor(place).astype(int)
    second = np.minimum(first + 1, np.maximum(days - 1.0, 0.0).astype(int))
    values = [np.take_along_axis(ordered, at[:, None], axis=-1)[:, 0] for at in (first, second)]
    return np.asarray(values[0] + (place - first) * (values[1] - values[0]), dtype=np.float64)


def _median(columns: list[Array], rows: int) -> Array:
    """Give the median over the list, NaN left out, ``(site,)``."""
    if not columns:
        return np.full(rows, np.nan)
    stacked = np.stack(columns, axis=-1)
    return _quantile(stacked, (~np.isnan(stacked)).sum(axis=-1).astype(np.float64), 0.5)
