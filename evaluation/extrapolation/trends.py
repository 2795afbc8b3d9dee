"""Whether a model reproduces how flow changed over the years."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from thalweg.evaluation.moments import Array
from thalweg.evaluation.resampling import water_year
from thalweg.storage.errors import InputError

FEWEST_YEARS = 8
FEWEST_DAYS = 330  # observed in a year that counts

YEARLY: dict[str, Callable[[Array], Array]] = {
    "mean": lambda days: np.nanmean(days, axis=1),
    "high": lambda days: np.nanquantile(days, 0.98, axis=1),
    "low": lambda days: np.nanquantile(days, 0.10, axis=1),
}


def trends(simulated: xr.DataArray, observed: xr.DataArray) -> xr.Dataset:
    """Give the trend of yearly flow at every site, observed and simulated.

    Parameters
    ----------
    simulated, observed : discharge (mm/day), ``(site, time)``, of the same sites and days. Days without
        observation are left out of both; a water year (from October) counts with at least 330
        observed days.

    Returns
    -------
    Dataset over ``(site, flow)``, ``flow`` being a year's ``mean``, ``high`` (98 %) and ``low`` (10 %):
        ``observed``, ``simulated``: Theil-Sen slopes (mm/day a decade; Sen 1968).
        ``observed_p``, ``simulated_p``: p-values of the Mann-Kendall test (Mann 1945, Kendall 1975).
        ``years``: that count. With fewer than 8 all is NaN.

    Raises
    ------
    InputError
        When sites or days differ.
    """
    simulated, observed = (each.transpose("site", "time") for each in (simulated, observed))
    if simulated.sizes != observed.sizes:
        raise InputError(f"simulated {dict(simulated.sizes)} and observed {dict(observed.sizes)} differ")
    there = np.isfinite(observed.values) & np.isfinite(simulated.values)
    years = water_year(pd.DatetimeIndex(observed.time.values))
    labels = np.unique(years)
    counted = np.stack([there[:, years == year].sum(1) >= FEWEST_DAYS for year in labels], 1)
    made = xr.Dataset(coords={"site": observed.site, "flow": list(YEARLY)})
    for name, series in (("observed", observed), ("simulated", simulated)):
        slopes, p = np.full((2, observed.sizes["site"], len(YEARLY)), np.nan)
        values = np.where(there, series.values, np.nan)
        for place, reduce in enumerate(YEARLY.values()):
            yearly = np.stack([_reduced(reduce, values[:, years == year]) for year in labels], 1)
            yearly = np.where(counted, yearly, np.nan)
            for site, row in enumerate(yearly):
                slopes[site, place], p[site, place] = _trend(labels.astype(float), row)
        made[name] = (("site", "flow"), slopes, {"units": "mm/day a decade"})
        made[f"{name}_p"] = (("site", "flow"), p, {"units": "1"})
    made["years"] = ("site", counted.sum(1))
    return made


def trend_skill(found: xr.Dataset) -> pd.DataFrame:
    """Say for each flow how well the trends of all sites are reproduced.

    Returns
    -------
    Table with a row a flow: ``flow``, ``sites``, medians ``observed`` and ``simulated`` (mm/day a decade),
    ``correlation`` (Spearman, over sites), ``same_sign``: the share of sites with a clear observed trend
    (p below 0.1) whose simulated trend has its sign, and ``clear``, how many sites those are.
    """
    rows = []
    for flow in found["flow"].values:
        observed, simulated, p = (
            found[name].sel(flow=flow).values for name in ("observed", "simulated", "observed_p")
        )
        both = np.isfinite(observed) & np.isfinite(simulated)
        observed, simulated, clear = observed[both], simulated[both], p[both] < 0.1
        varied = both.sum() >= 5 and np.ptp(observed) > 0 and np.ptp(simulated) > 0
        same = np.sign(observed[clear]) == np.sign(simulated[clear])
        rows.append(
            {
                "flow": str(flow),
                "sites": int(both.sum()),
                "observed": float(np.median(observed)) if both.any() else np.nan,
                "simulated": float(np.median(simulated)) if both.any() else np.nan,
                "correlation": float(stats.spearmanr(observed, simulated).statistic) if varied else np.nan,
                "same_sign": float(same.mean()) if clear.any() else np.nan,
                "clear": int(clear.sum()),
            }
        )
    return pd.DataFrame(rows)


def _reduced(reduce: Callable[[Array], Array], days: Array) -> Array:
    known = np.isfinite(days).any(1)
    found = np.full(len(days), np.nan)
    if known.any():
        found[known] = reduce(days[known])
    return found


def _trend(years: Array, values: Array) -> tuple[float, float]:
    """Give the Theil-Sen slope a decade and the Mann-Kendall p-value."""
    there = np.isfinite(values)
    if there.sum() < FEWEST_YEARS:
        return np.nan, np.nan
    x, y = years[there], values[there]
    if np.ptp(y) == 0:
        return 0.0, 1.0
    return 10.0 * float(stats.theilslopes(y, x).slope), float(stats.kendalltau(x, y).pvalue)
